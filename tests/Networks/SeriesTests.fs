/// The U-Net along series: its convolution number by number, lengths of any kind, what it refuses, and that it learns what a perceptron does not.
module Fokker.Tests.Networks.SeriesTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private small: Unet1d =
    { Unet1d.standard with Width = 8; Multipliers = [ 1; 2 ]; Attention = [ 2 ]; Heads = 2; Groups = 2 }

let private generic (network: Network) =
    let rng = Rng.ofSeed 2L

    Network.init Kind.Float64 rng network
    |> Array.mapi (fun k p -> p + 0.2 * Rng.normalLike p (Rng.at (int64 k) rng))

let private largest (x: Tensor) = (Tensor.max (Tensor.abs x)).ToFloat()

let private close what (expected: Tensor) (actual: Tensor) =
    Expect.isTrue (actual.Shape = expected.Shape) $"{what}: {actual.Describe()} for {expected.Describe()}"
    Expect.isLessThan (largest (actual - expected)) (1e-11 * (1.0 + largest expected)) what

/// An oscillation whose frequency wanders between 1/32 and 1/8, written as a table of one column.
let private oscillation (file: string) (count: int) =
    let random = Random 1
    let normal () = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())
    let mutable phase, u = 0.0, 0.0

    let values =
        [| for _ in 1..count do
               u <- u + 0.008 * normal ()
               // Thrown back at the ends.
               u <-
                   if u > 1.0 then 2.0 - u
                   elif u < -1.0 then -2.0 - u
                   else u
               phase <- phase + 2.0 * Math.PI / 16.0 * 2.0 ** u
               sin phase |]

    File.WriteAllLines(file, "x" :: [ for v in values -> v.ToString("R", Globalization.CultureInfo.InvariantCulture) ])

/// The share of a window's energy that no sine of one frequency between 1/40 and 1/6 explains, the least over frequencies.
let private unexplained (window: float[]) : float =
    let dot (a: float[]) (b: float[]) = Array.fold2 (fun sum x y -> sum + x * y) 0.0 a b

    seq {
        for k in 0..120 do
            let f = 1.0 / 40.0 * (40.0 / 6.0) ** (float k / 120.0)
            let wave (shape: float -> float) = Array.init window.Length (fun i -> shape (2.0 * Math.PI * f * float i))
            let s, c = wave Math.Sin, wave Math.Cos
            let ss, sc, cc, sx, cx = dot s s, dot s c, dot c c, dot s window, dot c window
            let determinant = ss * cc - sc * sc
            let a, b = (cc * sx - sc * cx) / determinant, (ss * cx - sc * sx) / determinant
            1.0 - (a * sx + b * cx) / dot window window
    }
    |> Seq.min

let private refusal (work: unit -> 'T) : Refusal = raised<RefusedException>(work >> ignore).Refusal

[<Tests>]
let tests =
    testList
        "Network.unet-1d"
        [ testCase "a convolution along a series is its sum, with every stride"
          <| fun () ->
              Scope.run0 (fun () ->
                  for size, stride in [ 3, 1; 5, 1; 3, 2; 1, 1 ] do
                      let b = Blueprint()
                      let layer = Layer.convAlong b size stride 2 3
                      let p =
                          [| for spec in b.Specs ->
                                 Rng.normal Kind.Float64 spec.Shape (Rng.named spec.Name (Rng.ofSeed 3L)) |]
                      let x = Rng.normal Kind.Float64 [ 4; 2; 1; 8 ] (Rng.ofSeed 4L)
                      let y = layer p x
                      let w, bias = Tensor.toFloats p[0], Tensor.toFloats p[1]
                      let numbers = Tensor.toFloats x
                      let at n i l = if l < 0 || l > 7 then 0.0 else numbers[(n * 2 + i) * 8 + l]

                      let expected =
                          [| for n in 0..3 do
                                 for o in 0..2 do
                                     for l in 0 .. 8 / stride - 1 ->
                                         bias[o]
                                         + Seq.sum (
                                             seq {
                                                 for i in 0..1 do
                                                     for k in 0 .. size - 1 ->
                                                         w[(o * 2 + i) * size + k] * at n i (stride * l + k - size / 2)
                                             }
                                         ) |]

                      close $"{size} by {stride}" (Tensor.ofArray [ 4; 3; 1; 8 / stride ] expected) y)

          testCase "series of any length, as vectors or with channels: zeros at their end, of which nothing is left"
          <| fun () ->
              Scope.run0 (fun () ->
                  for channels, shape in [ None, [ 7 ]; Some 2, [ 2; 7 ]; None, [ 1 ] ] do
                      let network =
                          Unet1d.network { small with Channels = channels; Multipliers = [ 1; 1; 2 ]; Outputs = 2 }
                      let field = network.Apply (generic network) None
                      let x = Rng.normal Kind.Float64 (3 :: shape) (Rng.ofSeed 5L)
                      let t = Rng.uniform Kind.Float64 [ 3 ] (Rng.ofSeed 6L)
                      let length = List.last shape
                      let last = shape.Length
                      let whole =
                          Tensor.cat
                              last
                              [ x
                                Tensor.zeros
                                    Kind.Float64
                                    (3 :: (shape |> List.mapi (fun k n -> if k = last - 1 then 4 - n % 4 else n))) ]
                      let long = field t whole
                      let own = whole.Shape[last]

                      // Two outputs, one after the other.
                      let part k =
                          match channels with
                          | None -> Tensor.narrow 1 (k * own) length long
                          | Some c -> Tensor.narrow 2 0 length (Tensor.narrow 1 (k * c) c long)

                      close "cut off" (Tensor.cat 1 [ part 0; part 1 ]) (field t x))

          testCase "its settings make it again, and one of a vector is one of a channel"
          <| fun () ->
              Scope.run0 (fun () ->
                  for s in [ small; { small with Channels = Some 3; Classes = Some 4; Times = 2; Kernel = 5 } ] do
                      let network = Unet1d.network s
                      let again = Option.get (Networks.ofSettings [] network.Name (Map.ofList network.Settings))
                      Expect.isTrue (again.Specs = network.Specs && again.Settings = network.Settings) ""

                  let vector, channel = Unet1d.network small, Unet1d.network { small with Channels = Some 1 }
                  let p = generic vector
                  let x = Rng.normal Kind.Float64 [ 3; 10 ] (Rng.ofSeed 5L)
                  let t = Tensor.scalar Kind.Float64 0.4
                  close "" (vector.Apply p None t x) (Tensor.squeeze 1 (channel.Apply p None t (Tensor.unsqueeze 1 x))))

          testCase "settings that make no network are refused by name"
          <| fun () ->
              let says (part: string) s =
                  Expect.stringContains
                      (raised<ArgumentException>(fun () -> Unet1d.network s |> ignore)).Message
                      part
                      ""

              says "Kernel = 4" { small with Kernel = 4 }
              says "Multipliers" { small with Multipliers = [] }
              says "scale 3" { small with Attention = [ 3 ] }
              says "3 groups" { small with Groups = 3 }
              says "3 heads" { small with Heads = 3 }
              says "Channels = 0" { small with Channels = Some 0 }

              let images = Datasets.load "moons"
              let refused (text: string) (ask: NetworkRequest) =
                  let name = (Networks.parts |> List.find (fun p -> p.Name = "unet-1d"))
                  let numbers =
                      [ for p in name.Parameters ->
                            if text.StartsWith(p.Name + "=", StringComparison.Ordinal) then
                                float (text.Split('=')[1])
                            else
                                p.Default ]
                  (refusal (fun () -> name.Make numbers ask)).Setting

              let ask: NetworkRequest =
                  { Sample = [ 16 ]
                    Data = images.Name
                    Width = 32
                    Depth = 1
                    Times = 1
                    Outputs = 1
                    Classes = None
                    Role = NetworkRole.Field
                    Tokens = None }

              Expect.equal (refused "" { ask with Sample = [ 1; 8; 8 ] }) Setting.Network "images"
              Expect.equal
                  (refused "" { ask with Tokens = Some { Count = 4; Bound = 1.0; Source = TokenSource.Mask } })
                  Setting.Network
                  "tokens"
              Expect.equal (refused "" { ask with Role = NetworkRole.Bijection }) Setting.Network "an inverse"
              Expect.equal (refused "kernel=4" ask) Setting.Network "an even kernel"
              Expect.equal (refused "attention=7" ask) Setting.Network "a scale that is not there"
              Expect.equal (refused "heads=5" ask) Setting.Width "heads"

          testCase "series are trained with it unless another is asked for; points and short windows are not"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "x.csv")
                  oscillation file 400

                  Scope.run0 (fun () ->
                      let network (data: string) = (Recipe.standardFor (Datasets.load data)).Network.Name
                      Expect.equal (network $"series:{file},window=32") "unet-1d" ""
                      Expect.equal (network $"series:{file},window=4") "mlp" ""
                      Expect.equal (network $"csv:{file}") "mlp" "one column"
                      Expect.equal (network "moons") "mlp" ""))

          full (
              testCase "it learns sines of any phase and frequency, where a perceptron of three times its steps has not"
              <| fun () ->
                  inFolder (fun folder ->
                      let file = Path.Combine(folder, "x.csv")
                      oscillation file 20_000

                      Scope.run0 (fun () ->
                          let data = Datasets.load $"series:{file},window=64"

                          let share (network: string) (steps: int64) =
                              let ask =
                                  { TrainingRequest.standard with
                                      Network = Some network
                                      Steps = Some steps
                                      Batch = Some 64 }
                              let model = Runs.fit (TrainingRequest.recipe data ask) data
                              let x = Samples.ofSeed 1L 200 model
                              let rows = Tensor.toFloats x |> Array.chunkBySize 64
                              rows |> Array.averageBy unexplained

                          let own = Dataset.inData data (Dataset.heldOut Kind.Float64 200 (Rng.ofSeed 3L) data).Data
                          let floor = Tensor.toFloats own |> Array.chunkBySize 64 |> Array.averageBy unexplained
                          let along, plain = share "unet-1d" 400L, share "mlp" 1200L
                          Expect.isLessThan along 0.08 $"along the series, where the data have {floor}"
                          Expect.isLessThan along (0.2 * plain) $"a perceptron: {plain}"))
          ) ]
