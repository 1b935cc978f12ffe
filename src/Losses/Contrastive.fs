namespace Fokker

/// Contrastive divergence: the likelihood's gradient −∇θ log p = ∇θ E(x₀) − E_p ∇θ E, its second mean taken over chains of a few moves (Hinton 2002, Training products of experts by minimizing contrastive
/// divergence; with chains that go on from step to step Tieleman 2008, Training restricted Boltzmann machines using approximations to the likelihood gradient).
[<NoComparison; NoEquality>]
type Contrastive =
    {
        /// Moves of a chain at each step of training.
        Moves: int
        /// h of `Langevin.adjusted`.
        Length: float
        /// Whether chains go on where they were; else they begin at the data.
        IsPersistent: bool
        /// Chains that go on, as so many batches: each step moves one of them.
        Batches: int
        /// The share of chains that begin anew from N(0, I) at each of their turns.
        Restart: float
        /// a in a (E(x₀)² + E(x)²), which keeps energies from drifting (Du, Mordatch 2019, section 3.3).
        Penalty: float
    }

[<RequireQualifiedAccess>]
module Contrastive =

    /// E(x₀) − E(x) + a (E(x₀)² + E(x)²) [B], of an energy at data and at samples of the model, which are held fixed.
    let each (penalty: float) (energy: Tensor -> Tensor) (data: Tensor) (negative: Tensor) : Tensor =
        let positive, negative = energy data, energy negative
        let difference = positive - negative

        if penalty = 0.0 then
            difference
        else
            difference + penalty * (Tensor.square positive + Tensor.square negative)

    let private energy (network: Condition -> Field) = Energy.ofNetwork true network

    /// The chains after their moves, from x on.
    let private moved (c: Contrastive) (context: LossContext) (rng: Rng) (label: Condition) (x: Tensor) : Tensor =
        let target = Energy.target x.Kind (energy context.Frozen) label 1.0
        let chain, _ = Langevin.runAdjusted target c.Length c.Moves (Noise.fresh rng) x
        chain.X

    let private labels (label: Condition) = label |> Option.map (fun labels -> labels.To Dtype.Float32) |> Option.toList
    let private ofLabels (kept: Tensor[]) : Condition = if kept.Length > 1 then Some(kept[1].To Dtype.Int64) else None

    /// The chains of a step: the batch whose turn it is, moved and put at the end of the others; x and, where there are classes, the class that each is of. A run's first steps make them.
    let private advance (c: Contrastive) (context: LossContext) (rng: Rng) (batch: Batch) : Tensor[] =
        let b = batch.Data.Shape[0]

        let begun (x: Tensor) : Tensor = Rng.normalLike x (Rng.named "begin" rng)

        match context.Memory with
        | _ when not c.IsPersistent -> [| moved c context rng batch.Label batch.Data; yield! labels batch.Label |]
        | [||] -> [| moved c context rng batch.Label (begun batch.Data); yield! labels batch.Label |]
        | kept ->
            let count = kept[0].Shape[0]
            let isFull = count >= c.Batches * b
            let turn (t: Tensor) = Tensor.narrow 0 0 (min b count) t

            let next =
                if isFull then
                    let x = turn kept[0]
                    let label = ofLabels kept |> Option.map turn
                    let anew = Tensor.lessThan c.Restart (Rng.uniform x.Kind [ x.Shape[0] ] (Rng.named "anew" rng))
                    let shape = x.Shape[0] :: List.replicate (x.Rank - 1) 1
                    let x = Tensor.where (Tensor.reshape shape anew) (begun x) x
                    [| moved c context rng label x; yield! labels label |]
                else
                    [| moved c context rng batch.Label (begun batch.Data); yield! labels batch.Label |]

            let stay = if isFull then [| for t in kept -> Tensor.narrow 0 b (count - b) t |] else kept

            Array.map2 (fun (stay: Tensor) next -> Tensor.cat 0 [ stay; next ]) stay next

    /// The last batch of the chains, which is the one that this step moved.
    let private last (b: int) (kept: Tensor) : Tensor = Tensor.narrow 0 (kept.Shape[0] - b) b kept

    let private loss (c: Contrastive) : Loss =
        fun context _ batch ->
            let b = batch.Data.Shape[0]
            let kept = context.Memory |> Array.map (last b)
            let negative, label = kept[0], ofLabels kept
            let energy = energy context.Network
            // Chains have labels of their own: energies of data and of chains are two evaluations.
            let e (x: Tensor) =
                Energy.value energy (if obj.ReferenceEquals(x, batch.Data) then batch.Label else label) x
            each c.Penalty e batch.Data negative

    let objective (c: Contrastive) : Objective =
        let penalty = if c.Penalty > 0.0 then $" + {c.Penalty} (E(x₀)² + E(x)²)" else ""

        let chains =
            if c.IsPersistent then
                $"x of chains that go on, {c.Moves} moves a step"
            else
                $"x after {c.Moves} moves from the data"

        { Objective.withOutput
              (if c.IsPersistent then "persistent" else "contrastive")
              $"E(x₀) − E(x){penalty}, {chains}"
              (if c.IsPersistent then
                   "Tieleman 2008, Training restricted Boltzmann machines using approximations to the likelihood gradient"
               else
                   "Hinton 2002, Training products of experts by minimizing contrastive divergence, eq. 8")
              Path.condOT
              (NetworkOutput.Energy true)
              (loss c) with
            Memory = Some(advance c) }

    // ---- by name

    /// `contrastive` and `persistent`.
    let entries: Part<LossEntry> list =
        let moves count = Parameter.make "moves" count (Allowed.Whole 1) "moves of a chain at each step"
        let length = Parameter.make "h" 0.01 Allowed.Positive "the length of a chain's step, for data of unit variance"

        let penalty =
            Parameter.make
                "penalty"
                0.0
                (Allowed.AtLeast 0.0)
                "a, how much the squares of the energies count beside their difference"

        let contrastive summary (c: Contrastive) : LossEntry =
            let own = objective c
            LossEntry.make own.Name summary own.Equation own.Reference [] (fun _ -> objective c)

        [ Part.of3 (moves 20.0) length penalty (fun moves length penalty ->
              contrastive
                  "Contrastive divergence: lowers an energy at the data and raises it where a few Langevin moves lead from them."
                  { Moves = int moves
                    Length = length
                    IsPersistent = false
                    Batches = 1
                    Restart = 0.0
                    Penalty = penalty })
          Part.leaving
              [ moves 10.0
                length
                Parameter.make
                    "batches"
                    16.0
                    (Allowed.Whole 1)
                    "the chains that go on, as so many batches: each step moves one of them"
                Parameter.make
                    "restart"
                    0.0
                    (Allowed.Within(0.0, 1.0))
                    "the share of chains that begin anew at each of their turns"
                penalty ]
              (fun n ->
                  contrastive
                      "Persistent contrastive divergence: raises an energy at chains that go on from step to step, which follow its law."
                      { Moves = int n[0]
                        Length = n[1]
                        IsPersistent = true
                        Batches = int n[2]
                        Restart = n[3]
                        Penalty = n[4] }) ]
