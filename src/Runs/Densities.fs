namespace Fokker

open System

/// How log-densities are found.
[<NoComparison; NoEquality>]
type DensityWay =
    | ClosedForm of Mixture
    | AlongFlow of Following * Likelihood

/// The log-densities that were found of some samples, in the data's units.
type Densities =
    {
        /// log p, [n].
        Nats: float[]
        /// Its standard error over the probes, where there are some.
        ProbeErrors: float[]
        Evaluations: int[]
        /// What N(0, σ² I) in the place of an oracle's own law at the noisy end would change.
        PriorCost: float[]
    }

/// Log-densities under a trained run or an exact law.
[<RequireQualifiedAccess>]
module Densities =

    /// The mixture whose density is asked for: that of a class where one is named. Raises UserError where guidance changed the law.
    let law (subject: Subject) (label: int option) (mixture: Mixture) : Mixture =
        match subject.Guidance, label with
        | Some guide, _ ->
            raise (UserError $"{guide.Option}: an oracle's law is known without guidance only: leave it out")
        | None, Some label -> Mixture.ofClass label mixture
        | None, None -> mixture

    /// A way of finding the flow's divergence, by name: exact for vectors and Rademacher's probes for images unless one is named. Raises UserError where
    /// there is none of that name, or an exact one is to draw probes.
    let trace (subject: Subject) (name: string option) (probes: int option) : Trace =
        let name = name |> Option.defaultValue (if subject.Data.IsImage then "rademacher" else "exact")
        let chosen = Catalogue.traces.Parse name

        match probes with
        | Some n when n < 1 -> raise (UserError $"--probes {n}: expected a whole number of at least 1")
        | Some n when chosen.Numbers.IsEmpty ->
            raise (
                UserError $"--probes {n}: an exact divergence draws none: it goes with --trace rademacher or gaussian"
            )
        | Some n -> Catalogue.traces.Make { chosen with Numbers = [ "probes", float n ] }
        | None -> Catalogue.traces.Make chosen

    /// The flow's likelihood, between the times that the flow is followed between. An oracle's prior is its own law at the noisy end, so that the
    /// error is that of the solver and of the trace alone; a run's is N(0, σ² I), which it samples from. Raises UserError where samples start from a law of unknown density.
    let alongFlow (following: Following) (trace: Trace) (label: int option) : DensityWay =
        let subject = following.Subject

        if subject.Source.IsSome then
            raise (
                UserError
                    $"{subject.Name} starts from a source whose density is not known: take a run that starts from noise"
            )

        let likelihood = { Likelihood.make trace following.Plan subject.Path with Control = following.Control }

        match subject.Origin with
        | Trained _
        | Supplied _ -> AlongFlow(following, likelihood)
        | Exact(_, mixture) ->
            let noisy = Tensor.scalar Kind.Float64 following.Plan.Span.Noisy
            AlongFlow(
                following,
                { likelihood with Prior = Mixture.logDensity subject.Path (law subject label mixture) noisy }
            )

    /// The log-densities of samples x [n; …] in the data's units, each of its class where the network is told classes, so many at once; the densities are
    /// those of x_t at `time`. The probes of a stochastic divergence come from the key. Raises UserError where the flow fails, or a density is not finite.
    let find
        (subject: Subject)
        (way: DensityWay)
        (time: float)
        (batch: int)
        (rng: Rng)
        (report: Ticker)
        (x: Tensor, labels: int[] option)
        : Densities =
        let n = x.Shape[0]
        let volume = Units.logVolume subject.Data.Units (List.fold (*) 1 subject.Data.Shape)
        let only nats = { Nats = Tensor.toFloats nats; ProbeErrors = [||]; Evaluations = [||]; PriorCost = [||] }

        let piece (first: int) =
            let size = min batch (n - first)
            let own = Tensor.narrow 0 first size x

            match way with
            | ClosedForm mixture when time = 0.0 -> only (Mixture.logDensityOfData mixture own)
            | ClosedForm mixture -> only (Mixture.logDensity subject.Path mixture (Tensor.scalar Kind.Float64 time) own)
            | AlongFlow(following, likelihood) ->
                let condition =
                    Samples.condition subject (labels |> Option.map (fun all -> all[first .. first + size - 1]))

                let inside = (Units.toNetwork subject.Data.Units own).To subject.Kind.Device
                let seen share = report ((float first + share * float size) / float n) ""
                let flow condition = Following.watched following.Plan.Span seen (Following.flow following condition)

                match
                    Likelihood.underFlow likelihood subject.Path flow condition (Rng.rows (int64 first) rng) inside
                with
                | Error failure -> Following.failed failure
                | Ok density ->
                    let cost =
                        match subject.Origin with
                        | Trained _
                        | Supplied _ -> [||]
                        | Exact _ ->
                            let noise = Likelihood.make likelihood.Trace likelihood.Plan subject.Path
                            Tensor.toFloats (Likelihood.costOfPrior likelihood.Prior noise density)

                    { Nats = Tensor.toFloats (density.LogDensity - volume)
                      ProbeErrors = density.StandardError |> Option.map Tensor.toFloats |> Option.defaultValue [||]
                      Evaluations = density.Evaluations
                      PriorCost = cost }

        let pieces = [ for first in 0..batch .. n - 1 -> Scope.run (fun () -> piece first) ]

        let all of' = pieces |> Seq.map of' |> Array.concat
        let found =
            { Nats = all _.Nats
              ProbeErrors = all _.ProbeErrors
              Evaluations = all _.Evaluations
              PriorCost = all _.PriorCost }

        match Array.tryFindIndex (Double.IsFinite >> not) found.Nats with
        | Some row ->
            raise (
                UserError
                    $"the density of sample {row} at t = {time} is not finite: the law has a point or a flat direction there; ask for a later one with --time"
            )
        | None -> found

    /// log p of samples [n; …] in the data's units along the model's own flow, as the command line finds it by default: exactly for vectors, by one
    /// probe for images. Raises UserError as `find` does.
    let ofSamples (subject: Subject) (x: Tensor) : Densities =
        let drawing = Samples.standardFor subject
        let following = Following.make "a likelihood" subject drawing None
        let way = alongFlow following (trace subject None None) None
        let rng = Rng.ofSeed 0L |> Rng.named "likelihood"
        find subject way following.Plan.Span.Clean drawing.Batch rng (fun _ _ -> ()) (x, None)
