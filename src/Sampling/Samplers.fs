namespace Fokker

open System

/// What a sampler follows, and so what it can be used on.
[<NoComparison; NoEquality>]
type Follows =
    /// dx/dt = v(t, x), any flow.
    | Velocity of Tableau
    /// The process with c times the diffusion of the path's SDE (`Sde.withChurn`; c = 1 is its reversal), or one that was learned.
    | Process of churn: float * (Sde -> Step)
    /// E[x₀ | x] and E[ε | x] on a Gaussian path.
    | Denoiser of (Readings -> Step)
    /// Laws by their log-densities up to a constant, from N(0, I) at β = 0 to the one to sample at β = 1: the energies of `EnergySamplers`.
    | Target of ((float -> Unnormalized) -> Step)
    /// The jumps of a model that jumps, with so many corrections after each step (`JumpProcess.stepWith`).
    | Leaps of corrections: int

/// A way to turn noise into data: a method by name.
[<NoComparison; NoEquality>]
type Sampler =
    {
        Name: string
        /// The step as an equation.
        Equation: string
        Reference: string
        Follows: Follows
        /// Order of convergence in the step, its start-up steps included: of the samples for deterministic methods, of their law for
        /// stochastic ones (which are all of strong order 1: their noise does not depend on the state). 0 where there is a bias that
        /// more steps do not remove.
        Order: int
        IsStochastic: bool
        /// Draws of standard normal numbers a step, each like the state; 0 where nothing is drawn.
        Draws: int
        /// Whether it chooses lengths of its own within a step.
        IsAdaptive: bool
        /// Evaluations of the network in n steps; at least so many where it is adaptive.
        Evaluations: int -> int
        /// The grid that the method takes unless another is given.
        Grid: Grid
    }

    /// Evaluations of the network a step, the first steps' extra ones left out.
    member s.EvaluationsPerStep = s.Evaluations 101 - s.Evaluations 100

[<RequireQualifiedAccess>]
module Samplers =

    // ---- the flow in t

    /// The sampler that follows dx/dt = v by a Runge–Kutta method, one of the library's or one of the caller's own (`Tableau.make`): of the tableau's order, on the
    /// uniform grid, with an evaluation saved at each step where the last stage is the next step's first.
    let ofTableau (tableau: Tableau) : Sampler =
        { Name = tableau.Name
          Equation =
            (match tableau.Weights.Length with
             | 1 -> "one stage on dx/dt = v"
             | n -> $"{n} stages on dx/dt = v")
          Reference = tableau.Reference
          Follows = Velocity tableau
          Order = tableau.Order
          IsStochastic = false
          Draws = 0
          IsAdaptive = false
          Evaluations = fun n -> n * tableau.EvaluationsPerStep + (if tableau.IsFsal && n > 0 then 1 else 0)
          Grid = Grid.uniform }

    let euler = ofTableau Tableau.euler
    let midpoint = ofTableau Tableau.midpoint
    let heun = ofTableau Tableau.heun
    let rk4 = ofTableau Tableau.rk4

    // ---- the flow in λ: semi-linear methods

    /// A sampler by a step in terms of E[x₀ | x] and E[ε | x] that draws nothing: its name, what it does, where it is from, the order that it has been shown to have, evaluations a step.
    /// What else a sampler has (`Evaluations`, `Grid`) is as of most, and replaced where it is not.
    let semilinear name equation reference order (evaluations: int) (step: Readings -> Step) : Sampler =
        { Name = name
          Equation = equation
          Reference = reference
          Follows = Denoiser step
          Order = order
          IsStochastic = false
          Draws = 0
          IsAdaptive = false
          Evaluations = fun n -> n * evaluations
          Grid = Grid.lambda }

    let private suffix (reading: Reading) =
        match reading with
        | OfData -> ""
        | OfNoise -> "-noise"

    /// A linear multistep method by its rule: one evaluation a step.
    let multistep name equation reference order (rule: Rule) : Sampler =
        semilinear name equation reference order 1 (Exponential.multistep rule)

    /// The same whose last step uses `last` values at most, the one before one more, and so on (`Exponential.multistepEnding`).
    let multistepEnding (last: int) name equation reference order (rule: Rule) : Sampler =
        semilinear name equation reference order 1 (Exponential.multistepEnding last rule)

    /// The first-order semi-linear step, the same by x̂₀ and by ε̂.
    let ddim =
        multistep
            "ddim"
            "x_s = α_s x̂₀ + σ_s ε̂"
            "Song, Meng, Ermon 2021, DDIM, eq. 12; Lu et al. 2022, DPM-Solver-1"
            1
            (Exponential.adamsBashforth OfData 0.0 1)

    let private dpmSolver = "Lu et al. 2022, DPM-Solver"
    let private dpmSolverPp = "Lu et al. 2023, DPM-Solver++"

    let dpm2 =
        semilinear
            "dpm-2"
            "ε̂ at s and at the middle in λ"
            $"{dpmSolver}, algorithm 4"
            2
            2
            (Exponential.twoStage 0.5 OfNoise)

    let dpm3 =
        semilinear
            "dpm-3"
            "ε̂ at s, ⅓ and ⅔ of the way in λ"
            $"{dpmSolver}, algorithm 5"
            3
            3
            (Exponential.threeStage (1.0 / 3.0) (2.0 / 3.0) OfNoise)

    /// The third-order rule as DPM-Solver's authors start it: by the midpoint rule.
    let private dpm3Of (reading: Reading) = Exponential.dpm3 (Exponential.dpm2 reading 0.0) reading 0.0

    let dpm2mEnding (last: int) =
        multistepEnding
            last
            "dpm-2m"
            "ε̂ now and a step before"
            $"{dpmSolverPp}, section 4"
            2
            (Exponential.dpm2 OfNoise 0.0)

    let dpm2m = dpm2mEnding 2

    let dpm3mEnding (last: int) =
        multistepEnding last "dpm-3m" "ε̂ now and two steps before" $"{dpmSolverPp}, code" 2 (dpm3Of OfNoise)

    let dpm3m = dpm3mEnding 3

    let dpmPp2s =
        semilinear
            "dpmpp-2s"
            "x̂₀ at s and at the middle in λ"
            $"{dpmSolverPp}, algorithm 1"
            2
            2
            (Exponential.twoStage 0.5 OfData)

    let dpmPp3s =
        semilinear
            "dpmpp-3s"
            "x̂₀ at s, ⅓ and ⅔ of the way in λ"
            $"{dpmSolverPp}, code"
            3
            3
            (Exponential.threeStage (1.0 / 3.0) (2.0 / 3.0) OfData)

    let dpmPp2mEnding (last: int) =
        multistepEnding
            last
            "dpmpp-2m"
            "x̂₀ now and a step before"
            $"{dpmSolverPp}, algorithm 2"
            2
            (Exponential.dpm2 OfData 0.0)

    let dpmPp2m = dpmPp2mEnding 2

    let dpmPp3mEnding (last: int) =
        multistepEnding last "dpmpp-3m" "x̂₀ now and two steps before" $"{dpmSolverPp}, code" 2 (dpm3Of OfData)

    let dpmPp3m = dpmPp3mEnding 3

    /// DEIS with so many values: the first order of it is `ddim`.
    let deisEnding (last: int) (values: int) =
        multistepEnding
            last
            $"deis-{values}"
            $"the polynomial in t through {values} values of ε̂"
            "Zhang, Chen 2023, DEIS, eq. 14–15 (tAB)"
            (min values 2)
            (Exponential.inTime values)

    let deis (values: int) = deisEnding values values

    /// Adams–Bashforth in ς = σ/α.
    let linearMultistepEnding (last: int) (values: int) =
        multistepEnding
            last
            $"lms-{values}"
            $"the polynomial in σ/α through {values} values of ε̂"
            "Bashforth, Adams 1883; Crowson 2022, k-diffusion; Liu et al. 2022, PNDM, section 3"
            (min values 2)
            (Exponential.inSigma values)

    let linearMultistep (values: int) = linearMultistepEnding values values

    /// Exponential Adams–Bashforth: the polynomial in λ. With three values its first two steps are those of a three-stage method, so
    /// that the third order is not lost at the start.
    let exponentialAdamsBashforth (reading: Reading) (values: int) =
        let rule = Exponential.adamsBashforth reading 0.0 values
        let what =
            match reading with
            | OfData -> "x̂₀"
            | OfNoise -> "ε̂"

        { multistep
              $"exp-ab{values}{suffix reading}"
              $"the polynomial in λ through {values} values of {what}"
              "Certaine 1960; Hochbruck, Ostermann 2010, Exponential integrators, section 2.5"
              values
              rule with
            Follows =
                Denoiser(fun readings ->
                    let starter = Exponential.threeStage (1.0 / 3.0) (2.0 / 3.0) reading

                    if values < 3 then
                        Exponential.multistep rule readings
                    else
                        Exponential.started
                            (values - 1)
                            (Exponential.remembering reading values readings starter)
                            (Exponential.multistep rule readings))
            Evaluations = fun n -> n + (if values < 3 then 0 else 2 * min n (values - 1)) }

    let unipcEnding (last: int) (size: Exponential.Size) (reading: Reading) (order: int) =
        let b =
            match size with
            | Exponential.Bh1 -> "-bh1"
            | Exponential.Bh2 -> ""
        let what =
            match reading with
            | OfData -> "x̂₀"
            | OfNoise -> "ε̂"

        let h =
            match size with
            | Exponential.Bh1 -> "h"
            | Exponential.Bh2 -> "e^h − 1"
        let values = if order = 1 then "one value" else $"{order} values"

        semilinear
            $"unipc-{order}{b}{suffix reading}"
            $"{values} of {what} in the prediction, {order + 1} in the correction, B(h) = {h}"
            "Zhao et al. 2023, UniPC, algorithms 1 and 2"
            (min 3 (order + 1))
            1
            (Exponential.unipc last size order reading)

    let unipc (size: Exponential.Size) (reading: Reading) (order: int) = unipcEnding order size reading order

    /// Heun's method in ς = σ/α: EDM without churn.
    let heunSigma =
        semilinear
            "heun-sigma"
            "Heun for d(x/α)/dς = ε̂, ς = σ/α"
            "Karras et al. 2022, EDM, algorithm 1"
            2
            2
            Exponential.heunInSigma

    // ---- pseudo numerical methods

    let private pndmSource = "Liu, Ren, Lin, Zhao 2022, Pseudo numerical methods for diffusion models"

    /// The pseudo linear multistep method, its first steps by another that leaves its first values.
    let private pseudo name equation reference (starting: int) (evaluations: int) (tableau: Tableau) : Sampler =
        let values = 4

        { semilinear name equation reference 2 1 (fun readings ->
              Exponential.started
                  starting
                  (Exponential.remembering OfNoise values readings (Exponential.pseudoRungeKutta tableau))
                  (Exponential.multistep (Exponential.pseudoAdamsBashforth values) readings)) with
            Evaluations = fun n -> n + evaluations * min n starting }

    /// PNDM: three steps of the classical pseudo Runge–Kutta method, then four values.
    let pndm =
        pseudo
            "pndm"
            "a DDIM step along Adams and Bashforth's mean of four values of ε̂; pseudo Runge–Kutta 4 at first"
            $"{pndmSource}, algorithm 2 (F-PNDM)"
            3
            3
            Tableau.rk4

    /// PLMS as Stable Diffusion has it: one step of the pseudo improved Euler method, then two, three and four values.
    let plms =
        pseudo
            "plms"
            "a DDIM step along Adams and Bashforth's mean of up to four values of ε̂; pseudo Heun at first"
            $"{pndmSource}, eq. 12; Crowson 2022, in latent diffusion"
            1
            1
            Tableau.heun

    // ---- singlestep methods on the grid's own times, and of several orders

    let singlestep (order: int) =
        semilinear
            $"dpmpp-{order}s-grid"
            $"x̂₀ in blocks of {order} grid steps, each from the block's beginning"
            $"{dpmSolverPp}; von Platen et al. 2022, diffusers, DPMSolverSinglestepScheduler"
            2
            1
            (Exponential.singlestep order OfData)

    /// With 3 (n − 1) + `rest` evaluations in n steps: `rest` is 0, 1 or 2.
    let dpmFastWith (rest: int) =
        if rest < 0 || rest > 2 then
            invalidArg (nameof rest) $"{rest} evaluations beside whole steps of three: 0, 1 or 2"

        { semilinear
              "dpm-fast"
              "dpm-3, the last two steps dpm-2 and ddim"
              $"{dpmSolver}, appendix D.3 (DPM-Solver-fast)"
              2
              3
              (Exponential.fast rest) with
            Evaluations = fun n -> if rest > 0 then 3 * (n - 1) + rest else List.sum [ for left in 1..n -> min 3 left ] }

    let dpmFast = dpmFastWith 0

    /// The published tolerances.
    let bounds: Exponential.Bounds = { Relative = 0.05; Absolute = 0.0078; Safety = 0.9; First = 0.05 }

    /// DPM-Solver-12 (order 2) and DPM-Solver-23 (order 3): how many steps a sample takes it finds out by itself, within those of the grid.
    let dpmAdaptiveWith (bounds: Exponential.Bounds) (order: int) =
        { semilinear
              $"dpm-{order - 1}{order}"
              $"""{(if order = 2 then "dpm-2 against ddim" else "dpm-3 against dpm-2")}, lengths chosen by their error"""
              $"{dpmSolver}, appendix C (DPM-Solver-{order - 1}{order})"
              order
              order
              (Exponential.adaptive order bounds OfNoise) with
            IsAdaptive = true }

    let dpm12 = dpmAdaptiveWith bounds 2
    let dpm23 = dpmAdaptiveWith bounds 3

    let private karras (s: Sampler) = { s with Grid = Grid.karras }

    // ---- processes

    let private checkChurn what (churn: float) =
        if not (churn >= 0.0 && Double.IsFinite churn) then
            invalidArg (nameof churn) $"{what} {churn}: a number, 0 or more"

    let private ofProcess name equation reference order evaluations churn step : Sampler =
        checkChurn "churn" churn

        { Name = name
          Equation = equation
          Reference = reference
          Follows = Process(churn, step)
          Order = order
          IsStochastic = churn > 0.0
          Draws = 1
          IsAdaptive = false
          Evaluations = fun n -> n * evaluations
          Grid = Grid.lambda }

    /// Euler–Maruyama with c times the diffusion of the path's SDE, c ≥ 0. Its default grid is even in λ, in which the process
    /// relaxes at the same rate throughout; even in t the step would have to resolve its fastest rate, at the ends.
    let eulerMaruyamaWith (churn: float) : Sampler =
        ofProcess
            "euler-maruyama"
            "x + f h + g √h z on the reverse SDE"
            "Maruyama 1955; Song et al. 2021, Score-based generative modeling through SDEs, section 3.3"
            1
            1
            churn
            Integrator.eulerMaruyama

    /// The reverse SDE.
    let eulerMaruyama = eulerMaruyamaWith 1.0

    let stochasticHeunWith (churn: float) : Sampler =
        ofProcess
            "stochastic-heun"
            "Heun's average of f and g at both ends of an Euler–Maruyama step"
            "Rümelin 1982; Kloeden, Platen 1992, section 14.1"
            2
            2
            churn
            Integrator.stochasticHeun

    let stochasticHeun = stochasticHeunWith 1.0

    // ---- stochastic steps by x̂₀ and ε̂

    /// A sampler by a step that draws: once a step (`Draws`), the order being that of its law.
    let stochastic name equation reference order evaluations (step: Readings -> Step) : Sampler =
        { semilinear name equation reference order evaluations step with IsStochastic = true; Draws = 1 }

    /// DDIM(η).
    let ddimWith (eta: float) : Sampler =
        checkChurn "η" eta

        { stochastic
              "ddim-eta"
              "x_s = α_s x̂₀ + √(σ_s² − η² β̃) ε̂ + η √β̃ z"
              "Song, Meng, Ermon 2021, DDIM, eq. 12 and 16"
              1
              1
              (Stochastic.ddim eta) with
            IsStochastic = eta > 0.0 }

    /// DDPM's sampling with variance β̃.
    let ancestral =
        stochastic
            "ancestral"
            "posterior mean at x̂₀, variance β̃"
            "Ho, Jain, Abbeel 2020, DDPM, algorithm 2"
            1
            1
            (Stochastic.ancestral Posterior)

    /// The same with the larger variance β: σ̂ of DDIM's table 1.
    let ancestralLarge =
        stochastic
            "ancestral-large"
            "posterior mean at x̂₀, variance β"
            "Ho, Jain, Abbeel 2020, DDPM, section 3.2"
            1
            1
            (Stochastic.ancestral Forward)

    /// The same with the variance that the model learned.
    let ancestralLearned =
        stochastic
            "ancestral-learned"
            "posterior mean at x̂₀, variance between β̃ and β as learned"
            "Nichol, Dhariwal 2021, Improved DDPM, eq. 15"
            1
            1
            (Stochastic.ancestral Learned)

    let edmWith (churn: Churn) : Sampler =
        checkChurn "churn" churn.Churn

        { karras (
              stochastic
                  "edm"
                  "noise put back up to (1 + γ) ς, then Heun in ς"
                  "Karras et al. 2022, EDM, algorithm 2"
                  2
                  2
                  (Stochastic.churned churn Exponential.heunInSigma)
          ) with
            IsStochastic = churn.Churn > 0.0 }

    let private edmChurn = { Churn = 40.0; Least = 0.05; Most = 50.0; Inflation = 1.0 }

    /// With the paper's window for ImageNet, and without the inflation of the noise (1.003 there) that makes up for what a trained network
    /// takes off too much: an exact model needs none.
    let edm = edmWith edmChurn

    let eulerChurnWith (churn: Churn) : Sampler =
        checkChurn "churn" churn.Churn

        { karras (
              stochastic
                  "euler-churn"
                  "noise put back up to (1 + γ) ς, then Euler in ς"
                  "Karras et al. 2022, EDM, algorithm 2 without its correction; Crowson 2022, k-diffusion"
                  1
                  1
                  (Stochastic.churned churn (Exponential.multistep (Exponential.adamsBashforth OfNoise 0.0 1)))
          ) with
            IsStochastic = churn.Churn > 0.0 }

    let eulerChurn = eulerChurnWith edmChurn

    /// A method's step to below the next level, and noise from there, times s_noise.
    let private ancestralOf name (inflation: float) (eta: float) (method: Sampler) step : Sampler =
        checkChurn "η" eta

        { stochastic
              name
              $"{method.Name} to below the next level, noise from there, η = 1"
              $"{method.Reference}; Crowson 2022, k-diffusion"
              method.Order
              method.EvaluationsPerStep
              (Stochastic.inflated inflation (Stochastic.renoised eta step)) with
            IsStochastic = eta > 0.0 }

    let dpm2AncestralWith (inflation: float) (eta: float) =
        ancestralOf "dpm-2-ancestral" inflation eta dpm2 (Exponential.twoStage 0.5 OfNoise)

    let dpm2Ancestral = dpm2AncestralWith 1.0 1.0

    let dpmPp2sAncestralWith (inflation: float) (eta: float) =
        ancestralOf "dpmpp-2s-ancestral" inflation eta dpmPp2s (Exponential.twoStage 0.5 OfData)

    let dpmPp2sAncestral = dpmPp2sAncestralWith 1.0 1.0

    /// DPM-Solver++ (stochastic) with its middle at a fraction r of the way, and s_noise.
    let dpmPpSdeWith (r: float) (inflation: float) (eta: float) : Sampler =
        checkChurn "η" eta

        if not (r > 0.0 && r <= 1.0) then
            invalidArg (nameof r) $"a fraction {r} of the way: expected a number above 0, up to 1"

        { stochastic
              "dpmpp-sde"
              "x̂₀ at s and, after an ancestral step, at the middle in λ; an ancestral step by both, η = 1"
              "Lu et al. 2023, DPM-Solver++; Crowson 2022, k-diffusion"
              1
              2
              (Stochastic.inflated inflation (Stochastic.twoStage r eta)) with
            IsStochastic = eta > 0.0
            Draws = 2 }

    let dpmPpSde = dpmPpSdeWith 0.5 1.0 1.0

    /// SDE-DPM-Solver++ with η: 1 is the reverse SDE.
    let sdeDpmPpWith (eta: float) (values: int) : Sampler =
        checkChurn "η" eta

        let rule =
            match values with
            | 1 -> Exponential.adamsBashforth OfData eta 1
            | 2 -> Exponential.dpm2 OfData eta
            // k-diffusion's, which integrates the line through the first two values exactly.
            | 3 -> Exponential.dpm3 (Exponential.adamsBashforth OfData eta 2) OfData eta
            | n -> invalidArg (nameof values) $"{n} values: 1, 2 or 3"

        { stochastic
              (if values = 1 then "sde-dpmpp-1" else $"sde-dpmpp-{values}m")
              $"""the reverse SDE's exact solution, x̂₀ from {if values = 1 then "one value" else $"{values} values"}"""
              $"""{dpmSolverPp}, section 5{(if values = 3 then "; Crowson 2022, k-diffusion" else "")}"""
              (min values 2)
              1
              (Exponential.multistep rule) with
            IsStochastic = eta > 0.0 }

    /// A sampler every draw of which is multiplied by s_noise.
    let inflated (factor: float) (sampler: Sampler) : Sampler =
        match sampler.Follows with
        | Denoiser step -> { sampler with Follows = Denoiser(Stochastic.inflated factor step) }
        | Process(churn, step) ->
            { sampler with Follows = Process(churn, (fun sde noise -> step sde (Noise.scaled factor noise))) }
        | Target step -> { sampler with Follows = Target(fun target noise -> step target (Noise.scaled factor noise)) }
        | Velocity _
        | Leaps _ -> sampler

    let sdeDpmPp1 = sdeDpmPpWith 1.0 1
    let sdeDpmPp2m = sdeDpmPpWith 1.0 2
    let sdeDpmPp3m = sdeDpmPpWith 1.0 3

    /// The step of any sampler in terms of the readings.
    let step (sampler: Sampler) (readings: Readings) : Step =
        match sampler.Follows with
        | Denoiser step -> step readings
        | Velocity tableau -> Integrator.rungeKutta tableau { Velocity = readings.Of Prediction.velocity }
        | Process(churn, step) -> step (Readings.reverse churn readings)
        | Target _ ->
            invalidArg
                (nameof sampler)
                $"{sampler.Name} needs an energy, and this model knows a score: take euler-maruyama or heun, for instance"
        | Leaps _ ->
            invalidArg
                (nameof sampler)
                $"{sampler.Name} is of models that jump, and this one knows a score: take euler-maruyama or heun, for instance"

    /// A predictor's steps, each followed by Langevin corrections at the signal-to-noise ratio r.
    let predictorCorrectorWith (ratio: float) (corrections: int) (predictor: Sampler) : Sampler =
        if not (ratio > 0.0 && Double.IsFinite ratio) || corrections < 1 then
            invalidArg (nameof ratio) $"ratio {ratio}, {corrections} corrections: positive numbers are needed"

        { stochastic
              "predictor-corrector"
              $"a step of {predictor.Name}, then x + δ s + √(2δ) z with δ = 2 α² (r ‖z‖/‖s‖)², r = {ratio}"
              "Song et al. 2021, Score-based generative modeling through SDEs, algorithms 4 and 5"
              0
              1
              (fun readings -> Stochastic.corrected ratio corrections (step predictor readings) readings) with
            Evaluations = fun n -> predictor.Evaluations n + n * corrections
            Draws = 1 + corrections
            Grid = predictor.Grid }

    /// With the reverse SDE's Euler–Maruyama steps and the paper's ratio.
    let predictorCorrector = predictorCorrectorWith 0.16 1 eulerMaruyama

    /// T Langevin steps at each noise level, r times its variance long.
    let annealedLangevinWith (ratio: float) (perLevel: int) : Sampler =
        if not (ratio > 0.0 && Double.IsFinite ratio) || perLevel < 1 then
            invalidArg (nameof ratio) $"ratio {ratio}, {perLevel} steps a level: positive numbers are needed"

        { stochastic
              "annealed-langevin"
              $"{perLevel} times x + ½ r σ² s + √r σ z at each level, r = {ratio}"
              "Song, Ermon 2019, Generative modeling by estimating gradients of the data distribution, algorithm 1"
              0
              1
              (Langevin.annealed ratio perLevel) with
            Evaluations = fun n -> n * perLevel
            Draws = perLevel }

    /// With the paper's r = ε/σ_L² = 0.2; it has 10 levels and 100 steps at each where more levels need fewer.
    let annealedLangevin = annealedLangevinWith 0.2 5

    /// Steps of the one and of the other in turns.
    let alternatingOf (first: Sampler) (second: Sampler) : Sampler =
        { stochastic
              "alternating"
              $"steps of {first.Name} and {second.Name} in turns"
              "Karras et al. 2022, EDM, section 4, in general form"
              1
              1
              (fun readings -> Stochastic.alternating (step first readings) (step second readings)) with
            Evaluations = fun n -> first.Evaluations((n + 1) / 2) + second.Evaluations(n / 2) }

    let alternating = alternatingOf dpmPp2s sdeDpmPp1

    /// The samplers that the command line, the tests and the docs know.
    let parts: Part<Sampler> list =
        let nonNegative = Allowed.AtLeast 0.0
        let churn = Parameter.make "churn" 1.0 nonNegative "the share of the reverse process's noise: 0 is the flow"
        let eta = Parameter.make "eta" 1.0 nonNegative "η: 0 is the flow, 1 the reverse process"
        let noise = Parameter.make "noise" 1.0 Allowed.Positive "s_noise, a factor of every draw"

        let last (values: int) =
            Parameter.make
                "last"
                (float values)
                (Allowed.Whole 1)
                "the most values in the last step, one more in each step before: 1 ends by a step of first order"

        [ yield! List.map (ofTableau >> Part.fixedAt) Tableau.all
          yield! List.map Part.fixedAt [ ddim; dpm2; dpm3 ]
          Part.of1 (last 2) (int >> dpm2mEnding)
          Part.of1 (last 3) (int >> dpm3mEnding)
          yield! List.map Part.fixedAt [ dpmPp2s; dpmPp3s ]
          Part.of1 (last 2) (int >> dpmPp2mEnding)
          Part.of1 (last 3) (int >> dpmPp3mEnding)
          for values in 2..4 do
              Part.of1 (last values) (fun last -> deisEnding (int last) values)
          for values in 2..4 do
              Part.of1 (last values) (fun last -> linearMultistepEnding (int last) values)
          for reading in [ OfData; OfNoise ] do
              for values in 2..3 do
                  Part.fixedAt (exponentialAdamsBashforth reading values)
          for reading in [ OfData; OfNoise ] do
              for size in [ Exponential.Bh2; Exponential.Bh1 ] do
                  for order in 1..3 do
                      Part.of1 (last order) (fun last -> unipcEnding (int last) size reading order)
          yield! List.map Part.fixedAt [ heunSigma; plms; pndm; singlestep 2; singlestep 3 ]
          Part.of1
              (Parameter.make "rest" 0.0 (Allowed.Whole 0) "evaluations beside whole steps of three: 0, 1 or 2")
              (int >> dpmFastWith)
          for order in 2..3 do
              Part.of3
                  (Parameter.make "rtol" bounds.Relative Allowed.Positive "the relative error of a length")
                  (Parameter.make "atol" bounds.Absolute Allowed.Positive "the absolute error of a length")
                  (Parameter.make "first" bounds.First Allowed.Positive "the first length, in λ")
                  (fun relative absolute first ->
                      dpmAdaptiveWith { bounds with Relative = relative; Absolute = absolute; First = first } order)
          Part.of1 churn eulerMaruyamaWith
          Part.of1 churn stochasticHeunWith
          Part.of2 eta noise (fun eta noise -> ddimWith eta |> inflated noise)
          yield! List.map Part.fixedAt [ ancestral; ancestralLarge; ancestralLearned ]
          for make in [ edmWith; eulerChurnWith ] do
              Part.leaving
                  [ Parameter.make "churn" edmChurn.Churn nonNegative "S_churn: 0 is the flow"
                    Parameter.make
                        "least"
                        edmChurn.Least
                        nonNegative
                        "S_min, the lowest noise level σ/α that noise is put back at"
                    Parameter.make "most" edmChurn.Most Allowed.Positive "S_max, the highest"
                    Parameter.make "noise" edmChurn.Inflation Allowed.Positive "S_noise, the noise's standard deviation" ]
                  (fun x -> make { Churn = x[0]; Least = x[1]; Most = x[2]; Inflation = x[3] })
          Part.of2 eta noise (fun eta noise -> dpm2AncestralWith noise eta)
          Part.of2 eta noise (fun eta noise -> dpmPp2sAncestralWith noise eta)
          Part.of3
              eta
              noise
              (Parameter.make "r" 0.5 (Allowed.Within(0.01, 1.0)) "the middle's place in λ")
              (fun eta noise r -> dpmPpSdeWith r noise eta)
          for values in 1..3 do
              Part.of2 eta noise (fun eta noise -> sdeDpmPpWith eta values |> inflated noise)
          Part.of2
              (Parameter.make "snr" 0.16 Allowed.Positive "r, the corrections' signal-to-noise ratio")
              (Parameter.make "corrections" 1.0 (Allowed.Whole 1) "corrections after each step")
              (fun ratio corrections -> predictorCorrectorWith ratio (int corrections) eulerMaruyama)
          Part.of2
              (Parameter.make "ratio" 0.2 Allowed.Positive "r, a step's length in the level's variance")
              (Parameter.make "steps" 5.0 (Allowed.Whole 1) "Langevin steps at each level")
              (fun ratio steps -> annealedLangevinWith ratio (int steps))
          Part.fixedAt alternating ]

    let all = List.map Part.standard parts

    /// Whether the method draws noise at some value of its number: at η = 0 it draws none, and belongs to the same sweep.
    let mayDraw (sampler: Sampler) : bool =
        sampler.IsStochastic || all |> List.exists (fun s -> s.Name = sampler.Name && s.IsStochastic)
