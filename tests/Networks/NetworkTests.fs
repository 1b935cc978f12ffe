module Fokker.Tests.NetworkTests

open System
open NUnit.Framework
open Fokker

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
          for shape in [ [ 3 ]; [ 2; 8; 8 ] ] do
              let ask: NetworkRequest =
                  { Sample = shape; Data = "a test"; Width = 8; Depth = 2; Times = 1; Outputs = 1; Classes = Some 3 }

              match answer (fun () -> Part.standard part ask) with
              | Ok network -> $"the list's {part.Name}", network, shape
              | Error _ -> () ]

/// Networks and the shape of one sample.
let private cases =
    listed
    @ [ "mlp", Networks.mlp mlp, [ 3 ]
        "mlp with plain time", Networks.mlp { mlp with Time = TimeFeatures.Plain; Depth = 1 }, [ 3 ]
        "mlp with features of x", Networks.mlp { mlp with Input = Some { Count = 5; Scale = 0.5 } }, [ 3 ]
        "mlp with labels", Networks.mlp { mlp with Classes = Some 3 }, [ 3 ]
        "unet", Networks.unet unet, [ 2; 8; 8 ]
        "unet with labels", Networks.unet { unet with Classes = Some 3 }, [ 2; 8; 12 ]
        "unet without folding, two blocks a scale",
        Networks.unet { unet with Patch = 1; Blocks = 2; Attention = []; Channels = 1 },
        [ 1; 6; 4 ] ]

let private caseNames = [ for name, _, _ in cases -> name ]

let private case name = cases |> List.pick (fun (n, network, shape) -> if n = name then Some(network, shape) else None)

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
    Assert.That((actual.Shape = expected.Shape), $"{what}: {actual.Describe()} for {expected.Describe()}")
    let error = largest (actual - expected) / (1.0 + largest expected)
    Assert.That(error, Is.LessThan tolerance, $"{what}: relative error {error:E1}")

/// A network of no hidden width to speak of would not tell: here all of the first layer is read off, from a network whose other layers are one line.
[<Test>]
let ``the features of x are sines and cosines of its projections, the same for every network`` () =
    Scope.run0 (fun () ->
        let network = Networks.mlp { mlp with Input = Some { Count = 4; Scale = 2.0 } }
        let weight = network.Specs |> Array.find (fun spec -> spec.Name = "hidden1.weight")
        // x, 4 sines, 4 cosines, 4 sines and 4 cosines of time.
        Assert.That((weight.Shape = [ 8; 3 + 8 + 8 ]))
        let other = Networks.mlp { mlp with Input = Some { Count = 4; Scale = 1.0 } }
        let parameters = generic Kind.Float64 1L network
        let t = Tensor.scalar Kind.Float64 0.3
        let x = Rng.normal Kind.Float64 [ 6; 3 ] (Rng.ofSeed 2L)
        let y = network.Apply parameters None t x
        close
            "made again"
            1e-15
            y
            ((Networks.mlp { mlp with Input = Some { Count = 4; Scale = 2.0 } }).Apply parameters None t x)
        // Without the columns of x itself, at twice the scale it says of x what at half of it it says of 2 x.
        let blind =
            parameters
            |> Array.mapi (fun k p ->
                if network.Specs[k].Name = "hidden1.weight" then
                    Tensor.cat 1 [ Tensor.zeros Kind.Float64 [ 8; 3 ]; Tensor.narrow 1 3 16 p ]
                else
                    p)
        close "scale" 1e-12 (network.Apply blind None t x) (other.Apply blind None t (2.0 * x))
        Assert.That(network.Settings, Does.Contain(("input", "fourier 4 2")))

        for bad in [ { Count = 0; Scale = 1.0 }; { Count = 4; Scale = 0.0 }; { Count = 4; Scale = nan } ] do
            Assert.Throws<ArgumentException>(Action(fun () -> Networks.mlp { mlp with Input = Some bad } |> ignore))
            |> ignore)

[<TestCaseSource(nameof caseNames)>]
let ``the output has the input's shape and kind, for either kind of time`` name =
    Scope.run0 (fun () ->
        let network, shape = case name

        for kind in [ Kind.Float32; Kind.Float64 ] do
            let x, t = input kind shape 3
            let field = network.Apply (generic kind 1L network) (condition network 3)

            for time in [ t; t[0] ] do
                let y = field time x
                Assert.That((y.Shape = x.Shape), y.Describe())
                Assert.That(y.Dtype, Is.EqualTo x.Dtype)
                Assert.That((Tensor.all (Tensor.isFinite y)).ToBool())

            // One time for all is that time for each.
            close "one time for all" 1e-5 (field (Tensor.expand [ 3 ] t[0]) x) (field t[0] x))

[<TestCaseSource(nameof caseNames)>]
let ``a network starts out as the zero function`` name =
    Scope.run0 (fun () ->
        let network, shape = case name
        let x, t = input Kind.Float32 shape 3
        let y = network.Apply (Network.init Kind.Float32 (Rng.ofSeed 3L) network) (condition network 3) t x
        Assert.That(largest y, Is.Zero))

/// Gradients of ⟨c, network⟩ along a random direction in parameter space against a central difference. Its error is
/// of order h² plus rounding over h: with h = 1e-5 in float64 about 1e-10, and derivatives are of order one.
[<TestCaseSource(nameof caseNames)>]
let ``gradients with respect to the parameters are the finite differences`` name =
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
            Assert.That(slope, Is.EqualTo(difference).Within(1e-7 * (1.0 + abs difference)), network.Specs[k].Name))

[<TestCaseSource(nameof caseNames)>]
let ``forward mode in the state and in time is the finite difference`` name =
    Scope.run0 (fun () ->
        let network, shape = case name
        let x, t = input Kind.Float64 shape 2
        let p = generic Kind.Float64 2L network
        let field = network.Apply p (condition network 2)
        let dx, dt = Rng.normalLike x (Rng.ofSeed 15L), Rng.normalLike t (Rng.ofSeed 16L)
        let y, tangent = Diff.jvps (fun a -> field a[1] a[0]) [| x; t |] [| dx; dt |]
        let h = 1e-5
        let difference = (field (t + h * dt) (x + h * dx) - field (t - h * dt) (x - h * dx)) / (2.0 * h)
        close "value" 1e-12 (field t x) y
        close "tangent" 1e-7 difference tangent)

/// What MeanFlow, continuous consistency models and likelihoods train through: the gradient of a function of a jvp.
[<TestCaseSource(nameof caseNames)>]
let ``reverse over forward is the finite difference`` name =
    Scope.run0 (fun () ->
        let network, shape = case name
        let x, t = input Kind.Float64 shape 2
        let p = generic Kind.Float64 2L network
        let dx, dt = Rng.normalLike x (Rng.ofSeed 15L), Rng.normalLike t (Rng.ofSeed 16L)

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
        Assert.That(slope, Is.EqualTo(difference).Within(1e-6 * (1.0 + abs difference))))

/// The divergence of a gradient: forward over reverse, which the Laplacian of a learned energy takes.
[<TestCaseSource(nameof caseNames)>]
let ``forward over reverse is the finite difference`` name =
    Scope.run0 (fun () ->
        let network, shape = case name
        let x, t = input Kind.Float64 shape 2
        let field = network.Apply (generic Kind.Float64 2L network) (condition network 2)
        let energyGradient = Diff.grad (fun x -> Tensor.sum (Tensor.square (field t x)))
        let v = Rng.normalLike x (Rng.ofSeed 15L)
        let h = 1e-5
        let difference = (energyGradient (x + h * v) - energyGradient (x - h * v)) / (2.0 * h)
        close "tangent" 1e-7 difference (Diff.gradv energyGradient x v))

[<TestCaseSource(nameof caseNames)>]
let ``samples do not see each other: permuting the batch permutes the output, and one sample gives its row`` name =
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

[<TestCase("mlp with labels")>]
[<TestCase("unet with labels")>]
let ``no labels is the label −1 for all, and labels matter`` name =
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
        Assert.That(largest (mixed[0] - none[0]), Is.GreaterThan 1e-3)
        Assert.That(largest (mixed[2] - (apply (labels [| 0L; 0L; 0L |]) t x)[2]), Is.GreaterThan 1e-3))

[<TestCase("mlp with labels")>]
[<TestCase("unet with labels")>]
let ``a batch of labels −1 teaches what a batch without labels does`` name =
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
        Assert.That(largest (Tensor.narrow 0 0 3 dropped[table]), Is.EqualTo 0.0)
        Assert.That(largest (Tensor.narrow 0 3 1 dropped[table]), Is.GreaterThan 0.0))

let private message (f: unit -> 'T) : string =
    (Assert.Throws<ArgumentException>(Action(fun () -> f () |> ignore)) |> nonNull).Message

[<TestCaseSource(nameof caseNames)>]
let ``a parameter of the wrong shape is named, and so is a missing one`` name =
    Scope.run0 (fun () ->
        let network, _ = case name
        let p = Network.init Kind.Float32 (Rng.ofSeed 1L) network
        let k = p.Length / 2
        let wrong = p |> Array.mapi (fun j q -> if j = k then Tensor.zeros Kind.Float32 [ 7; 7; 7 ] else q)
        let text = message (fun () -> network.Apply wrong)
        Assert.That(text, Does.Contain network.Specs[k].Name)
        Assert.That(text, Does.Contain "[7; 7; 7] float32")
        let text = message (fun () -> network.Apply p[.. p.Length - 2])
        Assert.That(text, Does.Contain network.Specs[p.Length - 1].Name)
        Assert.That(message (fun () -> network.Apply(Array.append p [| p[0] |])), Does.Contain $"{p.Length + 1}"))

[<Test>]
let ``inputs, times and labels that do not fit are refused with what was wanted`` () =
    Scope.run0 (fun () ->
        let zeros shape = Tensor.zeros Kind.Float32 shape
        let times n = Tensor.zeros Kind.Float64 [ n ]
        let start network = network, (network: Network).Apply(Network.init Kind.Float32 (Rng.ofSeed 1L) network)
        let _, mlp = start (Networks.mlp mlp)
        let _, unet' = start (Networks.unet unet)
        let _, labelled = start (Networks.unet { unet with Classes = Some 3 })
        let says (part: string) f = Assert.That(message f, Does.Contain part)
        says "[B; 3]" (fun () -> mlp None (times 2) (zeros [ 2; 4 ]))
        says "[5]" (fun () -> mlp None (times 2) (zeros [ 5; 3 ]))
        says "a multiple of 4" (fun () -> unet' None (times 2) (zeros [ 2; 2; 8; 6 ]))
        says "without classes" (fun () -> unet' (Some(Tensor.zeros Kind.Int64 [ 2 ])) (times 2) (zeros [ 2; 2; 8; 8 ]))
        says "int64" (fun () -> labelled (Some(zeros [ 2 ])) (times 2) (zeros [ 2; 2; 8; 8 ]))
        says "3 labels" (fun () -> labelled (Some(Tensor.zeros Kind.Int64 [ 3 ])) (times 2) (zeros [ 2; 2; 8; 8 ])))

[<Test>]
let ``settings that make no network are refused by name`` () =
    let says (part: string) f = Assert.That(message f, Does.Contain part)
    says "Width = 0" (fun () -> Networks.mlp { mlp with Width = 0 })
    says "Depth = 0" (fun () -> Networks.mlp { mlp with Depth = 0 })
    says "3 groups" (fun () -> Networks.unet { unet with Groups = 3 })
    says "Multipliers" (fun () -> Networks.unet { unet with Multipliers = [] })
    says "scale 2" (fun () -> Networks.unet { unet with Attention = [ 2 ] })
    says "Patch = 0" (fun () -> Networks.unet { unet with Patch = 0 })

[<TestCaseSource(nameof caseNames)>]
let ``first parameters are a pure function of the key`` name =
    Scope.run0 (fun () ->
        let network, _ = case name
        let init seed = Network.init Kind.Float32 (Rng.ofSeed seed) network
        Assert.That(Array.forall2 Tensor.same (init 1L) (init 1L))

        for spec, a, b in Array.zip3 network.Specs (init 1L) (init 2L) do
            match spec.Initializer with
            | Initializer.Zeros
            | Initializer.Ones -> Assert.That(Tensor.same a b, spec.Name)
            | Initializer.Uniform _
            | Initializer.Normal _ -> Assert.That(Tensor.same a b, Is.False, spec.Name))

[<Test>]
let ``a parameter's first value does not depend on which others there are`` () =
    Scope.run0 (fun () ->
        let first (network: Network) =
            Array.zip network.Specs (Network.init Kind.Float32 (Rng.ofSeed 1L) network)
            |> Array.map (fun (spec, p) -> spec.Name, p)
            |> Map.ofArray

        let plain = first (Networks.mlp mlp)
        let labelled = first (Networks.mlp { mlp with Classes = Some 3; Depth = 4 })

        for name, p in Map.toSeq plain do
            Assert.That(Tensor.same p labelled[name], name))

/// Fixed key. The mean of n draws has standard error s/√n and their standard deviation one below s/√n: both are held
/// to 4 of those, which a right sampler misses once in 15 000 times, and an error of 2 % shows at n = 65 536.
[<Test>]
let ``first parameters follow their law`` () =
    Scope.run0 (fun () ->
        let network initializer : Network =
            { Name = "test"
              Settings = []
              Specs = [| { Name = "w"; Shape = [ 256; 256 ]; Initializer = initializer } |]
              Apply = fun _ _ _ x -> x
              Uncertainty = None }

        let draw initializer =
            (Network.init Kind.Float32 (Rng.ofSeed 4L) (network initializer)) |> Array.head |> Tensor.toFloats

        let follows (std: float) (values: float[]) =
            let n = float values.Length
            let mean = Array.average values
            let spread = sqrt (Array.averageBy (fun v -> (v - mean) ** 2.0) values)
            Assert.That(mean, Is.EqualTo(0.0).Within(4.0 * std / sqrt n))
            Assert.That(spread, Is.EqualTo(std).Within(4.0 * std / sqrt n))

        let uniform = draw (Initializer.Uniform 0.25)
        follows (0.25 / sqrt 3.0) uniform
        Assert.That(Array.max uniform, Is.InRange(0.249, 0.25))
        Assert.That(Array.min uniform, Is.InRange(-0.25, -0.249))
        follows 3.0 (draw (Initializer.Normal 3.0))
        Assert.That(Array.forall ((=) 1.0) (draw Initializer.Ones))
        Assert.That(Array.forall ((=) 0.0) (draw Initializer.Zeros)))

[<Test>]
let ``every parameter has a name of its own, and the sizes add up`` () =
    for name in caseNames do
        let network, _ = case name
        Assert.That(
            network.Specs |> Array.map (fun s -> s.Name) |> Array.distinct |> Array.length,
            Is.EqualTo network.Specs.Length
        )

    // 3·8+8 of the first layer with 2·4 features, 8·8+8 of the second, 8·3+3 of the output.
    Assert.That(Network.size (Networks.mlp mlp), Is.EqualTo(int64 ((3 + 8) * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3)))

[<Test>]
let ``Gaussian frequencies are the quantiles of the half-normal law`` () =
    let f = Embedding.gaussianFrequencies 2.0 1000
    // E|N(0, s²)| = s √(2/π) and E N² = s²; the midpoint rule leaves the far tail out, some parts in a thousand.
    Assert.That(Array.average f, Is.EqualTo(2.0 * sqrt (2.0 / Math.PI)).Within(0.5).Percent)
    Assert.That(Array.averageBy (fun x -> x * x) f, Is.EqualTo(4.0).Within(1.0).Percent)
    // The median of |N(0, 1)|.
    Assert.That((f[499] + f[500]) / 2.0, Is.EqualTo(2.0 * 0.674489750196082).Within(1e-4))
    Assert.That((f = Array.sort f))

[<Test>]
let ``time features are sines and cosines of 2 pi f t`` () =
    Scope.run0 (fun () ->
        let t = [| 0.0; 0.3; 1.0 |]
        let f = [| 0.5; 7.0 |]
        let y = Embedding.fourier f (Tensor.ofArray [ 3 ] t)
        Assert.That((y.Shape = [| 3; 4 |]), y.Describe())

        let expected =
            [ for t in t do
                  for wave in [ sin; cos ] do
                      for f in f -> wave (2.0 * Math.PI * f * t) ]

        for e, a in List.zip expected (List.ofArray (Tensor.toFloats y)) do
            Assert.That(a, Is.EqualTo(e).Within 1e-14))
