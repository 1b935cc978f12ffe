namespace Fokker.Experiments

open System
open System.IO
open Argu
open Fokker

type SampleArgument =
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Noise of file: string
    | [<Unique>] From of time: float
    | [<Unique>] To of time: float
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique; AltCommandLine("-o")>] Out of file: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Count _ -> "how many samples (100 images, 10,000 points)"
            | Noise _ ->
                "a .npy file of the states x to start from, one a sample, [n; …] in the data's units: x itself at the time of --from, which is σ·ε there and not ε (drawn)"
            | From _ -> "the time that sampling starts at (1, or just inside where the path is singular there)"
            | To _ ->
                "the time t that sampling ends at, with samples of x_t (0; or just inside where the path is singular there, and what noise is left is then taken off by the denoiser)"
            | Seed _ -> "seed of the noise (0)"
            | Label _ -> "one class for all samples: its number or its name"
            | Out _ ->
                "a .npy file for the samples, bytes where the data are bytes, or a .png file for a picture (samples.npy in the run's folder; here for an oracle)"

/// What the options of `fokker sample` come to.
type private SampleChoice =
    { Count: int option
      Noise: string option
      From: float option
      To: float option
      Seed: int64
      Label: string option
      Out: string option }

/// `fokker sample`: new samples of a trained run, or of an exact law that stands in for one.
module Sample =

    let private choose (choice: SampleChoice) (argument: SampleArgument) : SampleChoice =
        match argument with
        | Count n -> { choice with Count = Some n }
        | Noise file -> { choice with Noise = Some file }
        | From time -> { choice with From = Some time }
        | To time -> { choice with To = Some time }
        | Seed seed -> { choice with Seed = seed }
        | Label name -> { choice with Label = Some name }
        | Out file -> { choice with Out = Some file }

    let private usual: SampleChoice =
        { Count = None; Noise = None; From = None; To = None; Seed = 0L; Label = None; Out = None }

    /// What can be refused before anything is loaded.
    let private check (choice: SampleChoice) =
        match choice.Count, choice.Noise with
        | Some n, _ when n < 1 -> raise (UserError $"-n {n}: expected a whole number of at least 1")
        | Some n, Some file -> raise (UserError $"-n {n} and --noise {file} both say how many samples: leave -n out")
        | _ -> ()

        match choice.Out |> Option.map (fun file -> file, (Path.GetExtension file |> string).ToLowerInvariant()) with
        | Some(file, extension) when extension <> ".npy" && extension <> ".png" ->
            raise (UserError $"--out {file}: expected a file that ends in .npy or .png")
        | _ -> ()

        let from, until = defaultArg choice.From 1.0, defaultArg choice.To 0.0

        for option, time in [ "--from", from; "--to", until ] do
            if not (time >= 0.0 && time <= 1.0) then
                raise (UserError $"{option} {time}: expected a time from 0, the data, to 1, the noise")

        if not (from > until) then
            raise (
                UserError $"--from {from} --to {until}: sampling goes from noise to data: expected a later time first"
            )

    /// The drawing between the times that were asked for. A sample at a time that was asked for is x_t, and is not denoised.
    let private between (subject: Subject) (choice: SampleChoice) (drawing: Drawing) : Drawing =
        match choice.From, choice.To with
        | None, None -> drawing
        | from, until ->
            let natural = (Samples.plan subject drawing).Span

            { drawing with
                Span =
                    Some
                        { Noisy = defaultArg from natural.Noisy
                          Clean = defaultArg until natural.Clean
                          Finish = (if Option.isSome until then Stop else natural.Finish) } }

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: SampleArgument list) =
        let model = ModelChoice.ofArguments model
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = model.Quiet }
        check choice
        let subject = ModelChoice.subject "./fokker sample moons" model

        let drawing =
            { ModelChoice.drawing subject model with
                Label = choice.Label |> Option.map (Subject.label subject)
                Start = choice.Noise |> Option.map (fun file -> Subject.samplesIn "--noise" file subject) }
            |> between subject choice

        let plan = Samples.plan subject drawing

        let n =
            match drawing.Start with
            | Some states -> states.Shape[0]
            | None -> choice.Count |> Option.defaultValue (if subject.Data.IsImage then 100 else 10_000)

        let rng = Rng.ofSeed choice.Seed |> Rng.named "sample"
        let drawn = Finish.samples terminal subject drawing rng n

        let files =
            match choice.Out, subject.Origin with
            | Some file, _ when file.EndsWith(".png", StringComparison.OrdinalIgnoreCase) ->
                Runs.writeBytes file (Results.picture subject.Data drawn)
                [ file ]
            | None, Trained folder ->
                Results.saveSamples folder subject drawn
                [ folder.Samples; folder.Picture ]
            | out, _ ->
                let file = defaultArg out "samples.npy"
                Scope.run0 (fun () -> Npy.write file (Samples.forFile subject drawn))
                [ file ]

        for file in files do
            Terminal.tell terminal file

        Terminal.give
            terminal
            (Json.object
                [ yield! Subject.json subject
                  "count", Json.whole (int64 n)
                  "seed", Json.whole choice.Seed
                  "sampler", Json.text plan.Sampler.Name
                  "grid", Json.text plan.Grid.Name
                  "steps", Json.whole (int64 plan.Steps)
                  "evaluations", Json.whole (int64 (Sampling.evaluations plan))
                  "from", Json.number plan.Span.Noisy
                  "to", Json.number plan.Span.Clean
                  "denoised", Json.flag (plan.Span.Finish = Denoise)
                  "dtype", Json.text (Dtype.name plan.Kind.Dtype)
                  "files", Json.array (Seq.map Json.text files) ])

        Exit.Success

    let command =
        Command.makeWith<ModelArgument, SampleArgument>
            "sample"
            "draws samples from a trained run, or from an exact mixture in a network's place"
            [ "./fokker sample moons -n 5000 --out moons.npy", "five thousand points for numpy.load"
              "./fokker sample fashion-mnist --label sneaker --out sneakers.png", "a hundred pictures of one class"
              "./fokker sample fashion-mnist --guidance 3 --class sneaker --out sneakers.png",
              "the same, pushed further towards what tells the class from the others"
              "./fokker sample --oracle mixture.json --path vp --solver rk4 --steps 40 --noise x1.npy --out x0.npy",
              "where a solver takes given noise when the network is exact: what is off is the solver's" ]
            run
