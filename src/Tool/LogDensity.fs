namespace Fokker.Tool

open System
open Argu
open Fokker

type LikelihoodArgument =
    | [<Unique>] Data of file: string
    | [<Unique>] Outliers of file: string
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Time of time: float
    | [<Unique>] Method of exact_or_flow: string
    | [<Unique>] Trace of trace: string
    | [<Unique>] Probes of count: int
    | [<Unique>] Memory of mebibytes: int
    | [<Unique>] Rtol of tolerance: float
    | [<Unique>] Atol of tolerance: float
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique>] Classify
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("-o")>] Out of file: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Data _ ->
                "a .npy or .csv file of samples [n; …] in the data's units (held-out data; fresh draws of an oracle)"
            | Outliers _ ->
                "a second file of samples: how well log p tells them from those of --data, as the area under the ROC curve"
            | Count _ -> "how many samples where no file gives them (1,000; 100 images)"
            | Time _ -> "the time t of the density p_t (0, the data; just inside where a run's path is singular there)"
            | Method _ ->
                "exact: an oracle's closed form; flow: along the probability flow, by the instantaneous change of variables (exact for an oracle, flow for a run)"
            | Trace _ ->
                "how the flow's divergence is found: exact, rademacher or gaussian (exact; rademacher for images)"
            | Probes _ -> "how many random directions estimate the divergence, the same along the whole trajectory (1)"
            | Memory _ ->
                "MiB that the field's graph may take: more samples than fit go through in parts, one at a time at the least (256)"
            | Rtol _ ->
                "adaptive steps: the error of a step stays below atol + rtol·|x|, for each sample by itself (dormand-prince; 1e-5, of images 1e-3, where nothing else is said of the steps)"
            | Atol _ -> "its absolute part (that of --rtol)"
            | Label _ -> "one class for all samples of --data: its number or its name"
            | Classify ->
                "also log p under every class, for a model that is told classes, and how often the largest is the sample's own: Bayes' rule with classes that are equally likely"
            | Seed _ -> "seed of the probes and of the samples that are drawn (0)"
            | Out _ -> "a .npy file for the log-densities, float64 [n], in nats per sample in the data's units"

/// What the options of `fokker likelihood` come to.
type private LikelihoodChoice =
    { Data: string option
      Outliers: string option
      Count: int option
      Time: float option
      Method: string option
      Trace: string option
      Probes: int option
      Memory: int option
      Tolerance: ToleranceChoice
      Label: string option
      Classify: bool
      Seed: int64
      Out: string option }

/// `fokker likelihood`: log-densities under a trained run or an exact law, in the data's units.
module LogDensity =

    let private choose (choice: LikelihoodChoice) (argument: LikelihoodArgument) : LikelihoodChoice =
        match argument with
        | Data file -> { choice with Data = Some file }
        | Outliers file -> { choice with Outliers = Some file }
        | Count n -> { choice with Count = Some n }
        | Time time -> { choice with Time = Some time }
        | Method name -> { choice with Method = Some name }
        | Trace name -> { choice with Trace = Some name }
        | Probes n -> { choice with Probes = Some n }
        | Memory n -> { choice with Memory = Some n }
        | Rtol value -> { choice with Tolerance = { choice.Tolerance with Relative = Some value } }
        | Atol value -> { choice with Tolerance = { choice.Tolerance with Absolute = Some value } }
        | Label name -> { choice with Label = Some name }
        | Classify -> { choice with Classify = true }
        | Seed seed -> { choice with Seed = seed }
        | Out file -> { choice with Out = Some file }

    let private usual: LikelihoodChoice =
        { Data = None
          Outliers = None
          Count = None
          Time = None
          Method = None
          Trace = None
          Probes = None
          Memory = None
          Tolerance = { Relative = None; Absolute = None }
          Label = None
          Classify = false
          Seed = 0L
          Out = None }

    /// What can be refused before anything is loaded.
    let private check (choice: LikelihoodChoice) =
        match choice.Count, choice.Data with
        | Some n, _ when n < 2 -> raise (UserError $"-n {n}: expected at least 2: a standard error needs two")
        | Some n, Some file -> raise (UserError $"-n {n} and --data {file} both say how many samples: leave -n out")
        | _ -> ()

        match choice.Time with
        | Some t when t > 0.0 && t <= 1.0 && Option.isNone choice.Data ->
            raise (UserError $"--time {t}: held-out data are of time 0: give samples of x_t with --data")
        | _ -> ()

        match choice.Label, choice.Data with
        | Some label, None ->
            raise (UserError $"--class {label}: held-out data have labels of their own: it goes with --data")
        | _ -> ()

        match choice.Memory with
        | Some n when n < 1 -> raise (UserError $"--memory {n}: expected a whole number of MiB of at least 1")
        | _ -> ()

        match choice.Out with
        | Some file when not (file.EndsWith(".npy", StringComparison.OrdinalIgnoreCase)) ->
            raise (UserError $"--out {file}: expected a file that ends in .npy")
        | _ -> ()

    let private request (choice: LikelihoodChoice) (options: ModelChoice) (model: GenerativeModel) : DensityRequest =
        { Generation = ModelChoice.generation options choice.Tolerance choice.Label model
          Method =
            choice.Method
            |> Option.map (fun name ->
                [ "exact", DensityMethod.ClosedForm; "flow", DensityMethod.Flow ]
                |> fun methods -> snd (Names.choose Setting.Method "method" "methods" fst methods name))
          Trace = choice.Trace |> Option.map Catalogue.traces.Find
          Probes = choice.Probes
          Memory = choice.Memory |> Option.map (fun mebibytes -> int64 mebibytes <<< 20)
          Time = choice.Time }

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: LikelihoodArgument list) =
        let options = ModelChoice.ofArguments terminal.Known model
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = options.Quiet }
        check choice
        let plain = ModelChoice.model "./fokker likelihood moons" options
        let task = Validation.densities plain (request choice options plain)
        let model, way, time, batch = task.Model, task.Way, task.Time, task.Batch
        let rng = Rng.ofSeed choice.Seed |> Rng.named "likelihood"
        let x, labels = DataOption.samples terminal model choice.Data choice.Label choice.Count choice.Seed
        let told =
            task.Given
            |> Option.orElseWith (fun () -> DataOption.told terminal model choice.Data choice.Count choice.Seed)
        let isSpread = Units.arePixels model.Shape model.Units
        let x = if isSpread then Likelihood.dequantized rng x else x

        let found =
            Progress.run terminal "likelihood" 1.0 (fun report ->
                Densities.find model way time batch rng report told (x, labels))

        let apart =
            choice.Outliers
            |> Option.map (fun file ->
                let x, labels = DataOption.samples terminal model (Some file) choice.Label None (choice.Seed + 1L)
                let told = DataOption.told terminal model (Some file) None (choice.Seed + 1L)
                let rng = Rng.ofSeed choice.Seed |> Rng.named "outliers"
                let x = if isSpread then Likelihood.dequantized rng x else x

                let others =
                    Progress.run terminal "outliers" 1.0 (fun report ->
                        Densities.find model way time batch rng report told (x, labels))

                let area = Roc.area found.Nats others.Nats
                area, Roc.standardError area found.Nats.Length others.Nats.Length, others.Nats.Length)

        let classified =
            match choice.Classify, labels with
            | false, _ -> None
            | true, None ->
                raise (
                    UserError
                        $"--classify: {model.Name} is told no classes: train one with --labels on, on data that have them"
                )
            | true, Some labels ->
                let densities =
                    Progress.run terminal "classes" 1.0 (fun report ->
                        BayesRule.densities model way time batch rng report x)

                Some(BayesRule.accuracy densities labels)

        let over (values: float[]) = Measure.overDraws values.Length (fun k -> values[k])
        let estimate = over found.Nats
        let d = model.Dimension
        let bits = Likelihood.bitsPerDimension d

        Terminal.tell
            terminal
            $"""{if way.IsByBound || found.Terms.IsSome then "a lower bound on log p" else "log p"} at t = {time:G3}: {estimate.Mean:F4}{Estimate.error estimate} nats, {bits estimate.Mean:F4} bits/dim, over {Report.Markup.plural found.Nats.Length "sample"} of {model.Name}"""

        for terms in Option.toList found.Terms do
            Terminal.tell
                terminal
                $"of which log p(x | z) of the decoder is {(over terms.Reconstruction).Mean:F4}, log p(z) of the latents {(over terms.Prior).Mean:F4} and −log q(z | x) of the encoder {(over terms.Surprise).Mean:F4}"

        for right in Option.toList classified do
            Terminal.tell
                terminal
                $"by Bayes' rule the class of {100.0 * right.Mean:F2}{Estimate.error { right with StandardError = 100.0 * right.StandardError }} %% of them is right, of {model.Classes.Length} classes"

        for area, error, n in Option.toList apart do
            Terminal.tell
                terminal
                $"log p tells them from {n} outliers with an area of {area:F4} ± {error:G2} under the ROC curve (0.5 where it says nothing)"

        for label, z in found.Partitions do
            let of' =
                match label with
                | Some label -> $" of {model.Classes[label]}"
                | None -> ""

            Terminal.tell
                terminal
                $"log Z{of'}: {z.LogZ:F4} ± {z.StandardError:G2}, which all samples have in common; {100.0 * z.EffectiveShare:F0} %% of {z.Chains} chains count"

        choice.Out
        |> Option.iter (fun file ->
            Scope.run0 (fun () -> Npy.write file (Tensor.ofArray [ found.Nats.Length ] found.Nats)))
        choice.Out |> Option.iter (Terminal.tell terminal)

        Terminal.give
            terminal
            (Json.object
                [ yield! Described.model model
                  "count", Json.whole (int64 found.Nats.Length)
                  "dimension", Json.whole (int64 d)
                  "time", Json.number time
                  match way with
                  | ClosedForm _ -> "method", Json.text "exact"
                  | ByJumps(_, times) ->
                      "method", Json.text "jumps"
                      "evaluations", Json.number (float (times.Length - 1))
                  | Normalized(_, chains, stages) ->
                      "method", Json.text "annealed-importance"
                      "chains", Json.whole (int64 chains)
                      "stages", Json.whole (int64 stages)

                      "partitions",
                      Json.array
                          [ for label, z in found.Partitions ->
                                Json.node (
                                    Json.object
                                        [ match label with
                                          | Some label -> "class", Json.text model.Classes[label]
                                          | None -> ()
                                          "logZ", Json.number z.LogZ
                                          "standardError", Json.number z.StandardError
                                          "effectiveShare", Json.number z.EffectiveShare ]
                                ) ]
                  | ByBound(_, draws) ->
                      "method", Json.text "bound"
                      "evaluations", Json.whole (int64 draws)
                  | AlongFlow(flow, likelihood) ->
                      "method", Json.text "flow"
                      yield! Described.flow flow
                      "evaluations", Json.number (Array.averageBy float found.Evaluations)
                      "memory", Json.whole likelihood.Memory
                      "trace", Json.text likelihood.Trace.Name

                      if likelihood.Trace.Name <> Fokker.Trace.exact.Name then
                          "probes", Json.whole (int64 likelihood.Trace.Estimates)

                      if found.ProbeErrors.Length > 0 then
                          // The probes of one sample are independent of another's.
                          let n = float found.ProbeErrors.Length
                          let error = Math.Sqrt(Array.sumBy (fun e -> e * e) found.ProbeErrors) / n
                          "probeStandardError", Json.number error

                      "prior",
                      Json.text (
                          match model.Origin with
                          | Origin.Supplied
                          | Origin.Trained _ -> $"N(0, σ² I) at t = {flow.Plan.Span.Noisy}"
                          | Origin.Exact _ -> $"the mixture's own law at t = {flow.Plan.Span.Noisy}"
                      )

                      if found.PriorCost.Length > 0 then
                          "gaussianPriorCost", Json.number (Array.average found.PriorCost)
                  "dequantized", Json.flag isSpread
                  "nats",
                  Json.node (
                      Json.object
                          [ "value", Json.number estimate.Mean; "standardError", Json.number estimate.StandardError ]
                  )
                  match found.Terms with
                  | Some terms ->
                      let mean (values: float[]) = Json.number (over values).Mean

                      "terms",
                      Json.node (
                          Json.object
                              [ "reconstruction", mean terms.Reconstruction
                                "prior", mean terms.Prior
                                "surprise", mean terms.Surprise ]
                      )
                  | None -> ()
                  "bitsPerDimension",
                  Json.node (
                      Json.object
                          [ "value", Json.number (bits estimate.Mean)
                            "standardError", Json.number (abs (bits estimate.StandardError)) ]
                  )
                  match classified with
                  | Some right ->
                      "classified",
                      Json.node (
                          Json.object
                              [ "value", Json.number right.Mean; "standardError", Json.number right.StandardError ]
                      )
                  | None -> ()
                  match apart with
                  | Some(area, error, n) ->
                      "outliers",
                      Json.node (
                          Json.object
                              [ "count", Json.whole (int64 n)
                                "rocArea", Json.number area
                                "standardError", Json.number error ]
                      )
                  | None -> ()
                  "files", Json.array (choice.Out |> Option.toList |> Seq.map Json.text) ])

        Exit.Success

    let command =
        Command.makeWith<ModelArgument, LikelihoodArgument>
            "likelihood"
            "log-densities of data under a trained run or an exact mixture, in nats and bits per dimension"
            [ "./fokker likelihood moons", "held-out data under a run, along its probability flow"
              "./fokker likelihood --oracle mixture.json --data x.npy --out logp.npy", "the closed form"
              "./fokker likelihood --oracle mixture.json --data x.npy --method flow --path vp --steps 50",
              "the same along the flow: the only error is the solver's"
              "./fokker likelihood digits -n 10000 --classify",
              "and how often Bayes' rule names the class, of a run with classes"
              "./fokker likelihood moons --rtol 1e-6", "with steps that each sample's error chooses" ]
            run
