/// Models that are told numbers of each sample: columns of a table, small images, images with a part hidden.
module Fokker.Tests.GivenTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

let private floats (x: Tensor) = Tensor.toFloats (x.To Dtype.Float64)

let private drawn (network: Network) =
    Network.init Kind.Float64 (Rng.ofSeed 3L) network
    |> Array.mapi (fun k p -> p + 0.1 * Rng.normalLike p (Rng.at (int64 k) (Rng.ofSeed 4L)))

/// Networks that are told numbers, with the shapes of a sample and of what is told of it.
let private networks: (string * (int -> int -> Network * int list * int list)) list =
    let madeOf name numbers (sample: int list) (told: Told) times outputs =
        Catalogue.networks.Make
            { Name = name; Numbers = numbers }
            { Sample = Told.sample told sample
              Data = "a test"
              Width = 16
              Depth = 2
              Times = times
              Outputs = outputs
              Classes = None
              Role = NetworkRole.Field
              Tokens = None }
        |> Told.network told
        |> fun network -> network, sample, told.Shape

    let made name numbers sample given = madeOf name numbers sample (Told.numbers given)

    [ "mlp", made "mlp" [ "features", 4.0 ] [ 3 ] [ 2 ]
      "mlp, of numbers and a text", madeOf "mlp" [] [ 3 ] { HasClass = false; Shape = [ 7 ]; Texts = [ 1, 5 ] }
      "unet, of a number", made "unet" [] [ 1; 4; 4 ] [ 1 ]
      "residual-mlp", made "residual-mlp" [] [ 3 ] [ 2 ]
      "unet", made "unet" [] [ 2; 6; 5 ] [ 2; 6; 5 ]
      "dit", made "dit" [ "patch", 2.0; "width", 16.0; "depth", 1.0; "heads", 2.0 ] [ 1; 4; 4 ] [ 1; 4; 4 ] ]

let private networkNamed name = networks |> List.find (fst >> (=) name) |> snd

/// What a loss would be given: the labels of a batch under `change`.
let private seen (change: Loss -> Loss) (told: Tensor) : Tensor =
    let mutable label = None

    let loss: Loss =
        fun _ _ batch ->
            label <- batch.Label
            Tensor.zeros Kind.Float64 [ batch.Data.Shape[0] ]

    let batch = { Data = Tensor.zeros Kind.Float64 [ told.Shape[0]; 1 ]; Label = Some told; Source = None }
    let context = LossContext.ofNetwork (fun _ _ x -> x)
    change loss context (Rng.ofSeed 5L) batch |> ignore
    Option.get label

let private isNan (x: Tensor) = floats x |> Array.map Double.IsNaN

/// 1 and −1 in turns on 4 × 4 pixels.
let private checker =
    Tensor.ofArray [ 1; 1; 4; 4 ] [| for k in 0..15 -> if (k / 4 + k) % 2 = 0 then 1.0 else -1.0 |]

/// Images whose 2 × 2 squares have a mean of N(0, 1), and pixels that are N(0, ¼) around it.
let private squares (n: int) (side: int) : Tensor =
    let rng = Rng.ofSeed 8L
    let means = Rng.normal Kind.Float64 [ n; 1; side / 2; 1; side / 2; 1 ] (Rng.named "means" rng)
    let more = 0.5 * Rng.normal Kind.Float64 [ n; 1; side / 2; 2; side / 2; 2 ] (Rng.named "pixels" rng)
    Tensor.reshape [ n; 1; side; side ] (means + more)

/// Images of 4 × 4 that are their mean, N(0, 1), the class's sign on a checker, and a little noise; and the classes.
let private signed (n: int) : Tensor * Tensor =
    let rng = Rng.ofSeed 12L
    let means = Rng.normal Kind.Float64 [ n; 1; 1; 1 ] (Rng.named "means" rng)
    let noise = 0.1 * Rng.normal Kind.Float64 [ n; 1; 4; 4 ] (Rng.named "noise" rng)
    let classes = Rng.integers 2L [ n ] (Rng.named "classes" rng)
    let signs = Tensor.reshape [ n; 1; 1; 1 ] (2.0 * classes.To Dtype.Float64 - 1.0)
    means + signs * checker + noise, classes

/// Rows of dose, city and effect: the effect is N(2 · dose + 1 in Rome and −1 in Oslo, ¼), and every tenth dose is missing.
let private effects (file: string) (n: int) =
    let random = Random 6
    let normal () = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())

    File.WriteAllLines(
        file,
        "dose,city,effect"
        :: [ for i in 1..n do
                 let dose = normal ()
                 let city, shift = if random.Next 2 = 0 then "Rome", 1.0 else "Oslo", -1.0
                 let effect = 2.0 * dose + shift + 0.5 * normal ()
                 let cell = if i % 10 = 0 then "" else string dose
                 $"{cell},{city},{effect}" ]
    )

let private meanAndVariance (x: float[]) =
    let mean = Array.average x
    mean, x |> Array.averageBy (fun v -> (v - mean) ** 2.0)

[<Tests>]
let tests =
    testList
        "Given"
        [ testTheory "what is not told changes nothing, and what is told does" (List.map fst networks)
          <| fun name ->
              Scope.run0 (fun () ->
                  for times, outputs in [ 1, 1; 2, 2 ] do
                      let network, sample, given = networkNamed name times outputs
                      let parameters = drawn network
                      let n = 4
                      let x = Rng.normal Kind.Float64 (n :: sample) (Rng.ofSeed 1L)
                      let t = Rng.uniform Kind.Float64 (if times = 1 then [ n ] else [ n; times ]) (Rng.ofSeed 2L)
                      let said condition = network.Apply parameters condition t x
                      let none = Tensor.full Kind.Float64 (n :: given) nan
                      let all = Rng.normal Kind.Float64 (n :: given) (Rng.ofSeed 3L)
                      let first = List.head sample

                      Expect.equal
                          (List.ofArray (said None).Shape)
                          (n :: outputs * first :: List.tail sample)
                          "the shape of a sample, for each output"

                      Expect.isTrue (Tensor.same (said None) (said (Some none))) "nothing told is NaN"
                      Expect.isFalse (Tensor.same (said None) (said (Some all))) "what is told is seen"

                      // Zeros that are told are not the same as nothing.
                      let zeros = Tensor.zerosLike all
                      Expect.isFalse (Tensor.same (said None) (said (Some zeros))) "zeros are told"

                      // A sample's own is all that it sees.
                      let other = Tensor.cat 0 [ Tensor.narrow 0 0 1 all; Tensor.narrow 0 1 (n - 1) none ]
                      let a, b = said (Some all), said (Some other)
                      let error = Tensor.max (Tensor.abs (Tensor.narrow 0 0 1 a - Tensor.narrow 0 0 1 b))
                      Expect.isLessThan (error.ToFloat()) 1e-12 "the first row's"

                      // Forward and reverse derivatives in x agree, and do not see what is told as a variable.
                      let v = Rng.normalLike x (Rng.ofSeed 9L)
                      let _, forward = Diff.jvp (fun x -> network.Apply parameters (Some all) t x) x v
                      let w = Rng.normalLike forward (Rng.ofSeed 10L)
                      let _, backward = Diff.vjp (fun x -> network.Apply parameters (Some all) t x) x w
                      let along = (Tensor.sum (forward * w)).ToFloat()
                      Expect.within (1e-9 * (1.0 + abs along)) ((Tensor.sum (backward * v)).ToFloat()) along "")

          testCase "a network that is told numbers is told nothing else"
          <| fun () ->
              Scope.run0 (fun () ->
                  let network, sample, _ = networkNamed "mlp" 1 1
                  let x = Tensor.zeros Kind.Float64 (3 :: sample)
                  let t = Tensor.scalar Kind.Float64 0.5
                  let refused (condition: Tensor) =
                      (raised<ArgumentException>(fun () ->
                          network.Apply (drawn network) (Some condition) t x |> ignore))
                          .Message

                  Expect.stringContains (refused (Tensor.ofArray [ 3 ] [| 0L; 1L; 2L |])) "[B; 2]" ""
                  Expect.stringContains (refused (Tensor.zeros Kind.Float64 [ 3; 5 ])) "[B; 2]" ""
                  Expect.stringContains (refused (Tensor.zeros Kind.Float64 [ 2; 2 ])) "3 samples" "")

          testCase "a class before a picture is the inner network's, and either may be left out"
          <| fun () ->
              Scope.run0 (fun () ->
                  let n, sample = 4, [ 1; 6; 6 ]
                  let told = { Told.numbers sample with HasClass = true }

                  let inner =
                      Catalogue.networks.Make
                          { Name = "unet"; Numbers = [] }
                          { Sample = Told.sample told sample
                            Data = "a test"
                            Width = 16
                            Depth = 1
                            Times = 1
                            Outputs = 1
                            Classes = Some 3
                            Role = NetworkRole.Field
                            Tokens = None }

                  let network = Told.network told inner
                  let parameters = drawn network
                  let x = Rng.normal Kind.Float64 (n :: sample) (Rng.ofSeed 1L)
                  let t = Rng.uniform Kind.Float64 [ n ] (Rng.ofSeed 2L)
                  let said condition = network.Apply parameters condition t x
                  let picture = Rng.normal Kind.Float64 (n :: sample) (Rng.ofSeed 3L)
                  let unseen = Tensor.full Kind.Float64 (n :: sample) nan
                  let labels = Tensor.ofArray [ n ] [| 0L; 1L; 2L; -1L |]
                  let none = Tensor.full Kind.Int64 [ n ] -1.0
                  let both = said (Some(Given.withClass labels picture))

                  // The inner network, told the class as it always is, beside the picture and where it is seen.
                  let whole = Tensor.cat 1 [ x; picture; Tensor.onesLike picture ]
                  let plain = Tensor.narrow 1 0 1 (inner.Apply parameters (Some labels) t whole)
                  Expect.isTrue (Tensor.same both plain) "the class is the inner network's"
                  Expect.isTrue
                      (Tensor.same (said None) (said (Some(Given.withClass none unseen))))
                      "nothing told is NaN"
                  let ofPicture = said (Some(Given.withClass none picture))
                  let row k (y: Tensor) = Tensor.narrow 0 k 1 y
                  Expect.isFalse (Tensor.same (row 0 both) (row 0 ofPicture)) "a class is seen"
                  Expect.isTrue (Tensor.same (row 3 both) (row 3 ofPicture)) "and its null"
                  Expect.isFalse (Tensor.same both (said (Some(Given.withClass labels unseen)))) "a picture is seen"

                  // The parts are left out one by one, each as a whole.
                  let given = Given.WithClass Given.Inpainting
                  Expect.equal (Given.widths [ 2; 4; 4 ] given) [ 1; 2 ] ""
                  let told =
                      Given.withClass (Tensor.zeros Kind.Int64 [ 4000 ]) (Tensor.zeros Kind.Float64 [ 4000; 2; 4; 4 ])
                  let hidden = isNan (seen (Loss.droppingNumbers [ 1; 2 ] 0.2) told) |> Array.chunkBySize 48
                  Expect.isTrue
                      (hidden
                       |> Array.forall (fun row ->
                           Array.forall ((=) row[0]) row[..15] && Array.forall ((=) row[16]) row[16..]))
                      "whole parts"
                  let share test = (hidden |> Array.filter test |> Array.length |> float) / 4000.0
                  Expect.within 0.04 (share (fun row -> row[0])) 0.36 "the class"
                  Expect.within 0.04 (share (fun row -> row[16])) 0.36 "the picture"
                  Expect.within 0.04 (share (fun row -> row[0] && row[16])) (0.2 + 0.8 * 0.04) "both")

          testCase "a text is told as it stands, and nothing by an empty one alone"
          <| fun () ->
              Scope.run0 (fun () ->
                  let texts = [| "none"; ""; "NA"; "-"; "red" |]
                  let given, told = Given.ofTexts "caption" texts
                  let rows (x: Tensor) = Tensor.toFloats x |> Array.chunkBySize x.Shape[1]
                  let isTold (row: float[]) = not (Array.forall Double.IsNaN row)
                  Expect.equal (rows told |> Array.map isTold) (texts |> Array.map ((<>) "")) "in training"
                  // And as a sample is drawn for them.
                  let asked = rows (Option.get (Given.textsOf given texts))
                  Expect.isTrue
                      (Array.forall2 (fun a b -> isTold a = isTold b && (not (isTold a) || a = b)) (rows told) asked)
                      "afterwards")

          testCase "a text is read whole: its bytes, their order and its end"
          <| fun () ->
              Scope.run0 (fun () ->
                  let b = Blueprint()
                  let layer = TextEncoder.layer b 8
                  let parameters =
                      b.Specs
                      |> Array.mapi (fun k spec ->
                          0.3 * Rng.normal Kind.Float64 spec.Shape (Rng.at (int64 k) (Rng.ofSeed 1L)))
                  let says (texts: string list) =
                      let numbers = texts |> List.map (TextEncoder.bytes 8 >> Option.get) |> Array.concat
                      layer parameters (Tensor.ofArray [ texts.Length; 8 ] numbers)
                  let all = [ "ab"; "ba"; "abb"; "a"; ""; "éa"; "ab" ]
                  let said = says all
                  Expect.equal (List.ofArray said.Shape) [ all.Length; TextEncoder.Width ] ""
                  let rows = floats said |> Array.chunkBySize TextEncoder.Width
                  let apart j k = Array.map2 (fun a b -> abs (a - b)) rows[j] rows[k] |> Array.max

                  for j in 0..5 do
                      for k in 0 .. j - 1 do
                          Expect.isGreaterThan (apart j k) 1e-3 $"'{all[j]}' is not '{all[k]}'"

                  Expect.isLessThan (apart 0 6) 1e-12 "the last is the first"
                  // Each by itself: what else is in the batch changes nothing but rounding.
                  Expect.allWithin 1e-12 (floats (says [ "abb" ])) rows[2] ""
                  Expect.equal (TextEncoder.text (Option.get (TextEncoder.bytes 8 "éa"))) "éa" "and back"
                  Expect.isNone (TextEncoder.bytes 2 "éa") "three bytes")

          testCase "a folder's table tells of its pictures, by their names"
          <| fun () ->
              use folder = new Folder()

              for k in 0..9 do
                  let pixels = Array.create 16 (byte (10 * k))
                  File.WriteAllBytes(folder.File $"{k}.png", Fokker.Pictures.Png.encode 1 4 4 pixels)

              let table = folder.File "metadata.csv"
              let rows = [ for k in 9..-1..0 -> $"""{k}.png,{(if k = 4 then "" else $"number {k}")},{k}""" ]
              File.WriteAllLines(table, "file_name,caption,value" :: rows)
              let name = $"folder:{folder.Path},columns=caption:text+value"

              Scope.run0 (fun () ->
                  let data = Datasets.load name
                  Expect.equal (data.Given |> Option.map Given.text) (Some "caption, value") ""
                  Expect.equal data.Classes [] ""
                  let batch = Dataset.batches Kind.Float64 9 (Rng.ofSeed 1L) data 0L
                  let told = floats (Option.get batch.Label) |> Array.chunkBySize 9
                  Expect.equal told.Length 9 ""

                  for row, image in Array.zip told (floats batch.Data |> Array.chunkBySize 16) do
                      let k = int (Math.Round((image[0] + 1.0) * 12.75))
                      Expect.within 1e-9 row[8] ((float k - 4.5) / sqrt 8.25) "the value of this picture"

                      if k = 4 then
                          Expect.isTrue (row[..7] |> Array.forall Double.IsNaN) "no caption"
                      else
                          Expect.equal (TextEncoder.text row[..7]) $"number {k}" "and its caption")

              Expect.equal
                  (Datasets.telling "columns:caption:text,value" $"folder:{folder.Path},flip=on")
                  $"folder:{folder.Path},columns=caption:text+value,flip=on"
                  "before what is said of all images"

              let wrong text words =
                  let message = (raised<UserError>(fun () -> Datasets.load text |> ignore)).Message
                  for word in words do
                      Expect.stringContains message word text

              // By command, from the training to a picture of a text.
              use elsewhere = new Folder()
              let root = elsewhere.File "runs"
              let words =
                  [ "--steps"; "4"; "--batch"; "4"; "--width"; "8"; "--draws"; "2"; "--name"; "of"; "--runs"; root ]
              let trained = fokker ([ "train"; $"folder:{folder.Path}"; "--condition"; "columns:caption:text" ] @ words)
              Expect.equal trained.Code 0 trained.Error
              Expect.stringContains (File.ReadAllText(Path.Combine(root, "of", "report.html"))) "number " "captions"
              let picture = elsewhere.File "of.png"
              let draw text =
                  fokker
                      [ "sample"; "of"; "--given"; text; "--steps"; "2"; "-n"; "2"; "--out"; picture; "--runs"; root ]
              let drawn = draw "number 3"
              Expect.equal drawn.Code 0 drawn.Error
              Expect.isTrue (File.Exists picture) ""
              assertRefused (draw "number 30") [ "number 30"; "8 bytes" ]

              wrong $"folder:{folder.Path},columns=captoin" [ "captoin"; "did you mean caption" ]
              File.WriteAllLines(table, "file_name,caption,value" :: rows.Tail)
              wrong name [ "metadata.csv"; "no row of 9.png" ]
              File.WriteAllLines(table, "file_name,caption,value" :: rows.Head :: rows)
              wrong name [ "2 of its rows are of 9.png" ]
              File.WriteAllLines(
                  table,
                  "file_name,caption,value" :: [ for k in 0..9 -> $"""{k}.png,{String('a', 300)},1""" ]
              )
              wrong name [ "caption"; "300 bytes"; "256" ]
              File.Delete table
              wrong name [ "metadata.csv" ]

          // 40,000 rows: a share of 0.2 is off by 0.002 (one deviation); five are asked for.
          testCase "a part is left out as a whole: all parts with probability p, and each of the others' with p again"
          <| fun () ->
              Scope.run0 (fun () ->
                  let n, p = 40_000, 0.2
                  let told = Rng.normal Kind.Float64 [ n; 4 ] (Rng.ofSeed 1L)
                  let found = seen (Loss.droppingNumbers [ 1; 3 ] p) told
                  let rows = isNan found |> Array.chunkBySize 4
                  let share test = (rows |> Array.filter test |> Array.length |> float) / float n
                  Expect.isTrue
                      (rows |> Array.forall (fun row -> row[1] = row[2] && row[2] = row[3]))
                      "a word is whole"
                  let each = p + (1.0 - p) * p
                  Expect.within 0.012 (share (fun row -> row[0])) each "the first"
                  Expect.within 0.012 (share (fun row -> row[1])) each "the second"
                  Expect.within 0.012 (share (fun row -> row[0] && row[1])) (p + (1.0 - p) * p * p) "both"

                  // What is there is as it was.
                  for kept, was in Array.zip (floats found) (floats told) do
                      if not (Double.IsNaN kept) then
                          Expect.equal kept was ""

                  let image = Rng.normal Kind.Float64 [ 1000; 1; 2; 2 ] (Rng.ofSeed 1L)
                  let hidden = isNan (seen (Loss.droppingNumbers [] 0.3) image) |> Array.chunkBySize 4
                  Expect.isTrue
                      (hidden |> Array.forall (fun row -> Array.forall ((=) row[0]) row))
                      "an image is one part"
                  Expect.within 0.075 (hidden |> Array.averageBy (fun row -> if row[0] then 1.0 else 0.0)) 0.3 "")

          testCase "columns that are told are standardized, words have a coordinate each, and a missing cell is a null"
          <| fun () ->
              use folder = new Folder()
              let file = folder.File "t.csv"

              File.WriteAllLines(
                  file,
                  "dose,city,effect"
                  :: [ for k in 1..20 ->
                           $"""{(if k = 3 then "NA" else string k)},{(if k % 2 = 0 then "Rome" else "Oslo")},{k * k}""" ]
              )

              Scope.run0 (fun () ->
                  let data = Datasets.load $"csv:{file},given=dose+city"
                  Expect.equal data.Shape [ 1 ] "what is left is learned"
                  Expect.equal (data.Columns |> List.map _.Name) [ "effect" ] ""
                  let batch = Dataset.batches Kind.Float64 18 (Rng.ofSeed 1L) data 0L
                  let told = Option.get batch.Label
                  Expect.equal (List.ofArray told.Shape) [ 18; 3 ] ""
                  let dose =
                      [ for k in 1..20 do
                            if k <> 3 then
                                float k ]
                  let mean = List.average dose
                  let deviation = sqrt (dose |> List.averageBy (fun x -> (x - mean) ** 2.0))

                  for row, effect in
                      Array.zip (floats told |> Array.chunkBySize 3) (floats (Dataset.inData data batch.Data)) do
                      // Squares tell the row.
                      let k = int (Math.Round(sqrt effect))

                      if k = 3 then
                          Expect.isTrue (Double.IsNaN row[0]) "a missing cell"
                      else
                          Expect.within 1e-12 row[0] ((float k - mean) / deviation) ""

                      // Oslo comes before Rome.
                      Expect.equal (row[1], row[2]) (if k % 2 = 0 then -1.0, 1.0 else 1.0, -1.0) "")

              let wrong text words =
                  let message = (raised<UserError>(fun () -> Datasets.load text |> ignore)).Message
                  for word in words do
                      Expect.stringContains message word text

              wrong $"csv:{file},given=dos" [ "dos"; "did you mean dose" ]
              wrong $"csv:{file},columns=effect+dose,given=dose" [ "dose"; "both told and learned" ]
              wrong $"csv:{file},given=dose+city+effect" [ "none is left" ]
              wrong "fashion-mnist,given=blur" [ "blur"; "low-resolution" ]

              let refused text words =
                  let message = (raised<RefusedException>(fun () -> Datasets.load text |> ignore)).Message
                  for word in words do
                      Expect.stringContains message word text

              refused "moons,given=inpainting" [ "inpainting"; "images" ]
              let images = folder.File "images.npy"
              Scope.run0 (fun () -> Npy.write images (Tensor.zeros Kind.Float32 [ 20; 1; 28; 28 ]))
              refused $"npy:{images},given=low-resolution:5" [ "28 × 28"; "5" ]

          testCase "images are told as the means of squares, or but for a box, which a pass and a row decide"
          <| fun () ->
              use folder = new Folder()
              let file = folder.File "x.npy"

              Scope.run0 (fun () ->
                  Npy.write file (squares 30 8)
                  let batch text size step =
                      Dataset.batches Kind.Float64 size (Rng.ofSeed 1L) (Datasets.load text) step

                  let low = batch $"npy:{file},given=low-resolution:2" 6 0L
                  let told = Option.get low.Label
                  let means = Given.reduced 2 low.Data
                  Expect.equal told.Shape low.Data.Shape ""
                  Expect.isTrue (Tensor.same (Given.reduced 2 told) means) "the means of the squares"
                  // Nothing but the means: a square is of one number.
                  let corner = Tensor.reshape [ 6; 1; 4; 2; 4; 2 ] told
                  Expect.isTrue
                      (Tensor.same (Tensor.narrow 3 0 1 corner) (Tensor.narrow 3 1 1 corner)
                       && Tensor.same (Tensor.narrow 5 0 1 corner) (Tensor.narrow 5 1 1 corner))
                      "one number for a square"

                  let name = $"npy:{file},flip=on,given=inpainting"
                  let whole = batch name 27 0L
                  let hidden = Option.get whole.Label
                  let images = isNan hidden |> Array.chunkBySize 64

                  for image, pixels, own in
                      Array.zip3
                          images
                          (floats hidden |> Array.chunkBySize 64)
                          (floats whole.Data |> Array.chunkBySize 64) do
                      let places =
                          [ for k in 0..63 do
                                if image[k] then
                                    k / 8, k % 8 ]
                      let rows, columns = List.map fst places |> List.distinct, List.map snd places |> List.distinct
                      Expect.equal places.Length (rows.Length * columns.Length) "a box"
                      Expect.isTrue (rows.Length >= 2 && rows.Length <= 6) ""
                      Expect.isTrue (columns.Length >= 2 && columns.Length <= 6) ""

                      for k in 0..63 do
                          if not image[k] then
                              Expect.equal pixels[k] own[k] "what is seen is the image"

                  Expect.isGreaterThan (Array.distinct images).Length 10 "boxes differ"

                  // The same rows in batches of another size; other boxes in the next pass.
                  let parts = Tensor.cat 0 [ for step in 0L .. 2L -> Option.get (batch name 9 step).Label ]
                  Expect.isTrue
                      (floats parts
                       |> Array.forall2 (fun a b -> a = b || Double.IsNaN a && Double.IsNaN b) (floats hidden))
                      "the batch's size changes nothing"
                  let next = isNan (Option.get (batch name 27 1L).Label) |> Array.chunkBySize 64
                  Expect.notEqual (Array.sort next) (Array.sort images) "")

          // Without minding what is told, the optimal plan gives each condition a noise of its own.
          testCase "the optimal coupling minds what is told"
          <| fun () ->
              Scope.run0 (fun () ->
                  let n = 256
                  let x0 = Rng.normal Kind.Float64 [ n; 1 ] (Rng.ofSeed 1L)
                  let batch label = { Data = x0; Label = label; Source = None }
                  let matching = Matching.optimal Path.condOT

                  let correlation (paired: Batch) (told: Tensor) =
                      let a, b = told, paired.Source.Value
                      (Tensor.mean (a * b)).ToFloat()
                      / sqrt ((Tensor.mean (a * a)).ToFloat() * (Tensor.mean (b * b)).ToFloat())

                  let plain = Matching.pair matching (Rng.ofSeed 2L) (batch None)
                  Expect.isGreaterThan (correlation plain plain.Data) 0.95 ""
                  let minding = Matching.pair matching (Rng.ofSeed 2L) (batch (Some x0))
                  Expect.isLessThan (abs (correlation minding minding.Label.Value)) 0.35 "")

          // x | dose, city ~ N(2 dose ± 1, ¼); without the dose N(±1, 4.25); of nothing the mixture of both, of variance 5.25.
          testCase "samples of what is given are of the conditional law, and guidance is what its velocities say"
          <| fun () ->
              use folder = new Folder()
              let file = folder.File "effects.csv"
              effects file 6000

              let data = Datasets.load $"csv:{file},given=dose+city"

              let model =
                  Runs.fit
                      { Recipe.standardFor data with
                          Width = 64
                          Depth = 2
                          Steps = 3000L
                          Batch = 256
                          LearningRate = 4e-3
                          LabelDropout = 0.15
                          Ema = 0.995 }
                      data

              let samples (rows: float list) scale =
                  Scope.run (fun () ->
                      let request =
                          { SamplingRequest.standard with
                              Generation =
                                  { GenerationRequest.standard with
                                      Given =
                                          Some { Name = "rows"; Values = Tensor.ofArray [ 1; 3 ] (Array.ofList rows) }
                                      Guidance = { GuidanceRequest.none with Scale = scale } }
                              Count = Some 4000 }

                      let task = Validation.sampling model request
                      Samples.draw task.Model task.Drawing task.Key 4000 (fun _ _ -> ()) |> Tensor.toFloats)

              // Oslo is the first word.
              for what, row, mean, variance in
                  [ "dose 1, Rome", [ 1.0; 0.0; 1.0 ], 3.0, 0.25
                    "dose −0.5, Oslo", [ -0.5; 1.0; 0.0 ], -2.0, 0.25
                    "Rome", [ nan; 0.0; 1.0 ], 1.0, 4.25
                    "dose 1", [ 1.0; nan; nan ], 2.0, 1.25
                    "nothing", [ nan; nan; nan ], 0.0, 5.25 ] do
                  let m, v = meanAndVariance (samples row None)
                  // What 3,000 steps leave: a tenth of the law's own deviation, and of its variance three tenths.
                  Expect.within (0.1 + 0.1 * sqrt variance) m mean $"the mean of {what}"
                  Expect.within (0.05 + 0.3 * variance) v variance $"the variance of {what}"

              // dx/dt = v_∅ + 2 (v_c − v_∅) with the exact velocities of N(3, ¼) and, for the marginal, of its two Gaussians.
              let units = data.Units.Shift[0], data.Units.Scale[0]
              let shift, scale = units
              let law mean variance = (mean - shift) / scale, variance / (scale * scale)

              let velocity (parts: (float * float) list) (t: float) (x: float) =
                  let each =
                      [ for m, v in parts do
                            let a, s2 = 1.0 - t, (1.0 - t) * (1.0 - t) * v + t * t
                            let weight = exp (-0.5 * (x - a * m) ** 2.0 / s2) / sqrt s2
                            weight, (t - a * v) / s2 * (x - a * m) - m ]

                  let total = List.sumBy fst each
                  each |> List.sumBy (fun (w, u) -> w / total * u)

              let exact =
                  let random = Random 1
                  let normal () =
                      sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())
                  let own, all = velocity [ law 3.0 0.25 ], velocity [ law 1.0 4.25; law -1.0 4.25 ]

                  [| for _ in 1..2000 do
                         let mutable x = normal ()
                         let steps = 200

                         for k in steps .. -1 .. 1 do
                             let t = (float k - 0.5) / float steps
                             x <- x - (all t x + 2.0 * (own t x - all t x)) / float steps

                         x * scale + shift |]

              let m, _ = meanAndVariance exact
              let found, _ = meanAndVariance (samples [ 1.0; 0.0; 1.0 ] (Some 2.0))
              Expect.isGreaterThan m 3.2 "guidance goes beyond the law"
              Expect.within 0.25 found m "guided"

          // The mean of a square is the mean of its pixels: samples have it exactly where the network minds what it is told; pixels are N(0, ¼ · ¾) around it.
          full (
              testCase "samples of small images are images of which they are the small ones"
              <| fun () ->
                  use folder = new Folder()
                  let file = folder.File "x.npy"
                  Scope.run0 (fun () -> Npy.write file (squares 3000 8))
                  let data = Datasets.load $"npy:{file},given=low-resolution:2"

                  let model =
                      Runs.fit
                          { Recipe.standardFor data with
                              Steps = 700L
                              Width = 16
                              Batch = 32
                              LearningRate = 4e-3
                              Ema = 0.99 }
                          data

                  Scope.run0 (fun () ->
                      let small = Given.reduced 2 (squares 60 8)
                      let request =
                          { SamplingRequest.standard with
                              Generation =
                                  { GenerationRequest.standard with Given = Some { Name = "small"; Values = small } } }

                      let task = Validation.sampling model request
                      Expect.equal task.Count 60 "as many as are given"
                      let x = Samples.draw task.Model task.Drawing task.Key 60 (fun _ _ -> ())
                      let means = Given.reduced 2 x
                      let error = (Tensor.mean (Tensor.square (means - small))).ToFloat()
                      // The variance of what is given is 17/16.
                      Expect.isLessThan error 0.06 "the means are those that were given"
                      let squares = (Given.inside model.Shape Units.Same (Given.LowResolution 2) means).Value
                      let around = x - squares
                      Expect.within 0.06 ((Tensor.mean (Tensor.square around)).ToFloat()) (0.25 * 0.75) "")
          )

          full (
              testCase "samples are of the text that is given"
              <| fun () ->
                  use folder = new Folder()
                  let file = folder.File "places.csv"
                  let random = Random 4
                  let normal () =
                      sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())
                  let places = [ "far left", -3.0; "near left", -1.0; "near right", 1.0; "far right", 3.0 ]

                  File.WriteAllLines(
                      file,
                      "place,x"
                      :: [ for i in 1..2000 do
                               let text, mean = places[i % 4]
                               $"{text},{mean + 0.2 * normal ()}" ]
                  )

                  let data = Datasets.load (Datasets.telling "columns:place:text" $"csv:{file}")

                  let model =
                      Runs.fit
                          { Recipe.standardFor data with
                              Width = 64
                              Depth = 2
                              Steps = 1000L
                              Batch = 128
                              LearningRate = 4e-3
                              Ema = 0.99 }
                          data

                  let samples (text: string) =
                      Scope.run (fun () ->
                          let own = folder.File "given.csv"
                          File.WriteAllLines(own, [ "place"; text ])
                          let given = TableFile.given model own

                          let request =
                              { SamplingRequest.standard with
                                  Generation = { GenerationRequest.standard with Given = Some given }
                                  Count = Some 500 }

                          let task = Validation.sampling model request
                          Samples.draw task.Model task.Drawing task.Key 500 (fun _ _ -> ()) |> Tensor.toFloats)

                  for text, mean in places do
                      let found = samples text
                      Expect.within 0.25 (fst (meanAndVariance found)) mean text
                      let nearest x = places |> List.minBy (fun (_, other) -> abs (x - other)) |> fst
                      let own = found |> Array.averageBy (fun x -> if nearest x = text then 1.0 else 0.0)
                      Expect.isGreaterThan own 0.97 $"the share of samples that are nearest to {text}"

                  let _, v = meanAndVariance (samples "NA")
                  Expect.within 1.5 v 5.04 "of nothing all four"
                  let message = (raised<UserError>(fun () -> samples "very far to the left" |> ignore)).Message
                  Expect.stringContains message "longer than the 10 bytes" ""
          )

          full (
              testCase "samples are of the class and of the picture that are given, or of either"
              <| fun () ->
                  let x, classes = signed 3000

                  let data =
                      Dataset.ofSamples "signs" "signs on a checker" "signs" x (Some classes)
                      |> Dataset.telling (Given.WithClass(Given.LowResolution 4))

                  let model =
                      Runs.fit
                          { Recipe.standardFor data with
                              Steps = 1200L
                              Width = 16
                              Batch = 64
                              LearningRate = 4e-3
                              LabelDropout = 0.15
                              Ema = 0.99 }
                          data

                  let places (label: string option) (small: Tensor option) =
                      let generation =
                          { GenerationRequest.standard with
                              Class = label
                              Given = small |> Option.map (fun x -> { Name = "small"; Values = x }) }

                      let task =
                          Validation.sampling
                              model
                              { SamplingRequest.standard with Generation = generation; Count = Some 200 }

                      let x = Samples.draw task.Model task.Drawing task.Key 200 (fun _ _ -> ())
                      let mean y = Tensor.toFloats (Tensor.meanRows y)
                      Array.zip (mean x) (mean (x * checker))

                  Scope.run0 (fun () ->
                      let small = Tensor.full Kind.Float64 [ 1; 1; 1; 1 ] 0.7
                      let mean = Array.averageBy
                      let near value found = mean (fun x -> abs (x - value)) found

                      for label, sign in [ "0", -1.0; "1", 1.0 ] do
                          let both = places (Some label) (Some small)
                          Expect.isLessThan (near 0.7 (Array.map fst both)) 0.15 "the mean that is given"
                          Expect.isLessThan (near sign (Array.map snd both)) 0.25 "the sign of the class"
                          let alone = places (Some label) None
                          Expect.isLessThan (near sign (Array.map snd alone)) 0.25 "the sign of the class alone"
                          let spread = snd (meanAndVariance (Array.map fst alone))
                          Expect.within 0.4 spread 1.0 "any mean"

                      let picture = places None (Some small)
                      Expect.isLessThan (near 0.7 (Array.map fst picture)) 0.15 "the mean that is given alone"
                      let ofSecond = picture |> Array.averageBy (fun (_, s) -> if s > 0.0 then 1.0 else 0.0)
                      Expect.within 0.2 ofSecond 0.5 "either sign")
          )

          testCase "a run is told, drawn from, measured, kept and refused by command"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let file = folder.File "effects.csv"
              effects file 200
              let runs words = fokker (words @ [ "--runs"; root ])
              let succeeds (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error
              let train more = runs ([ "train"; $"csv:{file}"; "--name"; "e" ] @ small @ more)
              assertRefused (train [ "--condition"; "columns:dos" ]) [ "dos"; "did you mean dose" ]
              assertRefused (train [ "--condition"; "inpainting" ]) [ "columns:A,B" ]
              assertRefused (train [ "--condition"; "columns:dose"; "--loss"; "mle" ]) [ "dose" ]
              assertRefused (train [ "--condition"; "columns:dose"; "--loss"; "persistent" ]) [ "dose" ]
              succeeds (train [ "--condition"; "columns:dose,city" ])
              Expect.isTrue (File.Exists(Path.Combine(root, "e", "report.html"))) ""
              let given = folder.File "given.csv"
              File.WriteAllLines(given, [ "city,dose"; "Rome,1"; "Oslo,"; ",0.5" ])
              let out name = folder.File name
              let sample more = runs ([ "sample"; "e"; "--steps"; "3" ] @ more)
              succeeds (sample [ "--given"; given; "--out"; out "a.csv" ])
              Expect.equal (File.ReadAllLines(out "a.csv").Length) 4 "a row for each"
              succeeds (sample [ "--given"; given; "--guidance"; "2"; "--out"; out "b.npy" ])
              succeeds (sample [ "-n"; "7"; "--out"; out "c.npy" ])
              assertRefused (sample [ "--given"; given; "-n"; "5"; "--out"; out "c.npy" ]) [ "3 samples"; "-n 5" ]
              assertRefused (sample [ "--guidance"; "2"; "--out"; out "c.npy" ]) [ "dose, city"; "--given" ]
              assertRefused (sample [ "--class"; "1"; "--out"; out "c.npy" ]) [ "class" ]
              File.WriteAllLines(given, [ "city,dose"; "Lima,1" ])
              assertRefused (sample [ "--given"; given; "--out"; out "c.npy" ]) [ "Lima"; "city" ]
              Scope.run0 (fun () -> Npy.write (out "wide.npy") (Tensor.zeros Kind.Float64 [ 2; 5 ]))
              assertRefused (sample [ "--given"; out "wide.npy"; "--out"; out "c.npy" ]) [ "[2; 5]"; "[n; 3]" ]

              // Rows of the same file have what is told of them beside what is scored.
              succeeds (runs [ "likelihood"; "e"; "--data"; file; "--steps"; "4"; "--out"; out "nats.npy" ])
              let nats () = Scope.run (fun () -> floats (Npy.read (out "nats.npy")))
              let own = nats ()
              let lines = File.ReadAllLines file
              // The doses dealt to other rows.
              let cells = lines[1..] |> Array.map (fun line -> line.Split ',')
              File.WriteAllLines(
                  out "dealt.csv",
                  [| yield lines[0]
                     for k in 0 .. cells.Length - 1 do
                         yield $"{cells[(k + 7) % cells.Length][0]},{cells[k][1]},{cells[k][2]}" |]
              )
              succeeds (runs [ "likelihood"; "e"; "--data"; out "dealt.csv"; "--steps"; "4"; "--out"; out "nats.npy" ])
              Expect.notEqual (nats ()) own "a density is of what is told"
              succeeds (runs [ "evaluate"; "e"; "--draws"; "2" ])
              succeeds (runs [ "report"; "e" ])

              // Without dropout there is nothing to be told nothing.
              succeeds (train [ "--condition"; "columns:dose,city"; "--label-dropout"; "0"; "--overwrite" ])
              assertRefused (sample [ "-n"; "7"; "--out"; out "c.npy" ]) [ "dose, city"; "--label-dropout 0.1" ]
              File.WriteAllLines(given, [ "city,dose"; "Rome,1" ])
              succeeds (sample [ "--given"; given; "-n"; "7"; "--out"; out "c.npy" ])
              Scope.run0 (fun () -> Expect.equal (Npy.read (out "c.npy")).Shape[0] 7 "one row for all")
              assertRefused (sample [ "--given"; given; "--guidance"; "2"; "--out"; out "c.npy" ]) [ "--label-dropout" ]

              // Another run is told nothing.
              succeeds (runs ([ "train"; "moons"; "--name"; "m" ] @ small))
              assertRefused (runs [ "sample"; "m"; "--given"; given; "--out"; out "c.npy" ]) [ "nothing" ] ]
