namespace Fokker.Experiments

open System
open System.IO
open Argu
open Fokker

type SampleArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Solver of sampler: string
    | [<Unique>] Grid of grid: string
    | [<Unique>] Steps of count: int
    | [<Unique>] Seed of number: int64
    | [<Unique>] Label of label: string
    | [<Unique; AltCommandLine("-o")>] Out of file: string
    | [<Unique>] Batch of size: int
    | [<Unique>] Device of device: string
    | [<Unique>] Runs of folder: string
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Run _ -> "a name under runs/, or the path of a run's folder"
            | Count _ -> "how many samples (100 images, 10,000 points)"
            | Solver _ -> "the sampler (heun; fokker list samplers)"
            | Grid _ -> "how its steps are spaced (the sampler's own; fokker list grids)"
            | Steps _ -> "steps of the sampler (25 for points, 10 for images)"
            | Seed _ -> "seed of the noise (0)"
            | Label _ -> "one class for all samples: its number or its name"
            | Out _ -> "a .npy file for the samples or a .png file for a picture (samples.npy in the run's folder)"
            | Batch _ -> "samples that go through the network at once; the samples do not depend on it"
            | Device _ -> "cpu, cuda or cuda:N"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// What the options of `fokker sample` come to.
type private SampleChoice =
    { Run: string option
      Count: int option
      Solver: string option
      Grid: string option
      Steps: int option
      Seed: int64
      Label: string option
      Out: string option
      Batch: int option
      Device: string option
      Root: string }

/// `fokker sample`: new samples of a trained run.
module Sample =

    let private choose (choice: SampleChoice) (argument: SampleArgument) : SampleChoice =
        match argument with
        | Run name -> { choice with Run = Some name }
        | Count n -> { choice with Count = Some n }
        | Solver name -> { choice with Solver = Some name }
        | Grid name -> { choice with Grid = Some name }
        | Steps n -> { choice with Steps = Some n }
        | Seed seed -> { choice with Seed = seed }
        | Label name -> { choice with Label = Some name }
        | Out file -> { choice with Out = Some file }
        | Batch n -> { choice with Batch = Some n }
        | Device name -> { choice with Device = Some name }
        | Runs folder -> { choice with Root = folder }
        | Quiet
        | Json -> choice

    let private usual: SampleChoice =
        { Run = None
          Count = None
          Solver = None
          Grid = None
          Steps = None
          Seed = 0L
          Label = None
          Out = None
          Batch = None
          Device = None
          Root = Runs.standardRoot }

    let private labelOf (job: Job) (given: string) : int =
        if not job.Recipe.Labels then
            raise (UserError $"--label {given}: this run's network was not told any classes")

        match Int32.TryParse given with
        | true, k when k >= 0 && k < job.Data.Classes.Length -> k
        | true, k -> raise (UserError $"--label {k}: the classes are 0 to {job.Data.Classes.Length - 1}")
        | _ ->
            let name = Names.find "--label" "class" "classes" id job.Data.Classes given
            List.findIndex ((=) name) job.Data.Classes

    let private requireOut (out: string option) =
        match out |> Option.map (fun file -> file, (Path.GetExtension file |> string).ToLowerInvariant()) with
        | Some(file, extension) when extension <> ".npy" && extension <> ".png" ->
            raise (UserError $"--out {file}: expected a file that ends in .npy or .png")
        | _ -> ()

    let private run (terminal: Terminal) (arguments: SampleArgument list) =
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = List.contains Quiet arguments }

        let folder =
            match choice.Run with
            | Some name -> Runs.find choice.Root name
            | None -> raise (UserError "say which run: ./fokker sample moons")

        match choice.Count with
        | Some n when n < 1 -> raise (UserError $"-n {n}: expected a whole number of at least 1")
        | _ -> ()

        requireOut choice.Out
        let job, state = Runs.load folder choice.Device

        let drawing =
            { Samples.choose job.Data choice.Solver choice.Grid choice.Steps choice.Batch with
                Label = Option.map (labelOf job) choice.Label }

        let n = choice.Count |> Option.defaultValue (if job.Data.IsImage then 100 else 10_000)
        let seed, out = choice.Seed, choice.Out
        let rng = Rng.ofSeed seed |> Rng.named "sample"
        let drawn = Finish.samples terminal job state drawing rng n

        let files =
            match out with
            | Some file when file.EndsWith(".png", StringComparison.OrdinalIgnoreCase) ->
                Runs.writeBytes file (Results.picture job.Data drawn)
                [ file ]
            | Some file ->
                Scope.run0 (fun () -> Npy.write file (Samples.forFile job.Data drawn))
                [ file ]
            | None ->
                Results.saveSamples folder job drawn
                [ folder.Samples; folder.Picture ]

        for file in files do
            Terminal.tell terminal file

        Terminal.give
            terminal
            (Json.object
                [ "run", Json.text folder.Name
                  "count", Json.whole (int64 n)
                  "seed", Json.whole seed
                  "sampler", Json.text drawing.Sampler.Name
                  "grid", Json.text drawing.Grid.Name
                  "steps", Json.whole (int64 drawing.Steps)
                  "files", Json.array (Seq.map Json.text files) ])

        Exit.Success

    let command =
        Command.make<SampleArgument>
            "sample"
            "draws samples from a trained run"
            [ "./fokker sample moons -n 5000 --out moons.npy", "five thousand points for numpy.load"
              "./fokker sample fashion-mnist --label sneaker --out sneakers.png", "a hundred pictures of one class" ]
            run
