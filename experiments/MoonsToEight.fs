namespace Fokker.Experiments

open Fokker

/// Moons to eight Gaussians as Tong et al. 2024 have them (Improving and generalizing flow-based generative models with minibatch optimal transport, section 5.1; the
/// two-dimensional data module of their code): 10,000 points of each law to train on and 1,000 to test with, batches of 512 without replacement, σ = 0.1 around the line between
/// the points of a pair, and pairs drawn from each batch's optimal plan. 1,000 epochs of AdamW at 10⁻³ with decay 10⁻⁵.
module internal MoonsToEight =

    /// What one trained flow measures on the test's points: ∫E‖v‖² dt by 100 Euler steps, 2-Wasserstein from where they lead, and the seconds of training.
    type Outcome = { Energy: float; Distance: float; Seconds: float }

    /// The outcomes of both methods, and W₂² between the laws.
    type Results = { Outcomes: (string * Outcome list) list; Squared: float }

    /// Two half circles with noise of deviation 0.1, centred, divided by the deviation of all their coordinates, times 7.
    let moons (rng: Rng) (n: int) : Tensor =
        let x, _ = PlaneFlow.arcs n
        let x = x + Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "noise" rng) * 0.1
        let x = x - Tensor.mean x
        let x = x * (7.0 / sqrt ((Tensor.mean (Tensor.square x)).ToFloat() * float (2 * n) / float (2 * n - 1)))
        Tensor.indexSelect 0 (Rng.permutation n (Rng.named "order" rng)) x

    let eight: Rng -> int -> Tensor = PlaneFlow.eight 12.0 1.5

    let private train, test, batch = 10_000, 1_000, 512

    /// Pairs drawn from the optimal plan, with replacement.
    let private drawn: Coupling =
        { Coupling.exact with
            Pair =
                fun rng x0 x1 ->
                    let struct (_, columns) = Coupling.exact.Pair rng x0 x1
                    let rows = Rng.integers (int64 x0.Shape[0]) [ x0.Shape[0] ] rng
                    struct (rows, Tensor.indexSelect 0 rows columns) }

    let private methods = [ "I-CFM", Coupling.independent; "OT-CFM", drawn ]

    /// ‖v(t, x_t) − (x₁ − x₀)‖² with noise of deviation 0.1 around the line between the points of a pair, the same at all times.
    let private loss: Loss =
        let around = { Interpolant.linear with Gamma = Constant 0.1 }

        fun context rng batch ->
            let x0, x1 = batch.Data, batch.Source.Value
            let t = PlaneFlow.uniform.Draw Path.condOT (Rng.named "times" rng) x0.Shape[0]
            let z = Rng.normalLike x0 (Rng.named "noise" rng)
            let x = Interpolant.sample around t x0 x1 z
            Tensor.meanRows (Tensor.square (context.Network None t x - (x1 - x0)))

    /// The normalized path energies of the paper's table.
    let published =
        function
        | "I-CFM" -> "2.738"
        | "OT-CFM" -> "0.053"
        | _ -> ""

    let private outcome (epochs: int) (coupling: Coupling) (seed: int64) : Outcome =
        Scope.run (fun () ->
            let key = Rng.ofSeed seed
            let draw law name = (law (Rng.named name key) (train + 2 * test): Tensor)
            let source, data = draw moons "moons", draw eight "eight"
            let perEpoch = int64 (train / batch)

            let pairs (step: int64) : Batch =
                let rng = Rng.at step (Rng.named "pairs" key)

                let side name (x: Tensor) =
                    let order = Rng.permutation train (Rng.at (step / perEpoch) (Rng.named name key))
                    let own = Tensor.narrow 0 (int (step % perEpoch) * batch) batch order
                    (Tensor.indexSelect 0 own x).To Kind.Float32

                let x0, x1 = side "order of the data" data, side "order of the source" source
                let struct (i, j) = coupling.Pair rng x0 x1
                { Data = Tensor.indexSelect 0 i x0; Label = None; Source = Some(Tensor.indexSelect 0 j x1) }

            let state, seconds =
                PlaneFlow.train (PlaneFlow.plain 1e-3 1e-5) PlaneFlow.selu loss pairs (int64 epochs * perEpoch) key

            let flow: Flow =
                { Interpolant = Interpolant.linear; Velocity = PlaneFlow.selu.Apply state.Average; Noise = None }

            let held = Tensor.narrow 0 (train + test) test
            let start = held source

            { Energy = Matching.pathEnergy 100 flow None (start.To Kind.Float32)
              Distance = Wasserstein.exact (PlaneFlow.follow Tableau.euler 100 (flow.Velocity None) start) (held data)
              Seconds = seconds })

    /// Seeds 42, 43, … as the paper's, each for a data set and a training of its own, shared out among the processes; W₂² is between so many points of each law, twice.
    let outcomes (ranks: IRanks) (seeds: int) (epochs: int) (points: int) (report: float -> string -> unit) : Results =
        let figures (_, coupling) seed =
            let outcome = outcome epochs coupling (int64 seed)
            [| outcome.Energy; outcome.Distance; outcome.Seconds |]

        let found = Study.sharedSeeds ranks report 3 fst [ 42 .. 41 + seeds ] figures methods
        let read (f: float[]) = { Energy = f[0]; Distance = f[1]; Seconds = f[2] }
        let outcomes = List.map2 (fun (name, _) own -> name, List.map read own) methods found

        let between k =
            Scope.run (fun () ->
                let rng = Rng.at (int64 k) (Rng.ofSeed 1000L)
                Wasserstein.exact (moons (Rng.named "a" rng) points) (eight (Rng.named "b" rng) points) ** 2.0)

        { Outcomes = outcomes; Squared = List.averageBy between [ 0; 1 ] }
