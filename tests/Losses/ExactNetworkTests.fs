/// Every named loss is least at the exact network: the one that says what the loss estimates, in closed form.
module Fokker.Tests.Losses.ExactNetworkTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Laws

let private key = Rng.ofSeed 41L

// Data on the line, N(m, s²): every path, coupling, flow map and consistency function of it is known.
let private m, s = 0.4, 0.7

let private law = Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| m |]) (Tensor.ofArray [ 1; 1 ] [| s |])

/// E ẋ_t and E[z | x_t] where (x₀, x₁) are Gaussian with covariance c: with V(t) = a² s² + 2abc + b² + γ² and mean a m the velocity is
/// å m + V̇/(2V)·(x − a m), and E[z | x_t] = γ/V·(x − a m).
let private between (i: Interpolant) (c: float) : Field * Field =
    let mean = i.A * m

    let variance = s * s * (i.A ** 2.0) + 2.0 * c * i.A * i.B + i.B ** 2.0 + i.Gamma ** 2.0

    let affine (slope: Curve) (offset: Curve) : Field =
        fun t x ->
            let from = Coefficient.combine [ Number 1.0, x; Curve.at (-1.0 * mean) t, Tensor.onesLike x ]
            Coefficient.combine [ Curve.at slope t, from; Curve.at offset t, Tensor.onesLike x ]

    affine (0.5 * Curve.derivative variance / variance) (Curve.derivative mean),
    affine (i.Gamma / variance) (Constant 0.0)

/// X(t, s, x) of the probability flow, and its mean velocity, at one time the velocity.
let private map (path: GaussianPath) = ConsistencyLaws.gaussianFlow path m (s * s)

let private meanVelocity (path: GaussianPath) : Field =
    fun times x ->
        let t, s = Tensor.flatten (Tensor.narrow 1 0 1 times), Tensor.flatten (Tensor.narrow 1 1 1 times)

        let isOne = Tensor.equalTo 0.0 (t - s)
        let apart = Tensor.perSample x (Tensor.where isOne (Tensor.onesLike t) (s - t))
        let one = Tensor.perSample x (isOne.To Dtype.Float64)
        Tensor.where (Tensor.greaterThan 0.5 one) (Mixture.velocity path law t x) ((map path t s x - x) / apart)

/// What a network inside a consistency model's preconditioning says where the whole is the exact function f(t, x) = X(t, t₀, x)/α(t₀).
let private insideConsistency (path: GaussianPath) : Field =
    let p = Preconditioning.consistency 1.0 path
    let first = fst path.Interior
    let alpha = Curve.eval path.Alpha first

    fun t scaled ->
        let t = if t.Rank = 0 then Tensor.expand [ scaled.Shape[0] ] t else t
        let at (curve: Curve) = Tensor.perSample scaled (Curve.values curve t)
        let x = scaled / at p.In
        let f = map path t (Tensor.full Kind.Float64 [ t.Shape[0] ] first) x / alpha
        let out = at p.Out
        // At the clean end nothing that it says is heard.
        let divisor = Tensor.where (Tensor.equalTo 0.0 out) (Tensor.onesLike out) out
        (f - at p.Skip * x) / divisor

/// The place of the reverse step's true variance between the two that a learned one goes between, from −1 to 1: the posterior's variance is
/// widened by what x_t leaves open of x₀, v + c₀² Var(x₀ | x_t), Var(x₀ | x_t) = s² σ²/(α² s² + σ²).
let private second (path: GaussianPath) (steps: int) : Field =
    let open' t =
        let a, v = Curve.eval path.Alpha t, Curve.eval path.Variance t
        s * s * v / (a * a * s * s + v)

    let at (t: float) =
        let k = int (round (t * float steps))
        let p k = Variational.posterior path (float (k - 1) / float steps) (float k / float steps)
        let own = p k
        let small = if own.Variance > 0.0 then own.Variance else (p 2).Variance
        let true' = own.Variance + own.Data ** 2.0 * open' t
        2.0 * (log true' - log small) / (log own.Forward - log small) - 1.0

    fun t x -> Tensor.perSample x (Tensor.ofArray [ t.Shape[0] ] (Array.map at (Tensor.toFloats t))) + 0.0 * x

/// The exact flow of N(mean, deviation²) on the line at its data: z = (x − mean)/deviation, log |det| = −log deviation.
let private exactFlow (mean: float) (deviation: float) : Field =
    fun _ x -> Tensor.cat 1 [ (x - mean) / deviation; Tensor.full x.Kind [ x.Shape[0]; 1 ] -(log deviation) ]

/// log p(x₀ = k | x_t) of the tokens that a Gaussian on the line falls on: all of them for a mask, and by Bayes for a token that may have been drawn anew.
let private tokenLogits (tokens: Tokens) : Field =
    fun t x ->
        let h = 0.5 * Tokens.spacing tokens
        let places = Tensor.linspace Kind.Float64 -tokens.Bound tokens.Bound tokens.Count
        let below (y: Tensor) = 0.5 * (1.0 + Tensor.erf ((y - m) / (s * sqrt 2.0)))
        let law = log (Tensor.clamp 1e-300 1.0 (below (places + h) - below (places - h)))
        let law = Tensor.reshape [ 1; tokens.Count ] law

        match tokens.Source with
        | TokenSource.Mask -> Tensor.expand [ x.Shape[0]; tokens.Count ] law
        | TokenSource.Uniform ->
            let all = Tensor.reshape [ 1; tokens.Count ] (Tensor.range Kind.Int64 0 tokens.Count)
            let same = (Tensor.equal (Tokens.ofValues tokens x) all).To Dtype.Float64
            let t = Tensor.reshape [ -1; 1 ] t
            law + log ((1.0 - t) * same + t / float tokens.Count)

/// What softplus makes t·Q of: the mean of the rates over x₀ given x_t, which is Gaussian.
let private jumpRates (cells: Cells) (path: GaussianPath) : Field =
    fun t x ->
        let n, nodes = x.Shape[0], 25
        let at (curve: Curve) = Tensor.reshape [ -1; 1 ] (Curve.values curve t)
        let alpha, variance = at path.Alpha, at path.Variance
        let spread = 1.0 / (1.0 / (s * s) + Tensor.square alpha / variance)
        let middle = spread * (m / (s * s) + alpha * x / variance)
        let z = Tensor.reshape [ 1; nodes ] (Tensor.linspace Kind.Float64 -4.0 4.0 nodes)
        let weights = exp (-0.5 * Tensor.square z) / Tensor.sum (exp (-0.5 * Tensor.square z))
        let x0 = middle + sqrt spread * z
        let rates = GeneratorMatching.rates cells path t x0 (Tensor.expand [ n; nodes ] x)
        let mean = Tensor.sumOver [ 2 ] (rates * Tensor.unsqueeze 1 weights) * Tensor.reshape [ -1; 1 ] t
        log (Tensor.expm1 (Tensor.clamp 1e-12 50.0 mean))

/// A loss of the catalogue, what its network says where it is exact, and how many samples tell a network a fifth off from it.
let private exact (name: string) (path: GaussianPath) (output: NetworkOutput) : Field * int =
    let bridge = Interpolant.bridge 0.5
    // Of the entropic plan at ε = 2σ² (law entropic-plan-of-gaussians), and of the monotone map.
    let schrodinger = 0.5 * (sqrt (4.0 * s * s + 0.5 ** 4.0) - 0.5 ** 2.0)
    let both (velocity: Field, z: Field) : Field = fun t x -> Tensor.cat 1 [ velocity t x; z t x ]

    match output with
    // F of f = α x − σ F, with f where the flow ends.
    | NetworkOutput.ConsistencyFunction Rotated ->
        (fun t x ->
            let at (curve: Curve) = Tensor.perSample x (Curve.values curve t)
            (at path.Alpha * x - map path t (Tensor.zerosLike t) x) / at path.Sigma),
        4000
    | NetworkOutput.ConsistencyFunction _ -> insideConsistency path, 4000
    | NetworkOutput.MeanVelocity(_, _, false) -> meanVelocity path, 2000
    // The log-determinant of one coordinate is the logarithm of what its map stretches by.
    | NetworkOutput.MeanVelocity(_, _, true) ->
        let deviation = sqrt ((s * s * (path.Alpha ** 2.0)) + path.Variance)

        (fun times x ->
            let column k = Tensor.flatten (Tensor.narrow 1 k 1 times)
            let t, until = column 0, column 1
            let isOne = Tensor.lessThan 1e-9 (abs (until - t))
            let apart = Tensor.where isOne (Tensor.onesLike t) (until - t)
            let at time = Curve.values (log deviation) time

            let rate =
                Tensor.where isOne (Curve.values (Curve.derivative (log deviation)) t) ((at until - at t) / apart)

            Tensor.cat 1 [ meanVelocity path times x; Tensor.expand x.Shape (Tensor.unsqueeze 1 rate) ]),
        2000
    | NetworkOutput.OtherEnd _ -> exactFlow m s, 4000
    | NetworkOutput.TokenLogits tokens -> tokenLogits tokens, 20_000
    | NetworkOutput.JumpRates cells -> jumpRates cells path, 1000
    | NetworkOutput.Guided _ ->
        (fun times x -> Mixture.velocity path law (Tensor.flatten (Tensor.narrow 1 0 1 times)) x), 4000
    | _ ->

        match name with
        // Probabilistic principal components with as many as there are coordinates: x = w z + m + r η has the law's variance.
        | "vae" ->
            let w = 0.5
            let r2 = s * s - w * w

            (fun times x ->
                let told = Tensor.toFloats times

                let both (said: Tensor) (log: float) =
                    Tensor.cat 1 [ said; Tensor.full x.Kind (List.ofArray x.Shape) log ]

                if told[0] < told[1] then
                    both (w / (s * s) * (x - m)) (log (r2 / (s * s)))
                else
                    both (w * x + m) (0.5 * log r2)),
            4000
        // The velocity is c₁ x + c₀: the gradient of ½ c₁ x² + c₀ x.
        | "energy-dsm" ->
            (fun t x ->
                let velocity (x: Tensor) = Mixture.velocity path law t x
                let c0 = velocity (Tensor.zerosLike x)
                Tensor.sumRows (0.5 * x * (velocity x - c0) + x * c0)),
            4000
        | "cfm"
        | "progressive"
        | "fm" -> Mixture.velocity path law, 4000
        | "cnf" -> Mixture.velocity path law, 1000
        // The process of Ornstein and Uhlenbeck at τ = 3 t²: N(m e^{−τ}, s² e^{−2τ} + 1 − e^{−2τ}), v = −τ̇ (x + ∇log p).
        | "langevin" ->
            (fun t x ->
                let left = exp (-3.0 * Tensor.square t)
                let variance = Tensor.square left * (s * s - 1.0) + 1.0
                let at (y: Tensor) = Tensor.perSample x y
                at (-6.0 * t) * (x - (x - at (m * left)) / at variance)),
            1000
        // Of the tilted law; what is held fixed is that too.
        | "reward" ->
            let tilted = Conditioning.tilted 0.5 (Tensor.ones Kind.Float64 [ 1 ]) None law
            Mixture.velocity path tilted.Law, 1000
        | "i-cfm" -> fst (between (Interpolant.ofPath path) 0.0), 4000
        | "ot-cfm" -> fst (between (Interpolant.ofPath path) s), 400
        | "sb-cfm" -> fst (between bridge schrodinger), 400
        | "sf2m" -> both (between bridge schrodinger), 400
        | "v-prediction" -> Model.reading Prediction.v (Mixture.model path Prediction.velocity law) None, 4000
        | "simple"
        | "vlb" -> Mixture.noise path law, 4000
        | "vlb-learned"
        | "hybrid" ->
            let noise, second = Mixture.noise path law, second path 1000
            (fun t x -> Tensor.cat 1 [ noise t x; second t x ]), 4000
        | "denoiser" -> Mixture.denoiser path law, 4000
        | "edm" -> Mixture.denoiser path law, 4000
        | "dsm"
        | "ncsn"
        | "ism"
        | "ssm"
        | "esm" -> Mixture.score path law, 8000
        | other -> failwith $"the loss {other} is least at nothing that a test knows: give its exact network here"

// Where the model's samples are held fixed the difference of two energies has no least value, and the energy of equilibrium matching is an integral: the laws of section Energies
// say where these rest.
let private byLaws = [ "contrastive"; "persistent"; "equilibrium"; "gan"; "dmd" ]

let names = Objectives.all |> List.map (fun l -> l.Name) |> List.except byLaws

[<Tests>]
let tests =
    testList
        "Losses.ExactNetwork"
        [ testTheory "a loss of the catalogue is least at the exact network" names
          <| fun (name: string) ->
              let entry = Objectives.all |> List.find (fun l -> l.Name = name)

              let used setting (list: PartList<'T>) (other: string) : 'T =
                  entry.Uses
                  |> List.tryFind (fst >> (=) setting)
                  |> Option.bind snd
                  |> Option.defaultValue (PartName.plain other)
                  |> list.Make

              // The flow of the teacher moves: its Gaussian is neither centred nor of unit variance.
              let teacherPath = Path.trigonometric

              let objective =
                  entry.Make
                      { Path = used Setting.Path Catalogue.paths "condot"
                        Prediction = used Setting.Prediction Catalogue.predictions "velocity"
                        Weight = used Setting.Weight Catalogue.weights "uniform"
                        Times = used Setting.Times Catalogue.times "uniform"
                        Coupling = used Setting.Coupling Catalogue.couplings "independent"
                        Source = None
                        SourceScore = None
                        Teacher = Some(Mixture.model teacherPath Prediction.velocity law)
                        TeacherTrained = None
                        Pairs = None
                        Reward = Some(Reward.linear (Tensor.ones Kind.Float64 [ 1 ]), 0.5)
                        // Late in a training: consistency functions are learned from neighbouring times, and agree with the exact one in the limit.
                        Steps = 1000L
                        Dimension = 1
                        HasNull = false }

              let truth, n = exact name objective.Path objective.Output
              let rounds = max 1 (4000 / n)

              let value (network: Field) =
                  [ for k in 1..rounds ->
                        Scope.run (fun () ->
                            let rng = Rng.at (int64 k) key

                            // Held fixed and averaged networks are exact: what is varied is what is trained.
                            let context =
                                { LossContext.ofNetwork (fun _ -> truth) with
                                    Network = (fun _ -> network)
                                    // Every error counts as it is.
                                    Uncertainty = Some(fun t -> Tensor.zerosLike t)
                                    Step = 1000L }

                            let batch =
                                { Data = Mixture.sample n (Rng.named "data" rng) law; Label = None; Source = None }
                            (Tensor.mean (objective.Loss context (Rng.named "loss" rng) batch)).ToFloat()) ]
                  |> List.average

              let least = value truth
              Expect.isTrue (Double.IsFinite least) ""

              let varied (gain: float) (shift: float) : Field =
                  match objective.Output with
                  // Another exact flow: an output that is none has no density.
                  | NetworkOutput.OtherEnd _ -> exactFlow (m + shift) (s / gain)
                  // What is added to all logits alike adds nothing.
                  | NetworkOutput.TokenLogits tokens ->
                      let tilt = Tensor.reshape [ 1; -1 ] (Tensor.linspace Kind.Float64 -10.0 10.0 tokens.Count)
                      fun t x -> gain * truth t x + shift * tilt
                  | _ ->
                      fun t x ->
                          let said = truth t x
                          // What is added to a potential counts by its gradient.
                          gain * said + shift * (if said.Rank = 1 then Tensor.sumRows x else Tensor.onesLike x)

              for gain, shift in [ 0.8, 0.0; 1.2, 0.0; 1.0, 0.2; 1.0, -0.2 ] do
                  let off = value (varied gain shift)
                  Expect.isGreaterThan
                      off
                      least
                      $"{gain} times, {shift} added: {off} where the exact network has {least}" ]
