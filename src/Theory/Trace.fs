namespace Fokker

/// A way to compute ∇·f at each sample of a batch, or unbiased estimates of it.
[<NoComparison; NoEquality>]
type Trace =
    {
        Name: string
        Equation: string
        Reference: string
        /// Derivatives of the field along one direction each, for samples of n coordinates.
        Cost: int -> int
        /// How many estimates it gives of each sample's divergence; 1 where it is exact.
        Estimates: int
        /// The same by so many random directions; none where it draws none.
        WithProbes: (int -> Trace) option
        /// Random directions for samples like x [B; …], as [directions; B; …]; none where it is exact. The same key gives the same ones: drawn once,
        /// they stay fixed along a trajectory.
        Probes: Rng -> Tensor -> Tensor
        /// (f(x), the estimates [B; Estimates]) with the probes given.
        Along: Tensor -> (Tensor -> Tensor) -> Tensor -> struct (Tensor * Tensor)
    }

    /// (f(x), ∇·f(x) or the mean of the estimates, [B]) with the key's probes.
    member trace.Apply (rng: Rng) (f: Tensor -> Tensor) (x: Tensor) : struct (Tensor * Tensor) =
        let struct (value, estimates) = trace.Along (trace.Probes rng x) f x
        struct (value, Tensor.meanRows estimates)

[<RequireQualifiedAccess>]
module Trace =

    /// Σᵢ ∂fᵢ/∂xᵢ, one derivative a coordinate.
    let exact =
        { Name = "exact"
          Equation = "Σᵢ ∂fᵢ/∂xᵢ"
          Reference = "the definition"
          Cost = id
          Estimates = 1
          WithProbes = None
          Probes = fun _ x -> Tensor.zeros x.Kind [ yield 0; yield! x.Shape ]
          Along =
            fun _ f x ->
                let value, divergence = Diff.valueAndDivergence f x
                struct (value, Tensor.unsqueeze 1 divergence) }

    let rec private estimate name equation probe (probes: int) : Trace =
        if probes < 1 then
            invalidArg (nameof probes) $"{probes} probes: at least 1"

        { Name = name
          Equation = equation
          Reference = "Hutchinson 1990; Grathwohl et al. 2019, FFJORD, eq. 7"
          Cost = fun _ -> probes
          Estimates = probes
          WithProbes = Some(estimate name equation probe)
          Probes = fun rng x -> Tensor.stack 0 [ for k in 0 .. probes - 1 -> probe x (Rng.at (int64 k) rng) ]
          Along =
            fun directions f x ->
                let value, each = Diff.valueAndQuadratics f x (Tensor.unbind 0 directions)
                struct (value, Tensor.stack 1 each) }

    /// vᵀ J v with v = ±1: variance 2 (‖S‖²_F − Σ s_ii²), S the symmetric part of J.
    let rademacher = estimate "rademacher" "vᵀ(∂f/∂x)v, v = ±1" Rng.rademacherLike

    /// vᵀ J v with v ~ N(0, I): variance 2 ‖S‖²_F.
    let gaussian = estimate "gaussian" "vᵀ(∂f/∂x)v, v ~ N(0, I)" Rng.normalLike

    let parts: Part<Trace> list =
        let probes = Parameter.make "probes" 1.0 (Allowed.Whole 1) "random directions"
        [ Part.fixedAt exact; Part.of1 probes (int >> rademacher); Part.of1 probes (int >> gaussian) ]

    let all = List.map Part.standard parts
