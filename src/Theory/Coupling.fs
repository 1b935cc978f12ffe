namespace Fokker

/// A joint law of a batch of data and a batch of source samples, as index pairs: sample k is (x₀[i_k], x₁[j_k]). Labels
/// and conditions are indexed by i like the data they belong to, so they travel with the plan.
[<NoComparison; NoEquality>]
type Coupling =
    {
        Name: string
        Equation: string
        Source: string
        /// (i, j), int64 [B] each, for x₀ [B; …] and x₁ [B; …].
        Pair: Rng -> Tensor -> Tensor -> struct (Tensor * Tensor)
    }

[<RequireQualifiedAccess>]
module Coupling =

    let private own (x: Tensor) = Tensor.range Kind.Int64 0 x.Shape[0]

    /// x₀ and x₁ as they were drawn.
    let independent =
        { Name = "independent"
          Equation = "π = p₀ ⊗ p₁"
          Source = "Lipman et al. 2023"
          Pair = fun _ x0 _ -> struct (own x0, own x0) }

    /// The cheapest matching of the batch: argmin over permutations of Σ‖x₀ᵢ − x₁π(i)‖². Every x₀ and every x₁ is used once.
    let exact =
        { Name = "ot"
          Equation = "argmin_π Σ ‖x₀ᵢ − x₁π(i)‖²"
          Source = "Tong et al. 2024, OT-CFM, section 3.2; Pooladian et al. 2023"
          Pair = fun _ x0 x1 -> struct (own x0, (Assignment.solve (Wasserstein.squaredDistances x0 x1)).Columns) }

    /// For each row of non-negative weights [n; m], a column drawn with probability proportional to it.
    let private columnOfEachRow (rng: Rng) (weights: Tensor) =
        let upTo = Tensor.cumsum 1 weights
        let total = Tensor.narrow 1 (weights.Shape[1] - 1) 1 upTo
        let u = Rng.uniform Kind.Float64 [ weights.Shape[0]; 1 ] rng * total
        let below = (Tensor.lessOrEqual upTo u).To Dtype.Int64
        Tensor.minimum (Tensor.sumOver [ 1 ] below) (Tensor.full Kind.Int64 [] (float (weights.Shape[1] - 1)))

    /// A batch is itself a draw: its plan is not worth more than this.
    let private settings: Sinkhorn.Settings = { Tolerance = 1e-3; Iterations = 100 }

    let private uniformWeights (x: Tensor) = Tensor.full Kind.Float64 [ x.Shape[0] ] (1.0 / float x.Shape[0])

    /// The entropic plan at ε; each x₀ keeps its place and draws its partner from its row of the plan.
    let entropic (epsilon: float) =
        { Name = "sinkhorn"
          Equation = "argmin_P ⟨P, ‖x₀ − x₁‖²⟩ + ε KL(P | p₀ ⊗ p₁)"
          Source = "Cuturi 2013; Tong et al. 2024, SB-CFM, section 3.3"
          Pair =
            fun rng x0 x1 ->
                let plan =
                    Sinkhorn.balanced
                        settings
                        epsilon
                        (uniformWeights x0)
                        (uniformWeights x1)
                        (Wasserstein.squaredDistances x0 x1)

                struct (own x0, columnOfEachRow rng plan.Weights) }

    /// The unbalanced plan at ε with price ρ for changing mass: pairs are drawn from the whole plan, so that outliers of
    /// either side are met less often.
    let unbalanced (epsilon: float) (rho: float) =
        { Name = "unbalanced"
          Equation = "argmin_P ⟨P, ‖x₀ − x₁‖²⟩ + ε KL(P | p₀ ⊗ p₁) + ρ KL(P1 | p₀) + ρ KL(Pᵀ1 | p₁)"
          Source = "Chizat et al. 2018; Eyring et al. 2024"
          Pair =
            fun rng x0 x1 ->
                let plan =
                    Sinkhorn.unbalanced
                        settings
                        epsilon
                        rho
                        (uniformWeights x0)
                        (uniformWeights x1)
                        (Wasserstein.squaredDistances x0 x1)

                let mass = Tensor.unsqueeze 0 (Tensor.sumOver [ 1 ] plan.Weights)
                let n = x0.Shape[0]
                let rows = columnOfEachRow (Rng.named "rows" rng) (Tensor.expand [ n; n ] mass)
                struct (rows, columnOfEachRow (Rng.named "columns" rng) (Tensor.indexSelect 0 rows plan.Weights)) }

    /// The coupling within each class by itself. A plan over the whole batch gives a class the source samples that lie
    /// near it: conditionally on the label x₁ is then no longer p₁, and a conditional model learns a biased start (the known
    /// failure of OT-CFM with labels). Here x₁[k] belongs to the class of x₀[k] before anything is matched, and stays there.
    let withinClasses (labels: Tensor) (coupling: Coupling) : Coupling =
        { coupling with
            Name = coupling.Name + "-within-classes"
            Pair =
                fun rng x0 x1 ->
                    let label = Tensor.toArray<int64> labels

                    let parts =
                        label
                        |> Array.indexed
                        |> Array.groupBy snd
                        |> Array.map (fun (c, members) ->
                            let index = Tensor.ofArray [ members.Length ] (Array.map (fst >> int64) members)
                            let pick = Tensor.indexSelect 0 index
                            let struct (i, j) = coupling.Pair (Rng.at c rng) (pick x0) (pick x1)
                            Tensor.indexSelect 0 i index, Tensor.indexSelect 0 j index)

                    struct (Tensor.cat 0 (Array.map fst parts), Tensor.cat 0 (Array.map snd parts)) }

    let parts: Part<Coupling> list =
        let epsilon =
            Parameter.make "epsilon" 0.1 Allowed.Positive "ε, the price of a plan's information, in squared distance"

        [ Part.fixedAt independent
          Part.fixedAt exact
          Part.of1 epsilon entropic
          Part.of2 epsilon (Parameter.make "rho" 1.0 Allowed.Positive "ρ, the price of changed mass") unbalanced ]

    let all = List.map Part.standard parts
