namespace Fokker

open System

/// One power-function average of a path of parameters: its exponent γ, and the steps that it is over.
[<Struct>]
type PowerProfile = { Exponent: float; Steps: int64 }

/// Averages whose weights grow as a power of the step: θ̂(t) = ∫₀ᵗ p(τ) θ(τ) dτ with p(τ) = (γ + 1) τ^γ / t^{γ+1}. How long one of them is, as a share of the training, does not change as it goes on, and from snapshots of two of
/// them any other can be made afterwards (Karras et al. 2024, Analyzing and improving the training dynamics of diffusion models, section 3 and appendix C).
[<RequireQualifiedAccess>]
module PowerAverage =

    /// The standard deviation of the profile as a share of the steps, √(γ + 1) / ((γ + 2) √(γ + 3)).
    let lengthOf (exponent: float) : float = sqrt (exponent + 1.0) / ((exponent + 2.0) * sqrt (exponent + 3.0))

    /// The lengths of the two that a training keeps (section 3.2).
    let kept = [ 0.05; 0.1 ]

    /// The lengths between which 64 snapshots of these two make others. Of a shorter one they are differences of large terms; of a longer one too much is of the steps before the first snapshot, where they
    /// have nothing to say: 0.2 % of all weight at 0.25, 1.2 % at 0.28.
    let reach = struct (0.025, 0.25)

    /// The longest length that there is, that of γ = 0, where all steps count alike: 1/√12.
    let longest = lengthOf 0.0

    /// γ of a length: the largest root of γ³ + 7γ² + (16 − 1/s²)γ + 12 − 1/s² (appendix C, algorithm 2). Raises ArgumentException for a length that no γ ≥ 0 has.
    let exponentOf (length: float) : float =
        if not (length > 0.0 && length <= longest) then
            invalidArg
                (nameof length)
                $"a length of {length}: from above 0 to {longest:G4}, at which all steps count alike"

        // The length falls as γ grows: it is found between two powers of 2 by halving.
        let rec beyond high = if lengthOf high > length then beyond (2.0 * high) else high

        let rec halve (low: float) (high: float) (left: int) =
            let middle = 0.5 * (low + high)

            if left = 0 || middle = low || middle = high then middle
            elif lengthOf middle > length then halve middle high (left - 1)
            else halve low middle (left - 1)

        halve 0.0 (beyond 1.0) 200

    /// What is left of the average at the step that follows k others: (k/(k + 1))^{γ+1}. The weights of all steps are then the integrals of p over them, exactly.
    let decay (exponent: float) (k: int64) : float = Math.Pow(float k / float (k + 1L), exponent + 1.0)

    /// ∫ p q of two profiles (appendix C, eq. 70).
    let private product (a: PowerProfile) (b: PowerProfile) : float =
        let short, long = if a.Steps <= b.Steps then a, b else b, a

        (a.Exponent + 1.0) * (b.Exponent + 1.0) / (a.Exponent + b.Exponent + 1.0) / float long.Steps
        * Math.Pow(float short.Steps / float long.Steps, long.Exponent)

    /// The coefficients of averages that together are nearest to a target in the mean square of profiles; they sum to 1. Raises ArgumentException where there are none, or one has no steps.
    let coefficients (kept: PowerProfile[]) (target: PowerProfile) : float[] =
        if kept.Length = 0 || Array.exists (fun p -> p.Steps < 1L) kept || target.Steps < 1L then
            invalidArg (nameof kept) "a reconstruction is of at least one average, each of at least one step"

        Scope.run (fun () ->
            let n = kept.Length
            let a =
                Tensor.ofArray
                    [ n; n ]
                    [| for p in kept do
                           for q in kept -> product p q |]
            let b = Tensor.ofArray [ n; 1 ] [| for p in kept -> product p target |]
            // Neighbouring snapshots are nearly the same: directions that rounding alone tells apart are left out.
            let values, vectors = Linalg.eigh a
            let most = (Tensor.max values).ToFloat()
            let isLarge = Tensor.greaterThan (1e-13 * most) values
            let inverse = Tensor.where isLarge (1.0 / values) (Tensor.zerosLike values)
            let along = Linalg.matmul (Tensor.transpose 0 1 vectors) b
            let x = Linalg.matmul vectors (Tensor.unsqueeze 1 inverse * along) |> Tensor.toFloats
            let total = Array.sum x
            Array.map (fun c -> c / total) x)
