namespace Fokker

/// A way to compute ∇·f at each sample of a batch: (rng, f, x) ↦ (f(x), ∇·f(x) or an unbiased estimate of it, [B]).
/// The same key gives the same probes, so an estimate stays fixed along a trajectory.
[<NoComparison; NoEquality>]
type Trace =
    {
        Name: string
        Equation: string
        Source: string
        /// Field evaluations (with one derivative each) for samples of n coordinates.
        Cost: int -> int
        Apply: Rng -> (Tensor -> Tensor) -> Tensor -> struct (Tensor * Tensor)
    }

[<RequireQualifiedAccess>]
module Trace =

    /// Σᵢ ∂fᵢ/∂xᵢ, one derivative a coordinate.
    let exact =
        { Name = "exact"
          Equation = "Σᵢ ∂fᵢ/∂xᵢ"
          Source = "definition"
          Cost = id
          Apply =
            fun _ f x ->
                let value, divergence = Diff.valueAndDivergence f x
                struct (value, divergence) }

    let private estimate name equation probe (probes: int) =
        if probes < 1 then
            invalidArg (nameof probes) $"{probes} probes: at least 1"

        { Name = name
          Equation = equation
          Source = "Hutchinson 1990; Grathwohl et al. 2019, FFJORD, eq. 7"
          Cost = fun _ -> probes
          Apply =
            fun rng f x ->
                let one k =
                    let v: Tensor = probe x (Rng.at (int64 k) rng)
                    let value, along = Diff.jvp f x v
                    value, Tensor.sumRows (v * along)

                let first, sum = one 0
                let sum = Seq.init (probes - 1) (fun k -> snd (one (k + 1))) |> Seq.fold (+) sum
                struct (first, sum * (1.0 / float probes)) }

    /// vᵀ J v with v = ±1: variance 2 (‖S‖²_F − Σ s_ii²), S the symmetric part of J.
    let rademacher = estimate "rademacher" "vᵀ(∂f/∂x)v, v = ±1" Rng.rademacherLike

    /// vᵀ J v with v ~ N(0, I): variance 2 ‖S‖²_F.
    let gaussian = estimate "gaussian" "vᵀ(∂f/∂x)v, v ~ N(0, I)" Rng.normalLike

    /// Those that the command line knows by name, the estimates with one probe.
    let all = [ exact; rademacher 1; gaussian 1 ]
