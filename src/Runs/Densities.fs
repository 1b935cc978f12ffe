namespace Fokker

open System

/// How log-densities are found.
[<NoComparison; NoEquality>]
type DensityWay =
    | ClosedForm of Mixture
    | AlongFlow of FlowPlan * Likelihood
    /// By jumps of a map that has learned its log-determinant, over times from the data to the noise.
    | ByJumps of FlowMap * times: float[]
    /// −E − log Z of an energy, Z by annealed importance sampling of so many chains over so many laws (`Energy.partition`).
    | Normalized of Energy * chains: int * stages: int
    /// A lower bound by what jumps of tokens say at so many times, each density that of the token's cell.
    | ByBound of JumpProcess * draws: int

/// The terms of a lower bound on log p(x) by one latent z ~ q(z | x) of each sample, whose sum it is.
type LatentTerms =
    {
        /// log p(x | z), in the data's units.
        Reconstruction: float[]
        /// log p(z), by the model of the latents.
        Prior: float[]
        /// −log q(z | x).
        Surprise: float[]
    }

/// The log-densities that were found of some samples, in the data's units.
type Densities =
    {
        /// log p, [n].
        Nats: float[]
        /// What these are the sums of, where the model is one of latents and they are bounds.
        Terms: LatentTerms option
        /// Its standard error over the probes, where there are some.
        ProbeErrors: float[]
        Evaluations: int[]
        /// What N(0, σ² I) in the place of an oracle's own law at the noisy end would change.
        PriorCost: float[]
        /// log Z in the network's units, of an energy: of each class, or of none. Its error is one and the same for all samples of a class.
        Partitions: (int option * Partition) list
    }

    /// The standard error of log Z that all samples have in common, the largest of the classes'; none where nothing was normalized.
    member found.PartitionError: float option =
        match found.Partitions with
        | [] -> None
        | partitions -> Some(partitions |> List.map (fun (_, z) -> z.StandardError) |> List.max)

/// Log-densities under a trained run or an exact law.
[<RequireQualifiedAccess>]
module Densities =

    /// The mixture whose density is asked for: that of a class where one is named. Raises RefusedException where guidance changed the law.
    let law (model: GenerativeModel) (label: int option) (mixture: Mixture) : Mixture =
        match model.Guidance, label with
        | Some guide, _ ->
            let setting, given = guide.Setting
            refuse setting given $"an exact law is known without guidance only: leave it out"
        | None, Some label -> Mixture.ofClass label mixture
        | None, None -> mixture

    /// How the flow's divergence is found: exactly for vectors and by one of Rademacher's probes for images unless it is said. Raises RefusedException where
    /// an exact one is to draw probes.
    let trace (model: GenerativeModel) (asked: Trace option) (probes: int option) : Trace =
        let chosen =
            asked
            |> Option.defaultValue (if model.StateShape.Length = 3 then Trace.rademacher 1 else Trace.exact)

        match probes, chosen.WithProbes with
        | None, _ -> chosen
        | Some n, _ when n < 1 -> refuse Setting.Probes n $"expected a whole number of at least 1"
        | Some n, Some withProbes -> withProbes n
        | Some n, None ->
            refuse
                Setting.Probes
                n
                $"""an exact divergence draws none: it goes with {Setting.Trace.Is "rademacher"} or gaussian"""

    /// The flow's likelihood, between the times that the flow is followed between. An exact law's prior is its own law at the noisy end, so that the error is
    /// that of the solver and of the trace; any other model's is the law that it samples from: N(0, σ² I), or the source. Raises RefusedException where samples start from a law of
    /// unknown density.
    let alongFlow (flow: FlowPlan) (trace: Trace) (label: int option) : DensityWay =
        let model = flow.Model

        let likelihood = { Likelihood.make trace flow.Plan model.Path with Control = flow.Control }

        let likelihood =
            match model.Source, model.Source |> Option.bind Dataset.logDensity with
            | None, _ -> likelihood
            | Some _, Some log -> { likelihood with Prior = log }
            | Some source, None ->
                refuse
                    Setting.Model
                    model.Name
                    $"it starts from {source.Name}, whose density is not known: take a model that starts from noise, or from a law such as mixture:FILE"

        match model.Origin with
        | Origin.Trained _
        | Origin.Supplied -> AlongFlow(flow, likelihood)
        | Origin.Exact(_, mixture) ->
            let noisy = Tensor.scalar Kind.Float64 flow.Plan.Span.Noisy
            AlongFlow(flow, { likelihood with Prior = Mixture.logDensity model.Path (law model label mixture) noisy })

    /// `find` of a model whose dynamics are of samples.
    let private ofSamplesThemselves
        (model: GenerativeModel)
        (way: DensityWay)
        (time: float)
        (batch: int)
        (rng: Rng)
        (report: Ticker)
        (told: Tensor option)
        (x: Tensor, labels: int[] option)
        : Densities =
        let n = x.Shape[0]

        match told with
        | Some rows when model.Given.IsSome && rows.Shape[0] <> 1 && rows.Shape[0] <> n ->
            refuse Setting.Given "" $"it is of {rows.Shape[0]} samples, one each, and there are {n}"
        | _ -> ()

        let condition (first: int) (size: int) : Condition =
            match model.Given, told with
            | None, _ -> Samples.condition model (labels |> Option.map (fun all -> all[first .. first + size - 1]))
            | Some _, None -> None
            | Some _, Some rows -> Some(Samples.told model rows first size)

        let volume = Units.logVolume model.Units (List.fold (*) 1 model.Shape)
        let only nats =
            { Nats = Tensor.toFloats nats
              Terms = None
              ProbeErrors = [||]
              Evaluations = [||]
              PriorCost = [||]
              Partitions = [] }

        let partitions =
            match way with
            | Normalized(energy, chains, stages) ->
                let of' (label: int option) =
                    let condition n = Samples.condition model (label |> Option.map (Array.create n))
                    let rng = Rng.named "partition" rng
                    label, Energy.partition model.Kind energy model.Shape chains stages condition rng

                match labels with
                | Some labels when model.Labels ->
                    labels |> Array.distinct |> Array.sort |> Array.map (Some >> of') |> List.ofArray
                | _ -> [ of' None ]
            | _ -> []

        let piece (first: int) =
            let size = min batch (n - first)
            let own = Tensor.narrow 0 first size x

            match way with
            | ClosedForm mixture when time = 0.0 -> only (Mixture.logDensityOfData mixture own)
            | ClosedForm mixture -> only (Mixture.logDensity model.Path mixture (Tensor.scalar Kind.Float64 time) own)
            | ByJumps(map, times) ->
                let condition = condition first size

                let inside = (Units.toNetwork model.Units own).To model.Kind.Device

                match FlowMap.carry model.Kind map condition times inside with
                | None -> invalidOp "what has learned no log-determinant is refused before"
                | Some(struct (latent, logDeterminant)) ->
                    report (float (first + size) / float n) ""
                    let prior = Likelihood.gaussian (Curve.eval model.Path.Sigma (Array.last times)) latent

                    { only (prior + logDeterminant - volume) with Evaluations = Array.create size (times.Length - 1) }
            | Normalized(energy, _, _) ->
                let own' = labels |> Option.map (fun all -> all[first .. first + size - 1])
                let condition = condition first size
                let inside = (Units.toNetwork model.Units own).To model.Kind.Device
                let struct (log, _) = Energy.target model.Kind energy condition 1.0 inside

                let logZ =
                    match own', partitions with
                    | _, [ None, z ] -> Array.create size z.LogZ
                    | Some labels, several ->
                        let each = Map.ofList [ for label, z in several -> label, z.LogZ ]
                        labels |> Array.map (fun label -> each[Some label])
                    | None, _ -> invalidOp "a law of classes has a Z for each"

                report (float (first + size) / float n) ""
                only (log - (Tensor.ofArray [ size ] logZ).To log.Kind - volume)
            | ByBound(jumps, draws) ->
                let condition = condition first size

                let inside = (Units.toNetwork model.Units own).To model.Kind.Device

                match JumpProcess.bound model.Kind jumps condition draws (Rng.rows (int64 first) rng) inside with
                | None -> invalidOp "jumps on the line have no bound and are refused before"
                | Some bound ->
                    report (float (first + size) / float n) ""
                    { only (-bound - volume) with Evaluations = Array.create size draws }
            | AlongFlow(flow, likelihood) ->
                let condition = condition first size

                let inside = (Units.toNetwork model.Units own).To model.Kind.Device
                let seen share = report ((float first + share * float size) / float n) ""
                let watched condition = FlowPlan.watched flow.Plan.Span seen (FlowPlan.ode flow condition)

                match
                    Likelihood.underFlow likelihood model.Path watched condition (Rng.rows (int64 first) rng) inside
                with
                | Error failure -> FlowPlan.failed failure
                | Ok density ->
                    let cost =
                        match model.Origin with
                        | Origin.Trained _
                        | Origin.Supplied -> [||]
                        | Origin.Exact _ ->
                            let noise = Likelihood.make likelihood.Trace likelihood.Plan model.Path
                            Tensor.toFloats (Likelihood.costOfPrior likelihood.Prior noise density)

                    { Nats = Tensor.toFloats (density.LogDensity - volume)
                      Terms = None
                      ProbeErrors = density.StandardError |> Option.map Tensor.toFloats |> Option.defaultValue [||]
                      Evaluations = density.Evaluations
                      PriorCost = cost
                      Partitions = [] }

        let pieces = [ for first in 0..batch .. n - 1 -> Scope.run (fun () -> piece first) ]

        let all of' = pieces |> Seq.map of' |> Array.concat
        let found =
            { Nats = all _.Nats
              Terms = None
              ProbeErrors = all _.ProbeErrors
              Evaluations = all _.Evaluations
              PriorCost = all _.PriorCost
              Partitions = partitions }

        match Array.tryFindIndex (Double.IsFinite >> not) found.Nats with
        | Some row ->
            refuse
                Setting.Time
                time
                $"the density of sample {row} there is not finite, since the law has a point or a flat direction: ask for a later time"
        | None -> found

    /// The log-densities of samples x [n; …] in the data's units, each of its class where the network is told classes, so many at once; the densities are
    /// those of x_t at `time`. The probes of a stochastic divergence come from the key. Raises UserError where the flow fails, or a density is not finite. Of a model of latents they are lower bounds by one latent of each
    /// sample, log p(x | z) + log p(z) − log q(z | x), z ~ q(z | x), whose terms are said (Kingma, Welling 2014, eq. 3; Vahdat, Kreis, Kautz 2021, Score-based generative modeling in latent space, eq. 1).
    let find
        (model: GenerativeModel)
        (way: DensityWay)
        (time: float)
        (batch: int)
        (rng: Rng)
        (report: Ticker)
        (told: Tensor option)
        (x: Tensor, labels: int[] option)
        : Densities =
        match model.Latent with
        | None -> ofSamplesThemselves model way time batch rng report told (x, labels)
        | Some space ->
            Scope.run (fun () ->
                let inside = (Units.toNetwork model.Units (x.To Dtype.Float64)).To model.Kind.Device
                let struct (y, reconstruction, surprise) = LatentSpace.drawn space (Rng.named "latents" rng) inside
                let latents = GenerativeModel.ofLatents model
                let prior = ofSamplesThemselves latents way time batch rng report told (y.To Device.Cpu, labels)
                let volume = Units.logVolume model.Units model.Dimension
                let reconstruction = Tensor.toFloats reconstruction |> Array.map (fun nats -> nats - volume)
                let surprise = Tensor.toFloats surprise

                { prior with
                    Nats = Array.map3 (fun a b c -> a + b + c) reconstruction prior.Nats surprise
                    Terms = Some { Reconstruction = reconstruction; Prior = prior.Nats; Surprise = surprise } })

    /// An energy with chains and laws between that suit it; none where the model is none. Raises RefusedException for an energy that is of no law.
    let normalized (model: GenerativeModel) (stages: int option) : DensityWay option =
        match model.Dynamics with
        | Landscape energy when not energy.IsLaw ->
            refuseWith
                Setting.Model
                model.Name
                $"its energy is of no law: only where it is least is data, and e^(−E) has no meaning"
                $"take one trained by persistent or energy-dsm, for instance"
        | Landscape energy -> Some(Normalized(energy, (if model.IsImage then 64 else 1000), defaultArg stages 200))
        | _ -> None

    /// Jumps of tokens with what they bound log p by, at so many times for each sample or at 16; none where the model does not jump. Raises RefusedException for jumps on the
    /// line.
    let bounded (model: GenerativeModel) (draws: int option) : DensityWay option =
        match model.Dynamics with
        | Jumping { Space = JumpSpace.Line _ } ->
            refuseWith
                Setting.Model
                model.Name
                $"it jumps on the line, and the density of that is not known"
                $"take one trained by dfm-kl for a bound, or by cfm"
        | Jumping jumps -> Some(ByBound(jumps, defaultArg draws 16))
        | _ -> None

    /// The way that suits a model and the time of its density: an energy normalized, an exact flow by itself, jumps of tokens by their bound, any other along its own flow, exactly for vectors and by
    /// one probe for images. Raises RefusedException where there is none.
    let standardFor (model: GenerativeModel) : struct (DensityWay * float) =
        let other = normalized model None |> Option.orElse (bounded model None)

        match other, model.Dynamics with
        | Some way, _ -> struct (way, 0.0)
        | None, Mapping({ Domain = Ends _ } as map) -> struct (ByJumps(map, [| 0.0; 1.0 |]), 0.0)
        | None, _ ->
            let flow = FlowPlan.make "a likelihood" model (FlowPlan.usual model) None
            struct (alongFlow flow (trace model None None) None, flow.Plan.Span.Clean)

    /// log p of samples [n; …] in the data's units, in the way that suits the model (`standardFor`). Raises UserError as `find` does.
    let ofSamples (model: GenerativeModel) (x: Tensor) : Densities =
        let struct (way, time) = standardFor model
        let rng = Rng.ofSeed 0L |> Rng.named "likelihood"
        find model way time (Samples.standardFor model).Batch rng (fun _ _ -> ()) None (x, None)
