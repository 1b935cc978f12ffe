module Fokker.Tests.Training.ImageFolderTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support
open SkiaSharp

/// A picture whose pixel in a row and a column is as said: red, green, blue, opacity.
let private picture (height: int) (width: int) (pixel: int -> int -> byte[]) : SKBitmap =
    let bitmap = new SKBitmap(SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Unpremul))

    for row in 0 .. height - 1 do
        for column in 0 .. width - 1 do
            let p = pixel row column
            bitmap.SetPixel(column, row, SKColor(p[0], p[1], p[2], p[3]))

    bitmap

let private encoded (format: SKEncodedImageFormat) (bitmap: SKBitmap) : byte[] =
    use data = bitmap.Encode(format, 100)
    data.ToArray()

let private png = encoded SKEncodedImageFormat.Png

let private save (folder: string) (name: string) (bytes: byte[]) =
    let file = Path.Combine(folder, name)
    Directory.CreateDirectory(nonNull (Path.GetDirectoryName file)) |> ignore
    File.WriteAllBytes(file, bytes)

/// All pictures of a data set in the order of their files.
let private all (data: Dataset) : byte[][] =
    match data.Content with
    | Law _ -> failtest "a folder is no law"
    | Finite(train, heldOut) ->
        let rows = Tensor.cat 0 [ train.Rows; heldOut.Rows ]
        let size = List.fold (*) 1 data.Shape
        Tensor.toArray<byte> rows |> Array.chunkBySize size

let private one (folder: string) (settings: string) : Dataset * byte[] =
    let data = Datasets.load $"folder:{folder}{settings}"
    data, Array.head (all data)

let private noise (random: Random) height width =
    let bytes = Array.init (3 * height * width) (fun _ -> byte (random.Next 256))
    bytes,
    picture height width (fun row column ->
        let at k = bytes[k * height * width + row * width + column]
        [| at 0; at 1; at 2; 255uy |])

/// A JPEG file with the orientation that a camera writes (EXIF 2.32: APP1, a TIFF header, one field).
let private oriented (orientation: int) (jpeg: byte[]) : byte[] =
    let tiff =
        [| yield! "II*\000"B
           8uy
           0uy
           0uy
           0uy
           1uy
           0uy
           0x12uy
           0x01uy
           3uy
           0uy
           1uy
           0uy
           0uy
           0uy
           byte orientation
           0uy
           0uy
           0uy
           0uy
           0uy
           0uy
           0uy |]
    let body = Array.append "Exif\000\000"B tiff
    Array.concat [ jpeg[..1]; [| 0xFFuy; 0xE1uy; 0uy; byte (body.Length + 2) |]; body; jpeg[2..] ]

[<Tests>]
let tests =
    testList
        "Training.ImageFolder"
        [ testCase "pixels come as they are, and folders are the classes"
          <| fun () ->
              inFolder (fun folder ->
                  let random = Random 3
                  let files =
                      [ for name in [ "b dog/1.png"; "b dog/deeper/2.PNG"; "a cat/3.png"; "a cat/4.webp" ] ->
                            let bytes, bitmap = noise random 5 7
                            use bitmap = bitmap
                            // Quality 100 of WebP is lossy; its losslessness is asked for apart.
                            let file =
                                if name.EndsWith "webp" then
                                    use map = bitmap.PeekPixels()
                                    use data =
                                        map.Encode(SKWebpEncoderOptions(SKWebpEncoderCompression.Lossless, 100.0f))
                                    (nonNull data).ToArray()
                                else
                                    png bitmap
                            save folder name file
                            bytes ]

                  save folder "b dog/notes.txt" "no picture"B
                  save folder ".hidden/5.png" "no picture"B
                  let data = Datasets.load $"folder:{folder}"
                  Expect.equal data.Shape [ 3; 5; 7 ] ""
                  Expect.equal data.Classes [ "a cat"; "b dog" ] ""
                  Expect.equal data.Range (Some(0.0, 255.0)) ""
                  Expect.equal data.Units { Shift = [| 127.5 |]; Scale = [| 127.5 |] } ""
                  Expect.equal data.Notes [] ""

                  match data.Content with
                  | Law _ -> failtest "a folder is no law"
                  | Finite(train, heldOut) ->
                      Expect.equal (train.Count, heldOut.Count) (3, 1) ""
                      let labels =
                          [ train; heldOut ]
                          |> List.collect (fun t -> t.Labels |> Option.get |> Tensor.toArray<int64> |> List.ofArray)

                      for pixels, label in Seq.zip (all data) labels do
                          let place = List.findIndex ((=) pixels) files
                          Expect.equal label (if place < 2 then 1L else 0L) "")

          testCase "grey is found, or said"
          <| fun () ->
              inFolder (fun folder ->
                  let grey k =
                      picture 4 4 (fun row column ->
                          Array.append (Array.create 3 (byte (16 * (4 * row + column)) + k)) [| 255uy |])
                  for k in 0uy .. 2uy do
                      save folder $"{k}.png" (png (grey k))

                  Expect.equal (fst (one folder "")).Shape [ 1; 4; 4 ] ""
                  Expect.equal (fst (one folder ",colour=rgb")).Shape [ 3; 4; 4 ] ""
                  save folder "9.png" (png (picture 4 4 (fun _ _ -> [| 200uy; 100uy; 50uy; 255uy |])))
                  Expect.equal (fst (one folder "")).Shape [ 3; 4; 4 ] ""
                  let data = Datasets.load $"folder:{folder},colour=grey"
                  Expect.equal data.Shape [ 1; 4; 4 ] ""
                  // 0.299 · 200 + 0.587 · 100 + 0.114 · 50 = 124.2.
                  Expect.exists (all data) (Array.forall ((=) 124uy)) "")

          testCase "what is clear is white"
          <| fun () ->
              inFolder (fun folder ->
                  for k in 0..1 do
                      save
                          folder
                          $"{k}.png"
                          (png (picture 2 2 (fun row _ -> [| 0uy; 0uy; 0uy; (if row = 0 then 0uy else 51uy) |])))

                  let _, pixels = one folder ""
                  Expect.equal pixels[..1] [| 255uy; 255uy |] ""
                  // A fifth of black on white.
                  Expect.equal pixels[2..] [| 204uy; 204uy |] "")

          testCase "a camera's orientation is undone: all eight of them"
          <| fun () ->
              // Stored 24 × 16 in four colours by quadrant; JPEG keeps the middle of each within a few levels.
              let colours =
                  [| [| 230uy; 20uy; 20uy |]
                     [| 20uy; 220uy; 20uy |]
                     [| 20uy; 20uy; 230uy |]
                     [| 240uy; 240uy; 20uy |] |]

              let jpeg =
                  encoded
                      SKEncodedImageFormat.Jpeg
                      (picture 16 24 (fun row column -> Array.append colours[2 * (row / 8) + column / 12] [| 255uy |]))

              // Which stored quadrant is seen at the upper left, upper right, lower left and lower right: EXIF 2.32's table of the 0th row and column.
              let seen =
                  [ 1, [ 0; 1; 2; 3 ]
                    2, [ 1; 0; 3; 2 ]
                    3, [ 3; 2; 1; 0 ]
                    4, [ 2; 3; 0; 1 ]
                    5, [ 0; 2; 1; 3 ]
                    6, [ 2; 0; 3; 1 ]
                    7, [ 3; 1; 2; 0 ]
                    8, [ 1; 3; 0; 2 ] ]

              for orientation, quadrants in seen do
                  inFolder (fun folder ->
                      for k in 0..1 do
                          save folder $"{k}.jpg" (oriented orientation jpeg)

                      let data, pixels = one folder ""
                      let height, width = if orientation < 5 then 16, 24 else 24, 16
                      Expect.equal data.Shape [ 3; height; width ] $"orientation {orientation}"

                      quadrants
                      |> List.iteri (fun place quadrant ->
                          let row = if place < 2 then height / 4 else 3 * height / 4
                          let column = if place % 2 = 0 then width / 4 else 3 * width / 4

                          for channel in 0..2 do
                              Expect.within
                                  12.0
                                  (float (pixels[channel * height * width + row * width + column]))
                                  (float (colours[quadrant][channel]))
                                  $"orientation {orientation}, place {place}"))

          testCase "the middle square, and every pixel counts: means over blocks"
          <| fun () ->
              inFolder (fun folder ->
                  let bytes, bitmap = noise (Random 8) 32 40

                  for k in 0..1 do
                      save folder $"{k}.png" (png bitmap)

                  let data, pixels = one folder ",size=8"
                  Expect.equal data.Shape [ 3; 8; 8 ] ""

                  // Columns 4 to 35 of 40, in blocks of 4 × 4; twice halved, each time rounded.
                  for channel in 0..2 do
                      for row in 0..7 do
                          for column in 0..7 do
                              let mean =
                                  List.average
                                      [ for y in 0..3 do
                                            for x in 0..3 ->
                                                float (bytes[channel * 1280 + (4 * row + y) * 40 + 4 + 4 * column + x]) ]

                              Expect.within 1.5 (float (pixels[channel * 64 + row * 8 + column])) mean ""

                  // The same flat colour at any size, larger ones included.
                  for k in 0..1 do
                      save folder $"{k}.png" (png (picture 30 50 (fun _ _ -> [| 10uy; 130uy; 250uy; 255uy |])))

                  for side in [ 7; 30; 44 ] do
                      let _, pixels = one folder $",size={side}"
                      let plane = side * side
                      Expect.equal
                          pixels
                          (Array.concat [ Array.create plane 10uy; Array.create plane 130uy; Array.create plane 250uy ])
                          "")

          testCase "a file that is no whole picture is named, and left out where that is asked for"
          <| fun () ->
              inFolder (fun folder ->
                  let _, bitmap = noise (Random 8) 16 16
                  let whole = png bitmap
                  let gif = Convert.FromBase64String "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
                  // Its head promises 60,000 × 60,000 pixels.
                  let vast = Array.copy whole
                  for k in [ 16; 20 ] do
                      Array.blit [| 0uy; 0uy; 0xEAuy; 0x60uy |] 0 vast k 4
                  let crc = IO.Hashing.Crc32.HashToUInt32(ReadOnlySpan(vast, 12, 17))
                  Array.blit (Array.rev (BitConverter.GetBytes crc)) 0 vast 29 4

                  for k in 0..2 do
                      save folder $"good/{k}.png" whole

                  for name, bytes, words in
                      [ "cut.png", whole[.. whole.Length / 2], []
                        "words.png", "not a picture at all"B, [ "PNG, JPEG or WebP" ]
                        "empty.jpg", [||], []
                        "gif.png", gif, [ "Gif" ]
                        "vast.png", vast, [ "60000 × 60000" ] ] do
                      let file = Path.Combine(folder, "bad", name)
                      save folder $"bad/{name}" bytes

                      for size in [ ",size=8"; "" ] do
                          userError (fun () -> Datasets.load $"folder:{folder}{size}")
                          |> names (file :: "skip=corrupt" :: words)

                          let data = Datasets.load (Datasets.skippingCorrupt $"folder:{folder}{size}")
                          Expect.equal (all data).Length 3 ""
                          Expect.equal data.Classes [ "good" ] "no picture of the other is left"
                          Expect.equal data.Notes.Length 1 ""
                          Expect.stringContains data.Notes[0] file ""
                          Expect.stringContains data.Notes[0] "1 of 4" ""

                      File.Delete file

                  Directory.Delete(Path.Combine(folder, "good"), true)
                  save folder "bad/words.png" "words"B
                  userError (fun () -> Datasets.load $"folder:{folder},skip=corrupt") |> names [ folder ])

          testCase "what is asked for and cannot be is said"
          <| fun () ->
              inFolder (fun folder ->
                  let refused settings words =
                      userError (fun () -> Datasets.load $"folder:{folder}{settings}") |> names words
                  refused "" [ folder; "no picture"; ".webp" ]
                  refused "/none" [ "/none"; "no such folder" ]
                  userError (fun () -> Datasets.load "folder:") |> names [ "names no file" ]
                  let small, large = snd (noise (Random 8) 4 4), snd (noise (Random 8) 6 4)
                  save folder "a/1.png" (png small)
                  refused "" [ "one sample" ]
                  save folder "b/2.png" (png large)
                  refused "" [ "1.png is 4 × 4"; "2.png 4 × 6"; "size=32" ]
                  refused ",size=0" [ "size is '0'"; "1 to 4096" ]
                  refused ",size=3.5" [ "size is '3.5'" ]
                  refused ",colour=blue" [ "colour is 'blue'"; "grey or rgb" ]
                  refused ",siez=3" [ "no setting 'siez'"; "size=N" ]
                  refused ",size=3,size=4" [ "size is given more than once" ]
                  save folder "3.png" (png small)
                  refused ",size=4" [ "both"; "3.png"; "(a)" ]
                  userError (fun () -> Datasets.skippingCorrupt "moons") |> names [ "moons"; "folder:DIR" ])

          testCase "a comma is a part of a folder's name"
          <| fun () ->
              inFolder (fun folder ->
                  let _, bitmap = noise (Random 8) 4 4
                  for name in [ "a, b"; "c,size=9" ] do
                      for k in 0..2 do
                          save folder $"{name}/{k}.png" (png bitmap)

                      Expect.equal (Datasets.load $"folder:{folder}/{name}").Shape [ 3; 4; 4 ] ""
                      Expect.equal (Datasets.load $"folder:{folder}/{name},size=2").Shape [ 3; 2; 2 ] ""
                  Expect.equal (Datasets.shortName $"folder:{folder}/a, b/,size=2") "a, b" ""
                  Expect.equal (Datasets.shortName "csv:data/points.csv") "points" "") ]
