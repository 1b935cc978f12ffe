/// Pictures: PNG files read back by a decoder of their own, and what marks cover.
module Fokker.Tests.Pictures.PictureTests

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Pictures

/// The checksum of ISO/IEC 15948, annex D, bit by bit.
let private crc (bytes: byte[]) =
    let step (c: uint32) (b: byte) =
        Seq.fold
            (fun (c: uint32) _ -> if c &&& 1u = 1u then (c >>> 1) ^^^ 0xEDB88320u else c >>> 1)
            (c ^^^ uint32 b)
            (seq { 1..8 })

    Array.fold step UInt32.MaxValue bytes ^^^ UInt32.MaxValue

/// Name and body of each chunk, the checksums verified.
let private chunks (file: byte[]) =
    let number at = BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(file, at, 4))

    let rec read at =
        [ if at < file.Length then
              let length = int (number at)
              let named = file[at + 4 .. at + 7 + length]
              Expect.equal (number (at + 8 + length)) (crc named) ""
              Encoding.ASCII.GetString(named, 0, 4), named[4..]
              yield! read (at + 12 + length) ]

    Expect.equal (file[..7]) [| 137uy; 80uy; 78uy; 71uy; 13uy; 10uy; 26uy; 10uy |] ""
    read 8

/// Height, width, channels and pixels of a PNG of eight bits, all five filters undone.
let private decode (file: byte[]) =
    let chunks = chunks file
    Expect.equal (fst (List.head chunks)) "IHDR" ""
    Expect.equal (fst (List.last chunks)) "IEND" ""
    let header = snd (List.head chunks)
    let size at = int (BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(header, at, 4)))
    let width, height = size 0, size 4
    Expect.equal (header[8]) 8uy ""

    let channels =
        match header[9] with
        | 0uy -> 1
        | 4uy -> 2
        | 2uy -> 3
        | 6uy -> 4
        | other -> failwith $"colour type {other}"

    let data = chunks |> List.filter (fst >> (=) "IDAT") |> List.map snd |> Array.concat
    use raw = new MemoryStream()
    (use stream = new ZLibStream(new MemoryStream(data), CompressionMode.Decompress)
     stream.CopyTo raw)
    let raw = raw.ToArray()
    let stride = width * channels
    Expect.equal raw.Length (height * (stride + 1)) ""
    let pixels = Array.zeroCreate<byte>(height * stride)

    let paeth a b c =
        let p = int a + int b - int c
        let pa, pb, pc = abs (p - int a), abs (p - int b), abs (p - int c)
        if pa <= pb && pa <= pc then a
        elif pb <= pc then b
        else c

    for row in 0 .. height - 1 do
        for column in 0 .. stride - 1 do
            let at row column = if row < 0 || column < 0 then 0uy else pixels[row * stride + column]
            let left, up, corner = at row (column - channels), at (row - 1) column, at (row - 1) (column - channels)
            let value = raw[row * (stride + 1) + 1 + column]

            pixels[row * stride + column] <-
                match raw[row * (stride + 1)] with
                | 0uy -> value
                | 1uy -> value + left
                | 2uy -> value + up
                | 3uy -> value + byte ((int left + int up) / 2)
                | 4uy -> value + paeth left up corner
                | other -> failwith $"filter {other}"

    height, width, channels, pixels

[<Tests>]
let tests =
    testList
        "Pictures.Picture"
        [ testCase "a picture file is read back to its bytes"
          <| fun () ->
              let random = Random 5

              for channels in 1..4 do
                  for height, width in [ 1, 1; 1, 9; 7, 5; 32, 33 ] do
                      let size = channels * height * width
                      let noise = Array.init size (fun _ -> byte (random.Next 256))
                      let ramp = Array.init size (fun k -> byte (k / channels % 256))
                      let flat = Array.create size 200uy

                      for pixels in [ noise; ramp; flat ] do
                          let found = decode (Png.encode channels height width pixels)
                          let height', width', channels', pixels' = found
                          // Grey with opacity is written as a colour with opacity.
                          let channels, pixels =
                              if channels = 2 then
                                  4,
                                  pixels |> Array.chunkBySize 2 |> Array.collect (fun p -> [| p[0]; p[0]; p[0]; p[1] |])
                              else
                                  channels, pixels

                          Expect.equal (height', width', channels') (height, width, channels) ""
                          Expect.equal pixels' pixels ""

              // Known from the standard: the checksum of a chunk of that name and nothing.
              let file = Png.encode 1 1 1 [| 0uy |]
              Expect.equal (file[file.Length - 4 ..]) [| 0xAEuy; 0x42uy; 0x60uy; 0x82uy |] ""

              for channels, height, width, count in [ 3, 2, 2, 11; 5, 1, 1, 5; 1, 0, 4, 0 ] do
                  raised<ArgumentException>(fun () ->
                      Png.encode channels height width (Array.zeroCreate count) |> ignore)
                  |> ignore

          // A black disc darkens as much as its area, a stroke as much as its rectangle and two half discs.
          testCase "marks cover their area"
          <| fun () ->
              let black = { Red = 0.0f; Green = 0.0f; Blue = 0.0f }

              let darkness (draw: Picture -> unit) =
                  let picture = Picture(80, 60)
                  draw picture
                  let _, _, _, pixels = decode (picture.ToPng())
                  (pixels |> Array.sumBy (fun p -> 1.0 - float p / 255.0)) / 3.0

              let r = 11.3
              let disc = darkness (fun p -> p.Dot(40.2f, 30.7f, float32 r, black, 1.0f))
              // A pixel's coverage is that of a straight edge at its distance: off by a part of the curvature, and 1/255 in rounding.
              Expect.within (0.01 * Math.PI * r * r) disc (Math.PI * r * r) ""
              let half = darkness (fun p -> p.Dot(40.2f, 30.7f, float32 r, black, 0.5f))
              Expect.within (0.01 * disc) half (0.5 * disc) ""
              let stroke = darkness (fun p -> p.Stroke(20.0f, 20.0f, 50.0f, 45.0f, 6.0f, black, 1.0f))
              let length = sqrt (30.0 * 30.0 + 25.0 * 25.0)
              Expect.within (0.01 * 6.0 * length) stroke (6.0 * length + Math.PI * 9.0) ""
              Expect.equal (darkness ignore) 0 ""

          // Nearly all of a cloud is shown, and one sample that went astray does not shrink the rest.
          testCase "series are curves through their values, the first few of them, and not only points"
          <| fun () ->
              let values = [| 0.0; 1.0; 4.0; 9.0; -1.0; -2.0 |]
              let curves = List.exactlyOne (SamplePicture.curvesOf [ 3 ] values)
              Expect.equal
                  (curves |> List.map _.Points)
                  [ [| 0f; 0f; 1f; 1f; 2f; 4f |]; [| 0f; 9f; 1f; -1f; 2f; -2f |] ]
                  ""
              Expect.equal
                  [ for series in SamplePicture.curvesOf [ 2; 2 ] (Array.init 80 float) -> series.Length ]
                  [ SamplePicture.curveCount; SamplePicture.curveCount ]
                  "the first few"
              // The windows of two series: of the second one the numbers behind the first one's.
              Expect.equal
                  [ for series in SamplePicture.curvesOf [ 2; 2 ] (Array.init 8 float) -> series |> List.map _.Points ]
                  [ [ [| 0f; 0f; 1f; 1f |]; [| 0f; 4f; 1f; 5f |] ]; [ [| 0f; 2f; 1f; 3f |]; [| 0f; 6f; 1f; 7f |] ] ]
                  "of two series"
              let panel clouds = [ { Title = "samples"; Clouds = clouds } ]
              let reversed = curves |> List.map (fun c -> { c with Points = [| 0f; 4f; 1f; 1f; 2f; 0f |] })
              Expect.notEqual (Raster.curves 200 [ panel curves ]) (Raster.scatter 200 (panel curves)) "lines"
              Expect.notEqual (Raster.curves 200 [ panel curves ]) (Raster.curves 200 [ panel reversed ]) "other values"
              Expect.equal (Estimate.error (Estimate.ofDraws [| 1.0 |])) "" "one draw has no error"
              Expect.equal (Estimate.error (Estimate.ofDraws [| 1.0; 3.0 |])) " ± 1" "two have"

          testCase "a window holds nearly all of a cloud, and not what diverged"
          <| fun () ->
              let n = 10_000
              let points =
                  Scope.run (fun () -> Tensor.toFloats (Rng.normal Kind.Float64 [ n; 2 ] (Rng.ofSeed 1L)))
                  |> Array.map float32
              let window = Window.around [ points ]
              // A thousandth on each of four sides, less what the margin takes back.
              Expect.isLessThanOrEqual (Window.outside window points) (4 * n / 1000) ""
              let stray = Array.append points [| 1e9f; -1e9f; nanf; 0.0f |]
              let wider = Window.around [ stray ]
              Expect.isLessThan (wider.Right - wider.Left) (1.2f * (window.Right - window.Left)) ""
              Expect.isGreaterThanOrEqual (Window.outside wider stray) 2 ""
              let shaped = Window.withAspect 2.0f window
              Expect.within 1e-5 (float ((shaped.Right - shaped.Left) / (shaped.Top - shaped.Bottom))) 2.0 ""

          // The colours of shares between two of the ramp's lie between them.
          testCase "sequential colours darken with the share"
          <| fun () ->
              let lightness share =
                  let c = Palette.sequential share
                  c.Red + c.Green + c.Blue

              let values = [ for k in 0..60 -> lightness (float32 k / 60.0f) ]
              Expect.isTrue (List.pairwise values |> List.forall (fun (a, b) -> b < a)) ""
              Expect.equal (lightness -1.0f) (lightness 0.0f) ""
              Expect.equal (lightness 2.0f) (lightness 1.0f) ""

          testCase "contours lie where the function has their value"
          <| fun () ->
              let window: Window = { Left = -2.0f; Right = 2.0f; Bottom = -1.0f; Top = 3.0f }
              let n = 41

              let onGrid f =
                  [| for row in 0 .. n - 1 do
                         for column in 0 .. n - 1 ->
                             f (-2.0 + 4.0 * float column / float (n - 1)) (-1.0 + 4.0 * float row / float (n - 1)) |]

              // Exact for what is linear between neighbours.
              let plane = Contour.lines window n (onGrid (fun x y -> x + 2.0 * y)) 1.3
              Expect.isGreaterThan plane.Length 20 "pieces"
              for x, y in Array.concat plane do
                  Expect.floatClose Accuracy.high (x + 2.0 * y) 1.3 "on the line"

              // A circle has its length, to the square of the cell.
              let circle = Contour.lines window n (onGrid (fun x y -> x * x + (y - 1.0) * (y - 1.0))) 1.0
              let length =
                  circle |> Array.sumBy (fun p -> sqrt ((fst p[0] - fst p[1]) ** 2.0 + (snd p[0] - snd p[1]) ** 2.0))
              Expect.isLessThan (abs (length - 2.0 * Math.PI)) 0.02 "the length of the circle"

          testCase "a contour through a saddle joins no two sides that the middle parts"
          <| fun () ->
              let window: Window = { Left = 0.0f; Right = 1.0f; Bottom = 0.0f; Top = 1.0f }
              // High at two opposite corners; the middle is high, so that the low corners are cut off one by one.
              for piece in Contour.lines window 2 [| 1.0; 0.0; 0.0; 1.0 |] 0.4 do
                  let (x, y), (u, v) = piece[0], piece[1]
                  let nearLowRight = (x + u) / 2.0 > 0.5 && (y + v) / 2.0 < 0.5
                  let nearLowLeft = (x + u) / 2.0 < 0.5 && (y + v) / 2.0 > 0.5
                  Expect.isTrue (nearLowRight || nearLowLeft) $"the piece %A{piece}"

              Expect.equal (Contour.lines window 2 [| 1.0; 0.0; nan; 1.0 |] 0.4) [||] "no line beside what is no number" ]
