namespace Fokker

open System

/// What held-out samples are worth under a model's density, beside what they are worth under the law that they are of, in nats.
type HeldOutDensity =
    {
        /// −log p under the model.
        Nats: Estimate
        /// −log p under the law, whose mean is its entropy; none where the law is not known.
        Entropy: Estimate option
        /// The difference, sample by sample: an estimate of KL(law ‖ model) without bias; none where the law is not known. It says more than the
        /// difference of the two means, whose errors are mostly common.
        Excess: Estimate option
        /// Whether it is a bound that is known, as of jumps of tokens: −log p and the excess are then at most these.
        IsBound: bool
        /// Letters of a sample, of text.
        Letters: int option
    }

    /// What is found, for tables: −log p, or that it is at most this.
    member density.Symbol = if density.IsBound then "−log p ≤" else "−log p"

    /// What it says, in words; the command line and the report have it from here.
    member density.Verdict =
        match density.Excess with
        | None when density.Letters.IsSome ->
            let bits (nats: float) = Likelihood.bitsPerDimension density.Letters.Value (-nats)
            let most = if density.IsBound then "at most " else ""
            $"{most}{bits density.Nats.Mean:F3} ± {bits density.Nats.StandardError:F3} bits a byte"
        | None -> "the entropy of the data is not known"
        | Some excess when abs excess.Mean < 3.0 * excess.StandardError ->
            $"not distinguished from the entropy, ± {excess.StandardError:F3} nats"
        | Some excess when excess.Mean > 0.0 ->
            let most = if density.IsBound then "at most " else ""
            $"{most}{excess.Mean:F3} ± {excess.StandardError:F3} nats above the entropy"
        // No law has held-out samples that are likelier than under itself: what was integrated is off.
        | Some excess ->
            $"{-excess.Mean:F3} ± {excess.StandardError:F3} nats below the entropy: the flow is followed too coarsely"

/// The likelihood of held-out samples: what distances between samples do not see, such as samples between the parts of a law, it does.
[<RequireQualifiedAccess>]
module HeldOut =

    /// log p of the law of a data set, [n; …] in its own units ↦ [n] in nats, where it is known: a law of the plane or a mixture.
    let law (data: Dataset) : (Tensor -> Tensor) option =
        match data.Content with
        | Law law -> law.LogDensity
        | Finite _ -> None

    /// What of a model's samples lies where the data's law hardly has any (`Measures.outside`), for laws whose density is known: where it is below what all but a
    /// thousandth of the law's own samples have of it at least, by 40,000 of them.
    let outside (data: Dataset) : Measure option =
        match data.Content with
        | Law { LogDensity = Some logDensity; Draw = draw } ->
            let nats = Scope.run (fun () -> Tensor.toFloats (logDensity (draw (Rng.ofSeed 0L) 40_000)))
            Array.sortInPlace nats
            Some(Measures.outside logDensity nats[40])
        | _ -> None

    /// Samples that a mean is over: its error is about 0.01 nats for laws of a nat's spread.
    let standardCount = 2000

    /// Whether the model has a density, or a bound on it, that is found in a moment: it follows a flow from noise of known law, without guidance, between vectors of few
    /// numbers, whose divergence is exact.
    let hasDensity (model: GenerativeModel) : bool =
        let followsFlow =
            match model.Dynamics with
            | Denoising _
            | Transport _
            | Mapping { Domain = Ends _ } -> true
            | Landscape energy -> energy.IsLaw
            | Jumping { Space = JumpSpace.Tokens _ } -> true
            | Mapping _
            | Jumping _ -> false

        let states = List.fold (*) 1 model.StateShape
        let isSmall = model.StateShape.Length = 1 && states <= 16 || Units.areText model.Shape model.Units
        // A student of a few steps says the data of those, and no velocity.
        followsFlow
        && model.Times.IsEmpty
        && isSmall
        && model.Source.IsNone
        && model.Guidance.IsNone
        && not model.Labels

    /// The densities of `count` samples that the data hold out under the model, as `fokker likelihood` finds them; none where it has no density (`hasDensity`).
    let density
        (model: GenerativeModel)
        (data: Dataset)
        (count: int)
        (rng: Rng)
        (report: Ticker)
        : HeldOutDensity option =
        if not (hasDensity model) then
            None
        else
            let model = GenerativeModel.unrounded model

            Scope.run (fun () ->
                let batch = Dataset.heldOut Kind.Float64 count rng data
                let x = Dataset.inData data batch.Data
                let told = if model.Given.IsSome && data.Given = model.Given then batch.Label else None
                let size = (Samples.standardFor model).Batch
                let struct (way, time) = Densities.standardFor model
                let found = Densities.find model way time size (Rng.named "probes" rng) report told (x, None)

                // What a Z that was estimated is off by, all samples are.
                let widened (estimate: Estimate) =
                    let shared = defaultArg found.PartitionError 0.0
                    { estimate with StandardError = Math.Sqrt(estimate.StandardError ** 2.0 + shared * shared) }
                let negative (values: float[]) = Array.map (fun nats -> -nats) values
                let own = negative found.Nats
                let truth = law data |> Option.map (fun law -> negative (Tensor.toFloats (law x)))

                Some
                    { Nats = widened (Estimate.ofDraws own)
                      Entropy = truth |> Option.map Estimate.ofDraws
                      Excess = truth |> Option.map (fun truth -> widened (Estimate.ofDraws (Array.map2 (-) own truth)))
                      IsBound = way.IsByBound || model.Latent.IsSome
                      Letters = if Units.areText model.Shape model.Units then Some model.Dimension else None })
