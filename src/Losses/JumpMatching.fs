namespace Fokker

/// What the rates of jumps are learned from: a datum and where its path has it at a time.
[<RequireQualifiedAccess>]
module JumpMatching =

    let discreteReference = "Gat et al. 2024, Discrete flow matching, eq. 24; Campbell et al. 2024"
    let boundReference = "Shaul et al. 2024, Flow matching with general discrete paths, eq. 21; Gat et al. 2024"
    let lineReference = "Holderrieth et al. 2024, Generator matching, eq. 22 and table 1"

    let crossEntropyEquation = "−Σᵢ log p(x₀ⁱ | x_t)/d over coordinates that are not yet their data"
    let boundEquation = "1/t · Σᵢ (δ − p(x_tⁱ | x_t) − (1 − δ) log p(x₀ⁱ | x_t))/d, δ = [x_tⁱ = x₀ⁱ]"
    let lineEquation = "Σ (Q − q log Q)/d over cells, q = λ(x_t | x₀) J(cell | x₀)"

    let private times: Rng -> int -> Tensor =
        let draw = Times.uniform.Draw Path.condOT
        fun rng n -> Tensor.clamp DiscreteFlow.First 1.0 (draw (Rng.named "times" rng) n)

    /// Discrete flow matching by cross-entropy or, where `asBound`, by the bound on the likelihood.
    let discrete (name: string) (asBound: bool) (tokens: Tokens) : Objective =
        let loss: Loss =
            fun context rng batch ->
                let x0 = Tokens.ofData tokens batch.Data
                let t = times rng x0.Shape[0]
                let states = DiscreteFlow.corrupt tokens rng t x0
                let logs = DiscreteFlow.logPosterior tokens batch.Data.Kind (context.Network batch.Label) t states
                let d = float (x0.Count / int64 x0.Shape[0])

                let each =
                    if asBound then
                        DiscreteFlow.boundRate tokens t x0 states logs
                    else
                        DiscreteFlow.crossEntropy tokens x0 states logs

                each / d

        Objective.withOutput
            name
            (if asBound then boundEquation else crossEntropyEquation)
            (if asBound then boundReference else discreteReference)
            Path.condOT
            (NetworkOutput.TokenLogits tokens)
            loss

    /// Generator matching on the line, with the velocity of the same path beside it where there is a flow.
    let line (name: string) (cells: Cells) : Objective =
        let path = Path.condOT
        let output = NetworkOutput.JumpRates cells

        // A cell is wider than what the path adds to data before that.
        let last = GeneratorMatching.last path cells
        let flat = Tensor.flattenRows

        let loss: Loss =
            fun context rng batch ->
                let x0 = batch.Data
                let t = times rng x0.Shape[0]
                // The flow goes on alone after the last jumps.
                let t = if cells.Flow > 0.0 then t else Tensor.clamp last 1.0 t
                let noise = Rng.normalLike x0 (Rng.named "noise" rng)
                let x = Path.sample path t x0 noise
                let struct (rates, velocity) = GeneratorMatching.read cells (context.Network batch.Label t x)
                let within = Tensor.clamp last 1.0 t
                let truth = GeneratorMatching.rates cells path within (flat x0) (flat x)
                let truth = truth * (Tensor.reshape [ -1; 1; 1 ] within).To(x0.Kind)
                let isJumping = (Tensor.not (Tensor.less t (Tensor.full t.Kind [] last))).To x0.Kind
                let jumps = isJumping * GeneratorMatching.bregman rates truth / float (flat x0).Shape[1]

                match velocity with
                | Some velocity -> jumps + Tensor.meanRows (Tensor.square (velocity - (flat noise - flat x0)))
                | None -> jumps

        Objective.withOutput name lineEquation lineReference path output loss
