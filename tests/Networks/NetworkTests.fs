module Fokker.Tests.NetworkTests

open System
open Expecto
open Fokker
open Fokker.Tests

// A small U-Net that has everything: folding, two scales, attention at one, labels.
let private unet: Unet =
    { Channels = 2
      Patch = 2
      Width = 4
      Multipliers = [ 1; 2 ]
      Blocks = 1
      Attention = [ 1 ]
      Groups = 2
      Times = 1
      Outputs = 1
      Classes = None }

let private mlp: Mlp = { Mlp.standard 3 with Width = 8; Depth = 2; Time = TimeFeatures.Fourier(4, 1.0) }

/// Every network of the list, on the shapes that it is for.
let private listed =
    [ for part in Networks.parts do
          for shape in [ [ 3 ]; [ 2; 8; 8 ]; [ 2; 7 ] ] do
              let ask: NetworkRequest =
                  { Sample = shape
                    Data = "a test"
                    Width = 8
                    Depth = 2
                    Times = 1
                    Outputs = 1
                    Classes = Some 3
                    Role = NetworkRole.Field
                    Tokens = None }

              // Of sizes that say of themselves how large they are, small ones.
              let numbers =
                  [ for p in part.Parameters ->
                        match p.Name with
                        | "width" -> 8.0
                        | "depth" -> 1.0
                        | "head" -> 4.0
                        | "multipliers" -> 12.0
                        | "attention" -> 2.0
                        | _ -> p.Default ]

              match answer (fun () -> part.Make numbers ask) with
              | Ok network ->
                  let channels = if shape.Length = 2 then " with channels" else ""
                  $"the list's {part.Name}{channels}", network, shape
              | Error _ -> () ]

/// Networks and the shape of one sample.
let private cases =
    listed
    @ [ "mlp", Networks.mlp mlp, [ 3 ]
        "mlp with plain time", Networks.mlp { mlp with Time = TimeFeatures.Plain; Depth = 1 }, [ 3 ]
        "mlp with features of x", Networks.mlp { mlp with Input = Some { Count = 5; Scale = 0.5; Fade = 0.7 } }, [ 3 ]
        "mlp with labels", Networks.mlp { mlp with Classes = Some 3 }, [ 3 ]
        "unet", Networks.unet unet, [ 2; 8; 8 ]
        "unet with labels", Networks.unet { unet with Classes = Some 3 }, [ 2; 8; 12 ]
        "unet without folding, two blocks a scale",
        Networks.unet { unet with Patch = 1; Blocks = 2; Attention = []; Channels = 1 },
        [ 1; 6; 4 ] ]

let private caseNames = [ for name, _, _ in cases -> name ]

let private case name = cases |> List.pick (fun (n, network, shape) -> if n = name then Some(network, shape) else None)

/// How fast a network's features of time turn beside those of the others: it is told the step of a chain of 1000.
let private clock (network: Network) = if network.Name = "adm" then 1e3 else 1.0

/// Parameters at which nothing is zero by construction: networks start out as the zero function.
let private generic kind (seed: int64) (network: Network) =
    let rng = Rng.ofSeed seed

    Network.init kind rng network
    |> Array.mapi (fun k p -> p + 0.2 * Rng.normalLike p (Rng.at (int64 k) (Rng.named "generic" rng)))

let private condition (network: Network) batch : Condition =
    if List.contains ("classes", "3") network.Settings then
        Some(Rng.integers 4L [ batch ] (Rng.ofSeed 5L))
    else
        None

let private input kind shape batch =
    Rng.normal kind (batch :: shape) (Rng.ofSeed 11L), Rng.uniform Kind.Float64 [ batch ] (Rng.ofSeed 12L)

let private largest (x: Tensor) = (Tensor.max (Tensor.abs x)).ToFloat()

let private close what (tolerance: float) (expected: Tensor) (actual: Tensor) =
    Expect.isTrue (actual.Shape = expected.Shape) $"{what}: {actual.Describe()} for {expected.Describe()}"
    let error = largest (actual - expected) / (1.0 + largest expected)
    Expect.isLessThan error tolerance $"{what}: relative error {error:E1}"

let private message (f: unit -> 'T) : string = (raised<ArgumentException>(fun () -> f () |> ignore)).Message

[<Tests>]
let tests =
    testList
        "Network"
        [
          // A network of no hidden width to speak of would not tell: here all of the first layer is read off, from a network whose other layers are one line.
          testCase "the features of x are sines and cosines of its projections, the same for every network"
          <| fun () ->
              Scope.run0 (fun () ->
                  let network = Networks.mlp { mlp with Input = Some { Count = 4; Scale = 2.0; Fade = 0.0 } }
                  let weight = network.Specs |> Array.find (fun spec -> spec.Name = "hidden1.weight")
                  // x, 4 sines, 4 cosines, 4 sines and 4 cosines of time.
                  Expect.isTrue (weight.Shape = [ 8; 3 + 8 + 8 ]) ""
                  let other = Networks.mlp { mlp with Input = Some { Count = 4; Scale = 1.0; Fade = 0.0 } }
                  let parameters = generic Kind.Float64 1L network
                  let t = Tensor.scalar Kind.Float64 0.3
                  let x = Rng.normal Kind.Float64 [ 6; 3 ] (Rng.ofSeed 2L)
                  let y = network.Apply parameters None t x
                  close
                      "made again"
                      1e-15
                      y
                      ((Networks.mlp { mlp with Input = Some { Count = 4; Scale = 2.0; Fade = 0.0 } }).Apply
                          parameters
                          None
                          t
                          x)
                  // Without the columns of x itself, at twice the scale it says of x what at half of it it says of 2 x.
                  let blind =
                      parameters
                      |> Array.mapi (fun k p ->
                          if network.Specs[k].Name = "hidden1.weight" then
                              Tensor.cat 1 [ Tensor.zeros Kind.Float64 [ 8; 3 ]; Tensor.narrow 1 3 16 p ]
                          else
                              p)
                  close "scale" 1e-12 (network.Apply blind None t x) (other.Apply blind None t (2.0 * x))
                  Expect.contains network.Settings ("input", "fourier 4 2 0") ""

                  for bad in
                      [ { Count = 0; Scale = 1.0; Fade = 0.0 }
                        { Count = 4; Scale = 0.0; Fade = 0.0 }
                        { Count = 4; Scale = nan; Fade = 0.0 }
                        { Count = 4; Scale = 1.0; Fade = -1.0 } ] do
                      raised<ArgumentException>(fun () -> Networks.mlp { mlp with Input = Some bad } |> ignore)
                      |> ignore)

          // What is told of x + c t ε is, in the mean over ε, what faded features tell of x: the mean of 100,000 is within its own chance of it.
          testCase "features that fade are the mean of those under noise"
          <| fun () ->
              Scope.run0 (fun () ->
                  let fade, n = 0.7, 100_000

                  let told (fade: float) =
                      let network =
                          Networks.mlp
                              { mlp with Width = 13; Depth = 1; Input = Some { Count = 5; Scale = 0.3; Fade = fade } }

                      // The first layer passes the 13 features on one by one, 60 higher, where silu changes nothing; the output is the first three sines.
                      network.Specs
                      |> Array.map (fun spec ->
                          match spec.Name with
                          | "hidden1.weight" ->
                              Tensor.cat 1 [ Tensor.eye Kind.Float64 13; Tensor.zeros Kind.Float64 [ 13; 8 ] ]
                          | "hidden1.bias" -> Tensor.full Kind.Float64 [ 13 ] 60.0
                          | "output.weight" -> Tensor.narrow 0 3 3 (Tensor.eye Kind.Float64 13)
                          | _ -> Tensor.zeros Kind.Float64 spec.Shape)
                      |> fun parameters -> network.Apply parameters None

                  for t in [ 0.1; 0.5; 1.0 ] do
                      let x = Tensor.ofArray [ 1; 3 ] [| 0.4; -1.1; 0.7 |]
                      let time = Tensor.scalar Kind.Float64 t
                      let noise = Rng.normal Kind.Float64 [ n; 3 ] (Rng.ofSeed 21L)
                      let mean = Tensor.meanOver [ 0 ] (told 0.0 time (x + fade * t * noise))
                      // The deviation of a sine is below 1.
                      Expect.isLessThan (largest (mean - told fade time x)) (5.0 / sqrt (float n)) $"t = {t}")

          testCase "a map that was written before its features faded with two times is what it was"
          <| fun () ->
              Scope.run0 (fun () ->
                  let settings times = { mlp with Times = times; Input = Some { Count = 4; Scale = 3.0; Fade = 50.0 } }
                  let one, two = Networks.mlp (settings 1), Networks.mlp { settings 2 with Fading = Fading.Last }
                  // What such a file says of it: nothing about its fading.
                  Expect.isFalse (two.Settings |> List.exists (fst >> (=) "fading")) ""
                  let read = Option.get (Networks.ofSettings [] "mlp" (Map.ofList two.Settings))
                  Expect.isTrue (read.Specs = two.Specs && read.Settings = two.Settings) "from its settings"
                  // x, 4 sines, 4 cosines, 4 sines and 4 cosines of each time.
                  let weight = read.Specs |> Array.find (fun spec -> spec.Name = "hidden1.weight")
                  Expect.isTrue (weight.Shape = [ 8; 3 + 8 + 2 * 8 ]) ""
                  let two = read
                  let x = Rng.normal Kind.Float32 [ 6; 3 ] (Rng.ofSeed 2L)

                  // Only the features of x are read.
                  let reading (network: Network) =
                      generic Kind.Float32 1L network
                      |> Array.mapi (fun k p ->
                          match network.Specs[k].Name with
                          | "hidden1.weight" ->
                              let own = Rng.normal Kind.Float32 [ 8; 8 ] (Rng.ofSeed 3L)
                              let nothing width = Tensor.zeros Kind.Float32 [ 8; width ]
                              Tensor.cat 1 [ nothing 3; own; nothing (p.Shape[1] - 11) ]
                          // Its first values depend on how much it reads.
                          | "hidden1.bias" -> Tensor.zerosLike p
                          | _ -> p)
                      |> fun parameters -> network.Apply parameters None

                  let at (t: float) = reading one (Tensor.scalar Kind.Float64 t) x
                  let jump (t: float) (s: float) = reading two (Tensor.ofArray [ 1; 2 ] [| t; s |]) x
                  close "a map to the data" 1e-6 (at 0.0) (jump 1.0 0.0)
                  close "a map to noise" 1e-6 (at 1.0) (jump 0.3 1.0)
                  Expect.isGreaterThan (largest (at 0.0 - at 1.0)) 1e-3 "faded"
                  // A preconditioning's time below 0 is one without noise.
                  close "below zero" 1e-6 (at 0.0) (at -1.5))

          // The same columns as for one time, and at the end those of the second time: a velocity's network is a map's with nothing in the last.
          testCase "a map's features fade with the time where it is, and beside that with the one that it leads to"
          <| fun () ->
              Scope.run0 (fun () ->
                  let settings times = { mlp with Times = times; Input = Some { Count = 4; Scale = 0.3; Fade = 1.0 } }
                  let one, two = Networks.mlp (settings 1), Networks.mlp (settings 2)
                  Expect.contains two.Settings ("fading", "first-and-last") ""
                  let read = Option.get (Networks.ofSettings [] "mlp" (Map.ofList two.Settings))
                  Expect.isTrue (read.Specs = two.Specs && read.Settings = two.Settings) "from its settings"
                  let x = Rng.normal Kind.Float64 [ 6; 3 ] (Rng.ofSeed 2L)

                  /// The network that reads these columns of its first layer alone, by the same weights wherever they are.
                  let reading (network: Network) (first: int) (count: int) =
                      generic Kind.Float64 1L network
                      |> Array.mapi (fun k p ->
                          match network.Specs[k].Name with
                          | "hidden1.weight" ->
                              let own = Rng.normal Kind.Float64 [ 8; count ] (Rng.ofSeed 3L)
                              let nothing width = Tensor.zeros Kind.Float64 [ 8; width ]
                              Tensor.cat 1 [ nothing first; own; nothing (p.Shape[1] - first - count) ]
                          | "hidden1.bias" -> Tensor.zerosLike p
                          | _ -> p)
                      |> fun parameters -> network.Apply parameters None

                  let at t = reading one 3 8 (Tensor.scalar Kind.Float64 t) x
                  let each (t: float) (s: float) = Tensor.expand [ 6; 2 ] (Tensor.ofArray [ 1; 2 ] [| t; s |])

                  for t, s in [ 1.0, 0.0; 0.6, 0.3; 0.2, 0.2; 0.3, 1.0 ] do
                      for times in [ each t s; Tensor.ofArray [ 1; 2 ] [| t; s |] ] do
                          close "the first" 1e-12 (at t) (reading two 3 8 times x)
                          close "the last" 1e-12 (at s) (reading two 27 8 times x)

                  Expect.isGreaterThan (largest (at 0.6 - at 0.3)) 1e-3 "they fade")

          testTheory "the output has the input's shape and kind, for either kind of time" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name

                  for kind in [ Kind.Float32; Kind.Float64 ] do
                      let x, t = input kind shape 3
                      let field = network.Apply (generic kind 1L network) (condition network 3)

                      for time in [ t; t[0] ] do
                          let y = field time x
                          Expect.isTrue (y.Shape = x.Shape) (y.Describe())
                          Expect.equal y.Dtype x.Dtype ""
                          Expect.isTrue ((Tensor.all (Tensor.isFinite y)).ToBool()) ""

                      // One time for all is that time for each.
                      close "one time for all" 1e-5 (field (Tensor.expand [ 3 ] t[0]) x) (field t[0] x))

          // A network without borders of its own would not tell what its zeros are: here it is the largest side that it knows.
          testTheory
              "images of any size: with zeros below and to the right, of which nothing is left"
              [ "unet"; "the list's adm-small"; "the list's dit" ]
          <| fun name ->
              Scope.run0 (fun () ->
                  let network, _ = case name
                  let x, t = input Kind.Float64 [ 2; 7; 3 ] 3
                  let field = network.Apply (generic Kind.Float64 1L network) (condition network 3)
                  let whole =
                      Tensor.cat
                          3
                          [ Tensor.cat 2 [ x; Tensor.zeros Kind.Float64 [ 3; 2; 1; 3 ] ]
                            Tensor.zeros Kind.Float64 [ 3; 2; 8; 1 ] ]
                  close "cropped" 1e-12 ((field t whole)[0..2, 0..1, 0..6, 0..2]) (field t x))

          testTheory "a network starts out as the zero function" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float32 shape 3
                  let y = network.Apply (Network.init Kind.Float32 (Rng.ofSeed 3L) network) (condition network 3) t x
                  Expect.equal (largest y) 0 "")

          // Gradients of ⟨c, network⟩ along a random direction in parameter space against a central difference. Its error is
          // of order h² plus rounding over h: with h = 1e-5 in float64 about 1e-10, and derivatives are of order one.
          testTheory "gradients with respect to the parameters are the finite differences" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float64 shape 2
                  let p = generic Kind.Float64 2L network
                  let c = Rng.normalLike x (Rng.ofSeed 13L)
                  let f p = Tensor.sum (c * network.Apply p (condition network 2) t x)
                  let gradients = Diff.grads f p
                  let h = 1e-5

                  for k in 0 .. p.Length - 1 do
                      // Each parameter by itself, along a direction of length one.
                      let v = Rng.normalLike p[k] (Rng.at (int64 k) (Rng.ofSeed 14L))
                      let v = v / sqrt ((Tensor.sum (v * v)).ToFloat())
                      let moved h = p |> Array.mapi (fun j q -> if j = k then q + h * v else q)
                      let difference = ((f (moved h)) - (f (moved -h))).ToFloat() / (2.0 * h)
                      let slope = (Tensor.sum (gradients[k] * v)).ToFloat()
                      Expect.within (1e-7 * (1.0 + abs difference)) slope difference (network.Specs[k].Name))

          testTheory "forward mode in the state and in time is the finite difference" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float64 shape 2
                  let p = generic Kind.Float64 2L network
                  let field = network.Apply p (condition network 2)
                  let dx, dt = Rng.normalLike x (Rng.ofSeed 15L), Rng.normalLike t (Rng.ofSeed 16L) / clock network
                  let y, tangent = Diff.jvps (fun a -> field a[1] a[0]) [| x; t |] [| dx; dt |]
                  let h = 1e-5
                  let difference = (field (t + h * dt) (x + h * dx) - field (t - h * dt) (x - h * dx)) / (2.0 * h)
                  close "value" 1e-12 (field t x) y
                  close "tangent" 1e-7 difference tangent)

          // What MeanFlow, continuous consistency models and likelihoods train through: the gradient of a function of a jvp.
          testTheory "reverse over forward is the finite difference" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float64 shape 2
                  let p = generic Kind.Float64 2L network
                  let dx, dt = Rng.normalLike x (Rng.ofSeed 15L), Rng.normalLike t (Rng.ofSeed 16L) / clock network

                  let f p =
                      let field = network.Apply p (condition network 2)
                      let y, tangent = Diff.jvps (fun a -> field a[1] a[0]) [| x; t |] [| dx; dt |]
                      Tensor.sum (tangent * tangent + y)

                  let gradients = Diff.grads f p
                  let v = p |> Array.mapi (fun k q -> Rng.normalLike q (Rng.at (int64 k) (Rng.ofSeed 17L)))
                  let h = 1e-6
                  let moved h = Array.map2 (fun q w -> q + h * w) p v
                  let difference = ((f (moved h)) - (f (moved -h))).ToFloat() / (2.0 * h)
                  let slope = Array.map2 (fun g w -> (Tensor.sum (g * w)).ToFloat()) gradients v |> Array.sum
                  // Rounding of f over h: 1e-16 · |f| / 1e-6.
                  Expect.within (1e-6 * (1.0 + abs difference)) slope difference "")

          // The divergence of a gradient: forward over reverse, which the Laplacian of a learned energy takes.
          testTheory "forward over reverse is the finite difference" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float64 shape 2
                  let field = network.Apply (generic Kind.Float64 2L network) (condition network 2)
                  let energyGradient = Diff.grad (fun x -> Tensor.sum (Tensor.square (field t x)))
                  let v = Rng.normalLike x (Rng.ofSeed 15L)
                  let h = 1e-5
                  let difference = (energyGradient (x + h * v) - energyGradient (x - h * v)) / (2.0 * h)
                  close "tangent" 1e-7 difference (Diff.gradv energyGradient x v))

          testTheory
              "samples do not see each other: permuting the batch permutes the output, and one sample gives its row"
              caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float32 shape 64
                  let labels = condition network 64
                  let apply = network.Apply(generic Kind.Float32 1L network)
                  let y = apply labels t x
                  let order = Rng.permutation 64 (Rng.ofSeed 18L)
                  let pick = Tensor.indexSelect 0 order
                  // Other blocks of a matrix product, other rounding: some float32 ulps of activations of order one to ten.
                  close "permuted" 1e-4 (pick y) (apply (Option.map pick labels) (pick t) (pick x))

                  for k in [ 0; 17; 63 ] do
                      let row (a: Tensor) = a[k..k]
                      close $"row {k}" 1e-4 (row y) (apply (Option.map row labels) (row t) (row x)))

          testTheory "no labels is the label −1 for all, and labels matter" [ "mlp with labels"; "unet with labels" ]
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float64 shape 3
                  let apply = network.Apply(generic Kind.Float64 1L network)
                  let labels (values: int64[]) = Some(Tensor.ofArray [ 3 ] values)
                  let none = apply None t x
                  // Broadcast or repeated, the sums are the same up to rounding.
                  close "the label −1" 1e-12 none (apply (labels [| -1L; -1L; -1L |]) t x)
                  let mixed = apply (labels [| 0L; -1L; 1L |]) t x
                  close "row without a label" 1e-12 none[1] mixed[1]
                  Expect.isGreaterThan (largest (mixed[0] - none[0])) 1e-3 ""
                  Expect.isGreaterThan (largest (mixed[2] - (apply (labels [| 0L; 0L; 0L |]) t x)[2])) 1e-3 "")

          testTheory
              "a batch of labels −1 teaches what a batch without labels does"
              [ "mlp with labels"; "unet with labels" ]
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, shape = case name
                  let x, t = input Kind.Float64 shape 3

                  let gradients condition =
                      Diff.grads
                          (fun p -> Tensor.sum (Tensor.square (network.Apply p condition t x)))
                          (generic Kind.Float64 1L network)

                  let without = gradients None
                  let dropped = gradients (Some(Tensor.full Kind.Int64 [ 3 ] -1.0))
                  Array.iter2 (close "gradient" 1e-10) without dropped
                  // The rows of the classes are not touched, that of no class is.
                  let table = network.Specs |> Array.findIndex (fun spec -> spec.Name = "label.weight")
                  Expect.equal (largest (Tensor.narrow 0 0 3 dropped[table])) 0.0 ""
                  Expect.isGreaterThan (largest (Tensor.narrow 0 3 1 dropped[table])) 0.0 "")

          testTheory "a parameter of the wrong shape is named, and so is a missing one" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, _ = case name
                  let p = Network.init Kind.Float32 (Rng.ofSeed 1L) network
                  let k = p.Length / 2
                  let wrong = p |> Array.mapi (fun j q -> if j = k then Tensor.zeros Kind.Float32 [ 7; 7; 7 ] else q)
                  let text = message (fun () -> network.Apply wrong)
                  Expect.stringContains text (network.Specs[k].Name) ""
                  Expect.stringContains text "[7; 7; 7] float32" ""
                  let text = message (fun () -> network.Apply p[.. p.Length - 2])
                  Expect.stringContains text (network.Specs[p.Length - 1].Name) ""
                  Expect.stringContains
                      (message (fun () -> network.Apply(Array.append p [| p[0] |])))
                      $"{p.Length + 1}"
                      "")

          testCase "inputs, times and labels that do not fit are refused with what was wanted"
          <| fun () ->
              Scope.run0 (fun () ->
                  let zeros shape = Tensor.zeros Kind.Float32 shape
                  let times n = Tensor.zeros Kind.Float64 [ n ]
                  let start network =
                      network, (network: Network).Apply(Network.init Kind.Float32 (Rng.ofSeed 1L) network)
                  let _, mlp = start (Networks.mlp mlp)
                  let _, unet' = start (Networks.unet unet)
                  let _, labelled = start (Networks.unet { unet with Classes = Some 3 })
                  let says (part: string) f = Expect.stringContains (message f) part ""
                  says "[B; 3]" (fun () -> mlp None (times 2) (zeros [ 2; 4 ]))
                  says "[5]" (fun () -> mlp None (times 2) (zeros [ 5; 3 ]))
                  says "[B; 2; any; any]" (fun () -> unet' None (times 2) (zeros [ 2; 3; 8; 8 ]))
                  says "without classes" (fun () ->
                      unet' (Some(Tensor.zeros Kind.Int64 [ 2 ])) (times 2) (zeros [ 2; 2; 8; 8 ]))
                  says "int64" (fun () -> labelled (Some(zeros [ 2 ])) (times 2) (zeros [ 2; 2; 8; 8 ]))
                  says "3 labels" (fun () ->
                      labelled (Some(Tensor.zeros Kind.Int64 [ 3 ])) (times 2) (zeros [ 2; 2; 8; 8 ])))

          testCase "settings that make no network are refused by name"
          <| fun () ->
              let says (part: string) f = Expect.stringContains (message f) part ""
              says "Width = 0" (fun () -> Networks.mlp { mlp with Width = 0 })
              says "Depth = 0" (fun () -> Networks.mlp { mlp with Depth = 0 })
              says "3 groups" (fun () -> Networks.unet { unet with Groups = 3 })
              says "Multipliers" (fun () -> Networks.unet { unet with Multipliers = [] })
              says "scale 2" (fun () -> Networks.unet { unet with Attention = [ 2 ] })
              says "Patch = 0" (fun () -> Networks.unet { unet with Patch = 0 })

          testTheory "first parameters are a pure function of the key" caseNames
          <| fun (name) ->
              Scope.run0 (fun () ->
                  let network, _ = case name
                  let init seed = Network.init Kind.Float32 (Rng.ofSeed seed) network
                  Expect.isTrue (Array.forall2 Tensor.same (init 1L) (init 1L)) ""

                  for spec, a, b in Array.zip3 network.Specs (init 1L) (init 2L) do
                      match spec.Initializer with
                      | Initializer.Zeros
                      | Initializer.Ones -> Expect.isTrue (Tensor.same a b) spec.Name
                      | Initializer.Uniform _
                      | Initializer.Normal _ -> Expect.isFalse (Tensor.same a b) spec.Name)

          testCase "a parameter's first value does not depend on which others there are"
          <| fun () ->
              Scope.run0 (fun () ->
                  let first (network: Network) =
                      Array.zip network.Specs (Network.init Kind.Float32 (Rng.ofSeed 1L) network)
                      |> Array.map (fun (spec, p) -> spec.Name, p)
                      |> Map.ofArray

                  let plain = first (Networks.mlp mlp)
                  let labelled = first (Networks.mlp { mlp with Classes = Some 3; Depth = 4 })

                  for name, p in Map.toSeq plain do
                      Expect.isTrue (Tensor.same p labelled[name]) name)

          // Fixed key. The mean of n draws has standard error s/√n and their standard deviation one below s/√n: both are held
          // to 4 of those, which a right sampler misses once in 15 000 times, and an error of 2 % shows at n = 65 536.
          testCase "first parameters follow their law"
          <| fun () ->
              Scope.run0 (fun () ->
                  let network initializer : Network =
                      { Name = "test"
                        Settings = []
                        Specs = [| { Name = "w"; Shape = [ 256; 256 ]; Initializer = initializer } |]
                        Apply = fun _ _ _ x -> x
                        Uncertainty = None
                        Fitted = None
                        Dropping = None }

                  let draw initializer =
                      (Network.init Kind.Float32 (Rng.ofSeed 4L) (network initializer))
                      |> Array.head
                      |> Tensor.toFloats

                  let follows (std: float) (values: float[]) =
                      let n = float values.Length
                      let mean = Array.average values
                      let spread = sqrt (Array.averageBy (fun v -> (v - mean) ** 2.0) values)
                      Expect.within (4.0 * std / sqrt n) mean 0.0 ""
                      Expect.within (4.0 * std / sqrt n) spread std ""

                  let uniform = draw (Initializer.Uniform 0.25)
                  follows (0.25 / sqrt 3.0) uniform
                  Expect.between 0.249 0.25 (Array.max uniform) ""
                  Expect.between (-0.25) (-0.249) (Array.min uniform) ""
                  follows 3.0 (draw (Initializer.Normal 3.0))
                  Expect.isTrue (Array.forall ((=) 1.0) (draw Initializer.Ones)) ""
                  Expect.isTrue (Array.forall ((=) 0.0) (draw Initializer.Zeros)) "")

          testCase "every parameter has a name of its own, and the sizes add up"
          <| fun () ->
              for name in caseNames do
                  let network, _ = case name
                  Expect.equal
                      (network.Specs |> Array.map (fun s -> s.Name) |> Array.distinct |> Array.length)
                      network.Specs.Length
                      ""

              // 3·8+8 of the first layer with 2·4 features, 8·8+8 of the second, 8·3+3 of the output.
              Expect.equal (Network.size (Networks.mlp mlp)) (int64 ((3 + 8) * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3)) ""

          testCase "a blind network answers alike at all times, and comes back from its settings as one"
          <| fun () ->
              Scope.run0 (fun () ->
                  let seeing =
                      Networks.mlp
                          { Mlp.standard 3 with
                              Width = 8
                              Depth = 1
                              Input = Some { Count = 4; Scale = 1.0; Fade = 1.0 } }

                  let blind = Networks.blind seeing
                  let again = Option.get (Networks.ofSettings [] "mlp" (Map.ofList blind.Settings))
                  let parameters =
                      Network.init Kind.Float64 (Rng.ofSeed 1L) blind
                      |> Array.mapi (fun k p ->
                          p + 0.1 * Rng.normal Kind.Float64 (List.ofArray p.Shape) (Rng.ofSeed (int64 k)))
                  let x = Rng.normal Kind.Float64 [ 5; 3 ] (Rng.ofSeed 2L)
                  let at (network: Network) (t: float) =
                      Tensor.toFloats (network.Apply parameters None (Tensor.full Kind.Float64 [ 5 ] t) x)

                  Expect.equal (at blind 0.9) (at blind 0.1) "without the time"
                  Expect.equal (at again 0.9) (at blind 0.0) "from its settings"
                  Expect.notEqual (at seeing 0.9) (at seeing 0.1) "with the time")

          testCase "Gaussian frequencies are the quantiles of the half-normal law"
          <| fun () ->
              let f = Embedding.gaussianFrequencies 2.0 1000
              // E|N(0, s²)| = s √(2/π) and E N² = s²; the midpoint rule leaves the far tail out, some parts in a thousand.
              let mean = 2.0 * sqrt (2.0 / Math.PI)
              Expect.within (0.005 * mean) (Array.average f) mean ""
              Expect.within 0.04 (Array.averageBy (fun x -> x * x) f) 4.0 ""
              // The median of |N(0, 1)|.
              Expect.within 1e-4 ((f[499] + f[500]) / 2.0) (2.0 * 0.674489750196082) ""
              Expect.isTrue (f = Array.sort f) ""

          testCase "time features are sines and cosines of 2 pi f t"
          <| fun () ->
              Scope.run0 (fun () ->
                  let t = [| 0.0; 0.3; 1.0 |]
                  let f = [| 0.5; 7.0 |]
                  let y = Embedding.fourier f (Tensor.ofArray [ 3 ] t)
                  Expect.isTrue (y.Shape = [| 3; 4 |]) (y.Describe())

                  let expected =
                      [ for t in t do
                            for wave in [ sin; cos ] do
                                for f in f -> wave (2.0 * Math.PI * f * t) ]

                  for e, a in List.zip expected (List.ofArray (Tensor.toFloats y)) do
                      Expect.within 1e-14 a e "") ]
