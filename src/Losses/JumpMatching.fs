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

    // ---- by name

    let onTokens: Part<LossEntry> list =
        let count = Parameter.make "tokens" 128.0 (Allowed.Whole 2) "K, the tokens of each coordinate"

        let bound =
            Parameter.make
                "bound"
                4.0
                Allowed.Positive
                "B: the tokens lie evenly from −B to B in the network's units, 1 for pictures"

        [ for name, source, asBound, summary in
              [ "dfm",
                TokenSource.Mask,
                false,
                "Discrete flow matching from masks: learns which token a masked coordinate is, from those that are seen."
                "dfm-kl",
                TokenSource.Mask,
                true,
                "Discrete flow matching from masks by the bound on the likelihood: early times, where little is masked, count more."
                "dfm-uniform",
                TokenSource.Uniform,
                false,
                "Discrete flow matching from random tokens: learns which token each coordinate was before some were drawn anew."
                "dfm-uniform-kl",
                TokenSource.Uniform,
                true,
                "Discrete flow matching from random tokens by the bound on the likelihood." ] ->
              Part.of2 count bound (fun count bound ->
                  let tokens: Tokens = { Count = int count; Bound = bound; Source = source }

                  let equation =
                      (if asBound then boundEquation else crossEntropyEquation)
                      + (if source = TokenSource.Mask then
                             ", masked with probability t"
                         else
                             ", drawn anew with probability t")

                  let citation = if asBound then boundReference else discreteReference
                  LossEntry.make name summary equation citation [] (fun _ -> discrete name asBound tokens)) ]

    let onTheLine: Part<LossEntry> =
        Part.of3
            (Parameter.make "cells" 128.0 (Allowed.Whole 2) "K, the cells that a coordinate jumps to")
            (Parameter.make "bound" 4.0 Allowed.Positive "B: the cells lie from −B to B in the network's units")
            (Parameter.make
                "flow"
                0.0
                (Allowed.Within(0.0, 1.0))
                "a, the share of the flow of the same path in what samples follow: 0 jumps only, 1 flows only")
            (fun count bound flow ->
                let cells: Cells = { Count = int count; Bound = bound; Flow = flow }

                LossEntry.make
                    "jump"
                    "Generator matching: samples jump from where the path has too much mass to where it wants more, one coordinate at a time."
                    lineEquation
                    lineReference
                    []
                    (fun _ -> line "jump" cells))
