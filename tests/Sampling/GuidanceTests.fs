/// Guidance against laws in closed form: a mixture whose components have labels is an exact conditional network and an exact null.
module Fokker.Tests.Sampling.GuidanceTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

/// Four components in two dimensions, two of each class.
let private mixture () =
    let means = Tensor.ofArray [ 4; 2 ] [| -1.5; 0.0; 1.0; 1.2; 0.8; -1.0; -0.4; 0.9 |]
    let stds = Tensor.ofArray [ 4; 2 ] [| 0.5; 0.4; 0.3; 0.5; 0.5; 0.45; 0.6; 0.35 |]
    Mixture.ofStds [| 0.3; 0.3; 0.2; 0.2 |] means stds |> Mixture.labelled [| 0; 1; 1; 0 |]

/// The paths that are smooth and not scaled by thousands: relative errors mean the same on all of them.
let private paths = List.map Part.standard Path.parts @ [ Paths.edm ]
let private labels (values: int list) = Tensor.ofArray [ values.Length ] (values |> Array.ofList |> Array.map int64)

/// Times strictly inside, and points that live there.
let private case (path: GaussianPath) (seed: int) (n: int) =
    let rng = Rng.ofSeed (int64 seed)
    let low, high = path.Interior
    let t = Rng.uniform f64 [ n ] (Rng.named "t" rng) * (0.9 * (high - low)) + (low + 0.05 * (high - low))
    let x0 = Mixture.sample n (Rng.named "x0" rng) (mixture ())
    t, Path.sample path t x0 (Rng.normalLike x0 (Rng.named "noise" rng))

let private largest (x: Tensor) = (Tensor.max (abs (Tensor.flatten x))).ToFloat()

/// Rounding, amplified by the conversions: relative to the largest value.
let private agree (expected: Tensor) (actual: Tensor) what =
    close 1e-10 0.0 (largest (actual - expected) / max 1e-3 (largest expected)) what

/// Every pair of a path and a prediction.
let private pairs =
    [ for path in paths do
          for prediction in Prediction.all -> (path.Name, prediction.Name) ]

let private find (path: string) (prediction: string) =
    List.find (fun (p: GaussianPath) -> p.Name = path) paths,
    List.find (fun (p: Prediction) -> p.Name = prediction) Prediction.all

/// The score of each row's own class.
let private conditionalScore path (m: Mixture) (classes: int list) t (x: Tensor) =
    classes
    |> List.mapi (fun row c ->
        let at (a: Tensor) = Tensor.narrow 0 row 1 a
        Mixture.score path (Mixture.ofClass c m) (at t) (at x))
    |> Tensor.cat 0

let private normal (mean: float list) =
    Mixture.gaussian (Tensor.ofArray [ 2 ] (Array.ofList mean)) (Tensor.ofArray [ 2; 2 ] [| 0.3; 0.1; 0.1; 0.2 |])

/// A network told classes whose laws are these, with a law for none: exact, and as wide or as narrow as one likes.
let private network path prediction (none: Mixture) (classes: Mixture list) : Condition -> Field =
    let all = [ for m in none :: classes -> Mixture.network path prediction m ]

    function
    | None -> all.Head
    | Some labels ->
        fun t x ->
            all
            |> List.mapi (fun k field ->
                let mine = (Tensor.equalTo (float (k - 1)) labels).To x.Dtype
                Tensor.unsqueeze 1 mine * field t x)
            |> List.reduce (+)

let private samplers = Samplers.all |> List.map _.Name |> List.filter ((<>) Samplers.ancestralLearned.Name)

/// A network that counts its calls and the samples in them.
let private counting (network: Condition -> Field) =
    let calls = Collections.Generic.List<int>()

    calls,
    fun condition ->
        let field = network condition

        fun (t: Tensor) (x: Tensor) ->
            calls.Add x.Shape[0]
            field t x

[<Tests>]
let tests =
    testList
        "Sampling.Guidance"
        [ testTheory "the exact conditional network is that of the class, and the label −1 that of all" pairs
          <| fun (path: string, prediction: string) ->
              Scope.run0 (fun () ->
                  let path, prediction = find path prediction
                  let t, x = case path 1 6
                  let m = mixture ()
                  let model = Mixture.model path prediction m
                  let classes = [ 0; 1; 1; 0; 0; 1 ]
                  agree (conditionalScore path m classes t x) (Model.score model (Some(labels classes)) t x) "class"
                  agree
                      (Mixture.score path m t x)
                      (Model.score model (Some(labels [ -1; -1; -1; -1; -1; -1 ])) t x)
                      "null")

          testTheory "classifier-free guidance is the same combination of scores whatever the network says" pairs
          <| fun (path: string, prediction: string) ->
              Scope.run0 (fun () ->
                  let path, prediction = find path prediction
                  let t, x = case path 2 6
                  let m = mixture ()
                  let classes = [ 0; 1; 1; 0; 1; 0 ]
                  let own, all = conditionalScore path m classes t x, Mixture.score path m t x

                  for s in [ -1.0; 0.0; 0.5; 1.0; 3.0 ] do
                      let guided = Guidance.model (Guidance.scaled s) (Mixture.model path prediction m)
                      agree (s * own + (1.0 - s) * all) (Model.score guided (Some(labels classes)) t x) $"s = {s}"

                      for t in [ Tensor.reshape [] (Tensor.narrow 0 0 1 t); Tensor.narrow 0 0 1 t ] do
                          let own, all =
                              conditionalScore path m classes (Tensor.expand [ 6 ] (Tensor.reshape [ 1 ] t)) x,
                              Mixture.score path m t x
                          agree
                              (s * own + (1.0 - s) * all)
                              (Model.score guided (Some(labels classes)) t x)
                              "one time for all")

          testTheory "the exact classifier turns the unconditional law into the conditional one" pairs
          <| fun (path: string, prediction: string) ->
              Scope.run0 (fun () ->
                  let path, prediction = find path prediction
                  let t, x = case path 3 6
                  let m = mixture ()
                  let classes = [ 1; 1; 0; 0; 1; 0 ]
                  let model = Mixture.model path prediction m
                  let guided s = Guidance.byClassifier s (Mixture.logClass path m) model
                  let own, all = conditionalScore path m classes t x, Mixture.score path m t x
                  agree own (Model.score (guided 1.0) (Some(labels classes)) t x) "s = 1"
                  agree (all + 2.5 * (own - all)) (Model.score (guided 2.5) (Some(labels classes)) t x) "s = 2.5"
                  agree all (Model.score (guided 2.5) None t x) "no label")

          testCase "the classes' probabilities sum to one, and are the posterior of the components"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m = mixture ()
                  let t, x = case Path.vp 4 8
                  let p c = exp (Mixture.logClass Path.vp m (Tensor.full Kind.Int64 [ 8 ] (float c)) t x)
                  agree (Tensor.onesLike t) (p 0 + p 1) "sum"
                  let r = Mixture.responsibilities Path.vp m t x
                  agree (Tensor.indexSelect 1 (labels [ 0; 3 ]) r |> Tensor.sumOver [ 1 ]) (p 0) "class 0")

          testTheory
              "Gaussians of one covariance: a composition is the path of the product of the laws at every time"
              pairs
          <| fun (path: string, prediction: string) ->
              Scope.run0 (fun () ->
                  let path, prediction = find path prediction
                  let t, x = case path 5 5
                  let laws = [ [ 0.2; -0.3 ]; [ 1.0; 0.5 ]; [ -0.6; 0.4 ] ]
                  let network = network path prediction (normal laws[0]) (List.map normal laws.Tail)
                  let label k = Tensor.full Kind.Int64 [ 5 ] (float k)
                  // p Π (pᵢ/p)^wᵢ has the precision C⁻¹ (1 + Σ wᵢ − Σ wᵢ) and the mean m₀ + Σ wᵢ (mᵢ − m₀).
                  for w1, w2 in [ 1.0, 1.0; 2.0, -0.5; 0.0, 1.0 ] do
                      let mean =
                          List.map3 (fun m0 m1 m2 -> m0 + w1 * (m1 - m0) + w2 * (m2 - m0)) laws[0] laws[1] laws[2]
                      let composed = Guidance.composed [ w1, label 0; w2, label 1 ] network
                      agree (Mixture.network path prediction (normal mean) t x) (composed t x) $"weights {w1}, {w2}")

          testCase
              "Gaussians of different covariances: a composition is the product of the laws at t = 0, and not of their path after it"
          <| fun () ->
              Scope.run0 (fun () ->
                  let law (mean: float) (std: float) =
                      Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| mean |]) (Tensor.ofArray [ 1; 1 ] [| std |])

                  let none, a, b = law 0.0 1.5, law 1.0 0.7, law -0.5 0.9
                  let network = network Path.condOT Prediction.score none [ a; b ]
                  let label k = Tensor.full Kind.Int64 [ 9 ] (float k)
                  let composed = Guidance.composed [ 1.0, label 0; 1.0, label 1 ] network
                  // N(0, 1.5²)·(p_a/p)·(p_b/p): precisions and precision × mean add up.
                  let precision = 1.0 / 0.49 + 1.0 / 0.81 - 1.0 / 2.25
                  let product = law ((1.0 / 0.49 - 0.5 / 0.81) / precision) (sqrt (1.0 / precision))
                  let x = Tensor.linspace f64 -2.0 2.0 9 |> Tensor.unsqueeze 1
                  let gap t =
                      let t = Tensor.scalar f64 t
                      largest (composed t x - Mixture.score Path.condOT product t x)

                  close 1e-12 0.0 (gap 0.0) "t = 0"
                  holds (gap 0.5 > 0.1) "t = 0.5")

          testTheory "guidance goes with every sampler: pushed Gaussians are a Gaussian's own samples" samplers
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let sampler = Samplers.all |> List.find (fun s -> s.Name = name)
                  let path, s = Path.vp, 2.5
                  let m0, m1 = [ 0.2; -0.3 ], [ 1.0; 0.5 ]
                  let network = network path Prediction.noise (normal m0) [ normal m1 ]
                  let guided = Guidance.model (Guidance.scaled s) (Model.make path Prediction.noise network)
                  let pushed =
                      Mixture.model path Prediction.noise (normal (List.map2 (fun a b -> a + s * (b - a)) m0 m1))
                  let plan = { Sampling.plan sampler 12 guided with Kind = f64 }

                  let draw (model: Model) condition =
                      match
                          Sampling.run
                              plan
                              model
                              condition
                              (Noise.fresh (Rng.ofSeed 5L))
                              (Sampling.start plan path [ 2 ] 7 (Rng.ofSeed 5L))
                      with
                      | Ok x -> x
                      | Error failure -> failwith (string failure)

                  agree (draw pushed None) (draw guided (Some(Tensor.zeros Kind.Int64 [ 7 ]))) name)

          testCase "autoguidance by the model itself is the model, whatever it predicts"
          <| fun () ->
              Scope.run0 (fun () ->
                  let t, x = case Path.condOT 6 5
                  let m = mixture ()
                  let model prediction = Mixture.model Path.condOT prediction m
                  let some = Some(labels [ 0; 1; 0; 1; 1 ])
                  let plain = (model Prediction.velocity).Network some t x
                  let itself =
                      Guidance.autoguided (Guidance.scaled 2.0) (model Prediction.velocity) (model Prediction.velocity)
                  Expect.equal (largest (itself.Network some t x - plain)) 0.0 ""

                  for prediction in Prediction.all do
                      let weaker = model prediction
                      agree
                          plain
                          ((Guidance.autoguided (Guidance.scaled 2.0) weaker (model Prediction.velocity)).Network
                              some
                              t
                              x)
                          prediction.Name

                  let text =
                      raises<ArgumentException, _>(fun () ->
                          Guidance.autoguided (Guidance.scaled 2.0) (Mixture.model Path.vp Prediction.noise m) itself)

                  names [ "vp"; "condot" ] text)

          testCase "autoguidance pushes away from what the weaker model says"
          <| fun () ->
              Scope.run0 (fun () ->
                  let t, x = case Path.vp 7 5
                  let strong, weak = normal [ 1.0; 0.0 ], normal [ 0.4; 0.2 ]
                  let guided =
                      Guidance.autoguided
                          (Guidance.scaled 3.0)
                          (Mixture.model Path.vp Prediction.data weak)
                          (Mixture.model Path.vp Prediction.noise strong)
                  let expected = 3.0 * Mixture.score Path.vp strong t x - 2.0 * Mixture.score Path.vp weak t x
                  agree expected (Model.score guided None t x) "score")

          testCase
              "guidance is one call of twice the batch, and none is spent where it is plain or outside its interval"
          <| fun () ->
              Scope.run0 (fun () ->
                  let path = Path.vp
                  let calls, network = counting (Mixture.conditional path Prediction.noise (mixture ()))
                  let model = (Model.make path Prediction.noise network)
                  let some = Some(labels [ 0; 1; 0; 1 ])
                  let _, x = case path 8 4

                  let cost g condition (t: float) =
                      calls.Clear()
                      (Guidance.model g model).Network condition (Tensor.scalar f64 t) x |> ignore
                      List.ofSeq calls

                  Expect.equal (cost (Guidance.scaled 2.0) some 0.5) ([ 8 ]) ""
                  Expect.equal (cost (Guidance.scaled 1.0) some 0.5) ([ 4 ]) ""
                  Expect.equal (cost (Guidance.scaled 0.0) some 0.5) ([ 4 ]) ""
                  Expect.equal (cost (Guidance.scaled 2.0) None 0.5) ([ 4 ]) ""
                  let between = { Guidance.scaled 2.0 with Interval = Some(0.3, 1.0) }
                  let level t = Curve.eval (Guidance.noiseLevel path) t
                  holds
                      (level 0.05 < 0.3 && level 0.2 > 0.3 && level 0.2 < 1.0 && level 0.6 > 1.0)
                      "the interval is in the middle"
                  Expect.equal (cost between some 0.05) ([ 4 ]) ""
                  Expect.equal (cost between some 0.2) ([ 8 ]) ""
                  Expect.equal (cost between some 0.6) ([ 4 ]) "")

          testCase "outside the interval guidance is plain, inside it is guidance, sample by sample"
          <| fun () ->
              Scope.run0 (fun () ->
                  let path = Path.vp
                  let model = Mixture.model path Prediction.velocity (mixture ())
                  let some = Some(labels [ 0; 1; 0; 1 ])
                  let _, x = case path 9 4
                  let t = Tensor.ofArray [ 4 ] [| 0.05; 0.2; 0.6; 0.9 |]
                  let inside = Guidance.scaled 3.0
                  let between = { inside with Interval = Some(0.3, 1.0) }
                  let y = (Guidance.model between model).Network some t x
                  let plain, guided = model.Network some t x, (Guidance.model inside model).Network some t x

                  for row, expected in [ 0, plain; 1, guided; 2, plain; 3, plain ] do
                      Expect.equal (largest (y[row] - expected[row])) 0.0 $"row {row}"

                  holds (largest (guided - plain) > 0.1) "guidance does something"
                  // The upper end belongs to the interval, the lower one does not.
                  let level = Curve.eval (Guidance.noiseLevel path) 0.2
                  let at interval =
                      (Guidance.model { inside with Interval = Some interval } model).Network
                          some
                          (Tensor.scalar f64 0.2)
                          x
                  let here = (Guidance.model inside model).Network some (Tensor.scalar f64 0.2) x
                  Expect.equal (largest (at (0.0, level) - here)) 0.0 ""
                  holds (largest (at (level, infinity) - here) > 0.1) "the lower end")

          testPropertyWithConfig
              (tries 20)
              "rescaled guidance has the deviation of the plain prediction, or that share of the way to it"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let t, x = case Path.condOT seed 4
                  let model = Mixture.model Path.condOT Prediction.v (mixture ())
                  let some = Some(labels [ 0; 1; 1; 0 ])
                  let with' phi = (Guidance.model { Guidance.scaled 4.0 with Rescale = phi } model).Network some t x
                  let deviation (y: Tensor) = sqrt (Tensor.varianceOver [ 1 ] 1 y)
                  let plain, guided =
                      model.Network some t x, (Guidance.model (Guidance.scaled 4.0) model).Network some t x
                  agree guided (with' 0.0) "φ = 0"
                  agree (deviation plain) (deviation (with' 1.0)) "φ = 1"
                  agree (0.7 * with' 1.0 + 0.3 * guided) (with' 0.7) "φ = 0.7")

          // A prediction of one coordinate has no spread to put back, nor has one that is the same everywhere: it stays as it was, and the other samples of the batch are rescaled.
          testCase "guidance of a constant sample is left as it is by rescaling"
          <| fun () ->
              Scope.run0 (fun () ->
                  let field (scale: float) : Condition -> Field =
                      function
                      | Some _ -> fun _ x -> x * scale
                      | None -> fun _ x -> 0.5 * x

                  let level = Guidance.noiseLevel Path.condOT
                  let t = Tensor.scalar f64 0.5

                  let guided phi (x: Tensor) =
                      Guidance.against
                          { Guidance.scaled 3.0 with Rescale = phi }
                          level
                          (field 0.5)
                          (field 2.0)
                          (Some(labels [ 0; 1 ]))
                          t
                          x

                  let one = Tensor.ofArray [ 2; 1 ] [| 0.7; -1.2 |]
                  agree (guided 0.0 one) (guided 0.7 one) "one coordinate"
                  let x = Tensor.ofArray [ 2; 3 ] [| 0.4; 0.4; 0.4; 0.4; -1.0; 2.0 |]
                  let found = guided 1.0 x
                  agree (Tensor.narrow 0 0 1 (guided 0.0 x)) (Tensor.narrow 0 0 1 found) "a constant sample"
                  agree (2.0 * Tensor.narrow 0 1 1 x) (Tensor.narrow 0 1 1 found) "another one has its deviation back")

          testCase "a coupled flow is guided in its velocity and in its noise"
          <| fun () ->
              Scope.run0 (fun () ->
                  let network = Mixture.conditional Path.condOT Prediction.velocity (mixture ())
                  let noise = Mixture.conditional Path.condOT Prediction.noise (mixture ())
                  let own = { Interpolant = Interpolant.linear; Velocity = network; Noise = Some(noise, Constant 0.3) }
                  let guided = Guidance.flow { Guidance.scaled 2.0 with Interval = Some(0.0, 1.0) } own
                  let _, x = case Path.condOT 10 2
                  let some = Some(labels [ 0; 1 ])

                  let both (field: Condition -> Field) t = 2.0 * field some t x - field None t x

                  for t, isInside in [ 0.4, true; 0.6, false ] do
                      let t = Tensor.scalar f64 t
                      let expected (field: Condition -> Field) = if isInside then both field t else field some t x
                      agree (expected network) (guided.Velocity some t x) "velocity"
                      agree (expected noise) ((fst (Option.get guided.Noise)) some t x) "noise")

          // What a likelihood along a guided flow needs.
          testCase "derivatives pass through guidance: a guided field's divergence is that of the combination"
          <| fun () ->
              Scope.run0 (fun () ->
                  let path = Path.condOT
                  let _, x = case path 11 4
                  let m = mixture ()
                  let model = Mixture.model path Prediction.velocity m
                  let some, one = Some(labels [ 0; 1; 1; 0 ]), Tensor.scalar f64 0.4
                  let divergence (model: Model) condition =
                      snd (Diff.valueAndDivergence (model.Network condition one) x)
                  let own, all = divergence model some, divergence model None
                  agree
                      (3.0 * own - 2.0 * all)
                      (divergence (Guidance.model (Guidance.scaled 3.0) model) some)
                      "classifier-free"
                  let inside = { Guidance.scaled 3.0 with Interval = Some(0.5, 1.0) }
                  agree (3.0 * own - 2.0 * all) (divergence (Guidance.model inside model) some) "in the interval"
                  let guided = Guidance.byClassifier 1.0 (Mixture.logClass path m) model
                  agree own (divergence guided some) "by the exact classifier")

          testCase "settings that mean nothing are refused"
          <| fun () ->
              let refused g =
                  raises<ArgumentException, _>(fun () -> Guidance.classifierFree g Curve.time (fun _ _ x -> x))
              names [ "NaN" ] (refused (Guidance.scaled nan))
              names [ "1.5"; "0 to 1" ] (refused { Guidance.scaled 2.0 with Rescale = 1.5 })
              names [ "2"; "1"; "low < high" ] (refused { Guidance.scaled 2.0 with Interval = Some(2.0, 1.0) })
              raises<ArgumentException, _>(fun () -> Guidance.composed [] (fun _ _ x -> x))
              |> names [ "no conditions" ] ]
