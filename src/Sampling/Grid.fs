namespace Fokker

open System

/// What is done with the state at the last time of a span.
type Finish =
    /// Nothing: the samples have the law of x at that time.
    | Stop
    /// The last step goes to E[x₀ | x], as a first-order step to σ = 0 does: it removes the noise that is left there
    /// (Karras et al. 2022, EDM, algorithm 1; Song et al. 2021, appendix C).
    | Denoise

/// Where sampling begins and ends, 1 ≥ Noisy > Clean ≥ 0.
type Span = { Noisy: float; Clean: float; Finish: Finish }

/// How the times of a sampler's steps are spaced.
[<NoComparison; NoEquality>]
type Grid =
    {
        Name: string
        Equation: string
        Reference: string
        /// The times of N steps over a span: t₀ > … > t_N to its end where it stops there, t₀ > … > t_{N−1} where the last step denoises.
        Times: GaussianPath -> Span -> int -> float[]
        /// Where the grid is a list of its own and no spacing: all its times on a path, t₀ > … > t_N, 0 the last where it goes to the data. They say how many steps
        /// there are and where these begin and end (`Grid.ownSpan`).
        Own: (GaussianPath -> float[]) option
    }

[<RequireQualifiedAccess>]
module Grid =

    let private make name equation reference times : Grid =
        { Name = name; Equation = equation; Reference = reference; Times = times; Own = None }

    /// A grid of n = 1, 2, … times that begin and end where the span does.
    let private ofPoints name equation reference (points: GaussianPath -> float * float -> int -> float[]) : Grid =
        make name equation reference (fun path span steps ->
            match span.Finish with
            | Stop -> points path (span.Noisy, span.Clean) (steps + 1)
            | Denoise when steps = 1 -> [| span.Noisy |]
            | Denoise -> points path (span.Noisy, span.Clean) steps)

    /// A grid by the place of its inner times at u = 1/N, …, (N−1)/N of the way from the noisy time to the clean one. The ends are
    /// the span's own, so a place is asked for only where the path is regular.
    let ofPlace name equation reference (place: GaussianPath -> float * float -> float -> float) : Grid =
        ofPoints name equation reference (fun path (noisy, clean) n ->
            let place = place path (noisy, clean)

            Array.init n (fun k ->
                if k = 0 then noisy
                elif k = n - 1 then clean
                else place (float k / float (n - 1))))

    /// Equal steps in t.
    let uniform =
        ofPlace "uniform" "t = t₁ + u (t₀ − t₁)" "Euler 1768" (fun _ (noisy, clean) u -> noisy + u * (clean - noisy))

    /// The span's ends, drawn into the path's interior where λ is infinite at them.
    let private regular (path: GaussianPath) (noisy: float, clean: float) =
        let low, high = path.Interior
        let finite = Path.isRegular path.Lambda

        let inside (t: float) (interior: float) (limit: float) =
            if finite t then
                t
            elif finite interior then
                interior
            // A path that is followed to where it is pure noise.
            else
                Curve.inverse (clean, noisy) path.Lambda limit

        inside noisy (min noisy high) -12.0, inside clean (max clean low) 12.0

    /// Equal steps of h(λ), for monotone h with the inverse given.
    let private equalIn (h: float -> float) (inverse: float -> float) (path: GaussianPath) span =
        let noisy, clean = regular path span
        let first, last = h (Curve.eval path.Lambda noisy), h (Curve.eval path.Lambda clean)
        fun u -> Curve.inverse (clean, noisy) path.Lambda (inverse (first + u * (last - first)))

    /// Equal steps in the half log-SNR.
    let lambda = ofPlace "lambda" "λ = λ₁ + u (λ₀ − λ₁)" "Lu et al. 2022, DPM-Solver, section 3.3" (equalIn id id)

    /// Equal steps in ς^{1/ρ}, ς = σ/α.
    let karrasWith (rho: float) =
        ofPlace
            "karras"
            $"ς^{{1/ρ}} = ς₁^{{1/ρ}} + u (ς₀^{{1/ρ}} − ς₁^{{1/ρ}}), ς = σ/α, ρ = {rho}"
            "Karras et al. 2022, EDM, eq. 5"
            (equalIn (fun lambda -> Math.Exp(-lambda / rho)) (fun root -> -rho * Math.Log root))

    let karras = karrasWith 7.0

    /// Steps that shrink towards the data: t − t₀ falls as the square of what is left of the way.
    let quadratic =
        ofPlace
            "quadratic"
            "t = t₀ + (1 − u)² (t₁ − t₀)"
            "Song, Meng, Ermon 2021, DDIM, appendix D.2"
            (fun _ (noisy, clean) u -> clean + (1.0 - u) * (1.0 - u) * (noisy - clean))

    /// Chebyshev–Lobatto points: steps that shrink towards both ends.
    let cosine =
        ofPlace
            "cosine"
            "t = t₀ + ½ (1 + cos πu) (t₁ − t₀)"
            "Trefethen 2000, Spectral methods, chapter 5"
            (fun _ (noisy, clean) u -> clean + 0.5 * (1.0 + Math.Cos(Math.PI * u)) * (noisy - clean))

    /// The times k/T of a model with T discrete steps, falling, by the equation's places k of N steps among 1 … M, M the noisiest step of the span; then
    /// the span's end, if it stops there: for a DDPM that is the step to ᾱ = 1 at t = 0. Where some of these lie at or below the end they are left out, and
    /// the equation is that of more steps, of which N remain.
    let private discrete name equation reference (steps: int) (places: int -> int -> int[]) : Grid =
        make name equation reference (fun _ span n ->
            // A time that is a whole number of steps but for rounding is that time.
            let least = int (Math.Ceiling(span.Clean * float steps - 1e-9))
            let least =
                if span.Finish = Stop then
                    max 1 (least + (if float least <= span.Clean * float steps + 1e-9 then 1 else 0))
                else
                    max 1 least
            let most = int (Math.Floor(span.Noisy * float steps + 1e-9))

            let remaining = seq { n..most } |> Seq.map (places most >> Array.filter (fun k -> k >= least))

            let chosen =
                // The last before more than N remain: its own next time is nearest to the end. ⌊T/N⌋ jumps over some.
                remaining
                |> Seq.takeWhile (fun kept -> kept.Length <= n)
                |> Seq.filter (fun kept -> kept.Length = n)
                |> Seq.tryLast
                |> Option.orElseWith (fun () -> remaining |> Seq.tryFind (fun kept -> kept.Length = n))

            match chosen with
            | None ->
                invalidArg
                    "steps"
                    $"{n} steps on grid {name}: there are {most - least + 1} of {steps} discrete times in the span; take fewer"
            | Some kept ->
                let times = kept |> Array.map (fun k -> float k / float steps)
                if span.Finish = Stop then Array.append times [| span.Clean |] else times)

    /// Every ⌊T/N⌋-th step, counted from the data.
    let leadingOf (steps: int) =
        discrete
            "leading"
            $"t = (1 + k ⌊T/N⌋)/T, k = N − 1 … 0, T = {steps}"
            "Ho et al. 2020; Lin et al. 2024, Common diffusion noise schedules are flawed, table 2"
            steps
            (fun most n -> Array.init n (fun j -> 1 + (n - 1 - j) * (most / n)))

    let leading = leadingOf 1000

    // Math.Round takes halves to the even number, as the published code does; its products are made as they are there, since a half may hang on their rounding.

    /// Every T/N-th step, counted from the noise.
    let trailingOf (steps: int) =
        discrete
            "trailing"
            $"t = round(k T/N)/T, k = N … 1, T = {steps}"
            "Lin et al. 2024, Common diffusion noise schedules are flawed, table 2"
            steps
            (fun most n ->
                let last = float most
                // What the second time is less than the first.
                let stride = last - last / float n - last
                Array.init n (fun j -> int (Math.Round(last + float j * stride))))

    let trailing = trailingOf 1000

    /// Both ends and N − 2 steps spaced evenly between.
    let linspaceOf (steps: int) =
        discrete
            "linspace"
            $"t = (1 + round(k (T − 1)/(N − 1)))/T, k = N − 1 … 0, T = {steps}"
            "Nichol, Dhariwal 2021; Lin et al. 2024, table 2"
            steps
            (fun most n ->
                if n = 1 then
                    [| most |]
                else
                    let stride = float (most - 1) / float (n - 1)
                    Array.init n (fun j -> 1 + int (Math.Round(float (n - 1 - j) * stride))))

    let linspace = linspaceOf 1000

    /// The times of EDM's noise levels on the straight path, t = ς/(1 + ς), whatever the ends of the span.
    let edmFlowWith (least: float) (most: float) (rho: float) =
        ofPoints
            "edm-flow"
            $"t at which σ/α = ς, ς^{{1/ρ}} in equal steps from {most} to {least}, ρ = {rho}"
            "Karras et al. 2022, EDM, eq. 5; as used for flow matching by Lipman et al. 2024, Flow matching guide and code"
            (fun path (noisy, clean) n ->
                let level t = Math.Exp(-(Curve.eval path.Lambda t))
                let root (sigma: float) = sigma ** (1.0 / rho)
                let high, low = min most (level noisy), max least (level clean)
                // Where the span goes on to the data, the lowest level is a time of its own before its end.
                let last = if level clean < low then max 1 (n - 2) else n - 1

                Array.init n (fun k ->
                    if k = 0 then
                        noisy
                    elif k = n - 1 then
                        clean
                    else
                        let u = float k / float last
                        let sigma = (root high + u * (root low - root high)) ** rho
                        Curve.inverse (clean, noisy) path.Lambda (-(Math.Log sigma))))

    let edmFlow = edmFlowWith 0.002 80.0 7.0

    /// A grid by its values of λ, rising, learned or optimized: with another number of steps the same density of them, by linear
    /// interpolation. Raises ArgumentException where they do not rise.
    let ofLambdas name reference (lambdas: float list) : Grid =
        let values = Array.ofList lambdas

        if values.Length < 2 || Array.exists (fun (a, b) -> not (a < b)) (Array.pairwise values) then
            invalidArg (nameof lambdas) $"grid {name}: at least two values of λ that rise"

        let at (u: float) =
            let place = u * float (values.Length - 1)
            let k = min (int place) (values.Length - 2)
            values[k] + (place - float k) * (values[k + 1] - values[k])

        ofPlace name "λ by interpolation in a table" reference (fun path (noisy, clean) ->
            let noisy', clean' = regular path (noisy, clean)
            let first, last = Curve.eval path.Lambda noisy', Curve.eval path.Lambda clean'
            // The table's density on the span that is asked for.
            let stretch lambda =
                first + (lambda - values[0]) / (values[values.Length - 1] - values[0]) * (last - first)
            fun u -> Curve.inverse (clean, noisy) path.Lambda (stretch (at u)))

    /// The grid that gives every step the same share of ∫ density(λ) dλ, the density positive: large where a step's error is large.
    let equidistributing name reference (density: float -> float) : Grid =
        ofPlace name "equal ∫ density dλ" reference (fun path span ->
            let noisy, clean = regular path span
            let first, last = Curve.eval path.Lambda noisy, Curve.eval path.Lambda clean
            let cells = 1024
            let width = (last - first) / float cells
            let total =
                Array.scan
                    (fun sum k -> sum + width * density (first + (float k + 0.5) * width))
                    0.0
                    [| 0 .. cells - 1 |]

            fun u ->
                let wanted = u * total[cells]
                let k = Math.Clamp(Array.FindIndex(total, fun s -> s > wanted) - 1, 0, cells - 1)
                let inside = (wanted - total[k]) / (total[k + 1] - total[k])
                Curve.inverse (snd span, fst span) path.Lambda (first + (float k + inside) * width))

    // ---- spacings made of others

    let private level (path: GaussianPath) (t: float) = Math.Exp(-(Curve.eval path.Lambda t))

    /// The time of a level ς = σ/α on a path. Raises ArgumentException where the path does not reach it.
    let private timeOfLevel name (path: GaussianPath) (sigma: float) : float =
        let least, most = level path 0.0, level path 1.0

        // A file of float32 has its ends to seven digits.
        if not (sigma >= least * (1.0 - 1e-6) && sigma <= most * (1.0 + 1e-6)) then
            invalidArg
                "levels"
                $"grid {name}: a level σ/α of {sigma}: path {path.Name} has those from {least} to {most}"

        Curve.inverse (0.0, 1.0) path.Lambda (-(Math.Log sigma))

    /// A spacing between two levels ς = σ/α where these lie within the span (σ_min and σ_max; none for the span's own end): N of its times from the one to the other,
    /// and the span's end where it stops there, as a schedule of levels to which a last one of 0 is appended.
    let betweenLevels (least: float option) (most: float option) (grid: Grid) : Grid =
        { grid with
            Times =
                fun path span n ->
                    let noisy =
                        match most with
                        | Some sigma when sigma < level path span.Noisy -> timeOfLevel grid.Name path sigma
                        | _ -> span.Noisy

                    match least with
                    | Some sigma when sigma > level path span.Clean ->
                        let inner = { Noisy = noisy; Clean = timeOfLevel grid.Name path sigma; Finish = Denoise }
                        let times = grid.Times path inner n
                        if span.Finish = Stop then Array.append times [| span.Clean |] else times
                    | _ -> grid.Times path { span with Noisy = noisy } n }

    /// t ↦ s t/(1 + (s − 1) t): on the straight path s times the level σ/α; its inverse is that of 1/s.
    let private shift (s: float) (t: float) = s * t / (1.0 + (s - 1.0) * t)

    /// Even steps on a clock that is shifted towards the noise, s > 1, as larger images are met with.
    let shiftedWith (s: float) : Grid =
        if not (s > 0.0 && Double.IsFinite s) then
            invalidArg (nameof s) $"a shift of {s}: expected a positive number"

        ofPlace
            "shifted"
            $"t = s u/(1 + (s − 1) u), u in equal steps, s = {s}"
            "Esser et al. 2024, Scaling rectified flow transformers, eq. 23; Hoogeboom, Heek, Salimans 2023, Simple diffusion, section 3.1"
            (fun _ (noisy, clean) ->
                let first, last = shift (1.0 / s) noisy, shift (1.0 / s) clean
                fun u -> shift s (first + u * (last - first)))

    /// With Stable Diffusion 3's s.
    let shifted = shiftedWith 3.0

    // ---- grids of given times

    let private own name equation reference (times: GaussianPath -> float[]) : Grid =
        { Name = name
          Equation = equation
          Reference = reference
          Own = Some times
          // Those of its times that lie in the span, and the span's end where it stops there.
          Times =
            fun path span _ ->
                let inside = times path |> Array.filter (fun t -> span.Clean < t && t <= span.Noisy)
                Array.append
                    inside
                    (if span.Finish = Stop || Array.contains span.Clean (times path) then [| span.Clean |] else [||]) }

    let private check name (what: string) (values: float list) =
        if values.Length < 2 || not (List.forall (fun (a, b) -> a > b) (List.pairwise values)) then
            invalidArg what $"grid {name}: at least two {what} that fall"

    /// Given times 1 ≥ t₀ > … > t_N ≥ 0. Raises ArgumentException where they are not that.
    let ofTimes name reference (times: float list) : Grid =
        check name "times" times

        if not (times.Head <= 1.0 && List.last times >= 0.0) then
            invalidArg (nameof times) $"grid {name}: times from {times.Head} to {List.last times}: expected 1 ≥ t ≥ 0"

        own name "t as given" reference (fun _ -> Array.ofList times)

    /// Given levels ς = σ/α, falling, the last one 0 where the run goes to the data (k-diffusion's and diffusers' `sigmas`). Raises ArgumentException where they do
    /// not fall, and on a path that does not reach them.
    let ofLevels name reference (levels: float list) : Grid =
        check name "levels" levels

        if not (List.last levels >= 0.0 && Double.IsFinite levels.Head) then
            invalidArg
                (nameof levels)
                $"grid {name}: levels from {levels.Head} to {List.last levels}: expected finite numbers, none below 0"

        own name "σ/α as given" reference (fun path ->
            [| for sigma in levels -> if sigma = 0.0 then 0.0 else timeOfLevel name path sigma |])

    /// Given steps i of a model with T discrete steps, T − 1 ≥ i ≥ 0, falling: t = (i + 1)/T, and 0 after the last (diffusers' `timesteps`, which are numbered from 0).
    /// Raises ArgumentException where they are not that.
    let ofTimesteps (steps: int) name reference (timesteps: float list) : Grid =
        if timesteps.IsEmpty || not (List.forall (fun (a, b) -> a > b) (List.pairwise timesteps)) then
            invalidArg (nameof timesteps) $"grid {name}: at least one timestep, and all of them falling"

        if not (timesteps.Head <= float (steps - 1) && List.last timesteps >= 0.0) then
            invalidArg
                (nameof timesteps)
                $"grid {name}: timesteps from {timesteps.Head} to {List.last timesteps}: expected {steps - 1} to 0"

        let times = [| for i in timesteps -> (i + 1.0) / float steps |]
        own name $"t = (i + 1)/{steps}, i as given" reference (fun _ -> Array.append times [| 0.0 |])

    /// The span and the steps of a grid of its own times, for a sampler whose natural span is given: where the last time is 0 and that span does not stop there, the last step
    /// denoises. None for a spacing.
    let ownSpan (path: GaussianPath) (natural: Span) (grid: Grid) : (Span * int) option =
        grid.Own
        |> Option.map (fun times ->
            let times = times path
            let steps = times.Length - 1
            let last = times[steps]
            let toData = last <= 0.0 && not (natural.Finish = Stop && natural.Clean = 0.0)

            { Noisy = times[0]
              Clean =
                (if not toData then last
                 // One step denoises where it begins: any later time will do.
                 elif steps = 1 then 0.5 * times[0]
                 else times[steps - 1])
              Finish = (if toData then Denoise else Stop) },
            steps)

    /// The grids that the command line knows by name.
    let parts: Part<Grid> list =
        let steps (make: int -> Grid) =
            Part.of1
                (Parameter.make "times" 1000.0 (Allowed.Whole 1) "T, the discrete times of the model")
                (int >> make)

        let level name meaning =
            Parameter.make name 0.0 (Allowed.AtLeast 0.0) $"{meaning} noise level σ/α; 0 for the span's own"
        let least, most = level "sigma-min" "the lowest", level "sigma-max" "the highest"
        let given (sigma: float) = if sigma > 0.0 then Some sigma else None

        [ Part.fixedAt uniform
          Part.of2 least most (fun least most -> betweenLevels (given least) (given most) lambda)
          Part.of3
              (Parameter.make "rho" 7.0 Allowed.Positive "ρ: the larger, the more steps near the data")
              least
              most
              (fun rho least most -> betweenLevels (given least) (given most) (karrasWith rho))
          Part.of3
              (Parameter.make "sigma-min" 0.002 Allowed.Positive "the lowest level but the last")
              (Parameter.make "sigma-max" 80.0 Allowed.Positive "the highest level but the first")
              (Parameter.make "rho" 7.0 Allowed.Positive "ρ, as of karras")
              edmFlowWith
          yield! List.map Part.fixedAt [ quadratic; cosine ]
          Part.of1 (Parameter.make "shift" 3.0 Allowed.Positive "s: above 1, more steps near the noise") shiftedWith
          yield! List.map steps [ leadingOf; trailingOf; linspaceOf ] ]

    let all = List.map Part.standard parts

    /// The times at which a sampler of so many steps evaluates its model, falling, and the span's end: N + 1 times for a span
    /// that stops there, N where the last step denoises; N = `steps` ≥ 1. Raises ArgumentException where the span is empty or
    /// leaves [0, 1], or where so many steps do not fit.
    let timesOf (grid: Grid) (path: GaussianPath) (span: Span) (steps: int) : float[] =
        let noisy, clean = span.Noisy, span.Clean

        if steps < 1 then
            invalidArg (nameof steps) $"{steps} steps: at least 1"

        if not (0.0 <= clean && clean < noisy && noisy <= 1.0) then
            invalidArg (nameof span) $"times from {noisy} down to {clean}: expected 1 ≥ noisy > clean ≥ 0"

        let times = grid.Times path span steps

        for k in 1 .. times.Length - 1 do
            if not (times[k] < times[k - 1]) then
                invalidArg
                    (nameof steps)
                    $"{steps} steps on grid {grid.Name}, path {path.Name}: times {times[k - 1]} and {times[k]} do not decrease; fewer steps, or a wider span"

        times

    /// The N + 1 times of a span that stops at its end.
    let times (grid: Grid) (path: GaussianPath) (noisy: float, clean: float) (steps: int) : float[] =
        timesOf grid path { Noisy = noisy; Clean = clean; Finish = Stop } steps
