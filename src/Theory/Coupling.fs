namespace Fokker

/// A joint law of a batch of data and a batch of source samples, as index pairs: sample k is (x₀[i_k], x₁[j_k]). Labels
/// and conditions are indexed by i like the data they belong to, so they travel with the plan.
[<NoComparison; NoEquality>]
type Coupling =
    {
        Name: string
        Equation: string
        Reference: string
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
          Reference = "Lipman et al. 2023"
          Pair = fun _ x0 _ -> struct (own x0, own x0) }

    /// The cheapest matching of the batch: argmin over permutations of Σ‖x₀ᵢ − x₁π(i)‖². Every x₀ and every x₁ is used once.
    let exact =
        { Name = "ot"
          Equation = "argmin_π Σ ‖x₀ᵢ − x₁π(i)‖²"
          Reference = "Tong et al. 2024, OT-CFM, section 3.2; Pooladian et al. 2023"
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
          Reference = "Cuturi 2013; Tong et al. 2024, SB-CFM, section 3.3"
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

    /// The unbalanced plan at ε with price ρ for changing mass, for the cost c = ‖x₀ − x₁‖² divided by its mean over the batch: what is dear is so beside the other
    /// pairs, in any dimension and units. Pairs are drawn from the whole plan, so that outliers of either side are met less often; the larger ρ, the less so.
    let unbalanced (epsilon: float) (rho: float) =
        { Name = "unbalanced"
          Equation = "argmin_P ⟨P, c⟩ + ε KL(P | p₀ ⊗ p₁) + ρ KL(P1 | p₀) + ρ KL(Pᵀ1 | p₁), c = ‖x₀ − x₁‖²/mean"
          Reference = "Chizat et al. 2018; Eyring et al. 2024"
          Pair =
            fun rng x0 x1 ->
                let squared = Wasserstein.squaredDistances x0 x1
                let mean = (Tensor.mean squared).ToFloat()
                // Where all points are one point every pair costs nothing.
                let cost = if mean > 0.0 then squared / mean else squared
                let plan = Sinkhorn.unbalanced settings epsilon rho (uniformWeights x0) (uniformWeights x1) cost

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

    // ---- conditions

    /// The weight w at which a share of all pairs (i, j) costs no more than the pair (i, i) does, c_ij + w d_ij ≤ c_ii: those are the pairs that a plan may
    /// prefer. Each pair leaves them at w = (c_ii − c_ij)/d_ij, so that w is a quantile of these numbers; 0 where fewer pairs than that are ever preferred
    /// (Cheng, Schwing 2025, section 3.3; their search by halves comes to it within 10⁻³ of the share).
    let weightOfShare (share: float) (cost: Tensor) (apart: Tensor) : float =
        if not (share > 0.0 && share < 1.0) then
            invalidArg (nameof share) $"a share of {share}: between 0 and 1"

        let n = cost.Shape[0]
        let own = Tensor.gather 1 (Tensor.unsqueeze 1 (Tensor.range Kind.Int64 0 n)) cost
        let gain = own - cost
        // Equal conditions cost nothing at any weight: such a pair is preferred always or never.
        let isSame = Tensor.equalTo 0.0 apart
        let always = Tensor.full cost.Kind [] infinity
        let never = Tensor.full cost.Kind [] -infinity
        let leaves = gain / Tensor.where isSame (Tensor.onesLike apart) apart
        let ofSame = Tensor.where (Tensor.atLeast 0.0 gain) always never
        let weights = Tensor.flatten (Tensor.where isSame ofSame leaves)
        let count = int weights.Count
        let rank = count + 1 - int (System.Math.Ceiling(share * float count))
        // Where pairs of equal conditions alone are that share: the largest weight that the paper's search tries.
        System.Math.Clamp((Tensor.kthLowest rank 0 weights).ToFloat(), 0.0, 1e8)

    /// The cheapest matching under conditions, C²OT: argmin over permutations of Σ ‖x₀ᵢ − x₁π(i)‖² + w d_iπ(i), with d [B; B] how far the conditions of data i and j
    /// are apart; source sample j is dealt the condition of the data beside it before anything is matched, so that its law given a condition is untouched. `weigh` gives w from both
    /// matrices. At w = 0 it is the optimal plan; where d is positive between classes and 0 within them, it is `withinClasses` of that for any large w.
    let conditional (weigh: Tensor -> Tensor -> float) (apart: Tensor) : Coupling =
        { exact with
            Name = "c2ot"
            Equation = "argmin_π Σ ‖x₀ᵢ − x₁π(i)‖² + w d(cᵢ, cπ(i))"
            Reference = "Cheng, Schwing 2025, The curse of conditions, eq. 8"
            Pair =
                fun _ x0 x1 ->
                    let cost = Wasserstein.squaredDistances x0 x1
                    let apart = apart.To cost.Kind
                    struct (own x0, (Assignment.solve (cost + weigh cost apart * apart)).Columns) }

    let parts: Part<Coupling> list =
        let epsilon =
            Parameter.make "epsilon" 0.1 Allowed.Positive "ε, the price of a plan's information, in squared distance"

        let ofMean =
            Parameter.make
                "epsilon"
                0.05
                Allowed.Positive
                "ε, the price of a plan's information, in mean squared distances"

        [ Part.fixedAt independent
          Part.fixedAt exact
          |> Part.saying "Optimal transport: the cheapest plan between the two halves of a batch."
          Part.of1 epsilon entropic
          Part.of2
              ofMean
              (Parameter.make "rho" 1.0 Allowed.Positive "ρ, the price of changed mass, in mean squared distances")
              unbalanced ]

    let all = List.map Part.standard parts
