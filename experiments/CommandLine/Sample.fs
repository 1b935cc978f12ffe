namespace Fokker.Experiments

open System
open System.IO
open Argu
open Fokker

type SampleArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
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
            | Steps _ -> "steps of the sampler"
            | Seed _ -> "seed of the noise (0)"
            | Label _ -> "one class for all samples: its number or its name"
            | Out _ -> "a .npy file for the samples or a .png file for a picture (samples.npy in the run's folder)"
            | Batch _ -> "samples that go through the network at once; the samples do not depend on it"
            | Device _ -> "cpu, cuda or cuda:N"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// `fokker sample`: new samples of a trained run.
module Sample =

    let private labelOf (job: Job) (given: string) : int =
        if not job.Recipe.Labels then
            raise (UserError $"--label {given}: this run's network was not told any classes")

        match Int32.TryParse given with
        | true, k when k >= 0 && k < job.Data.Classes.Length -> k
        | true, k -> raise (UserError $"--label {k}: the classes are 0 to {job.Data.Classes.Length - 1}")
        | _ ->
            let name = Names.find "--label" "class" "classes" id job.Data.Classes given
            List.findIndex ((=) name) job.Data.Classes

    let private run (terminal: Terminal) (arguments: SampleArgument list) =
        let pick chooser = List.tryPick chooser arguments
        let root =
            pick (function
                | Runs folder -> Some folder
                | _ -> None)
            |> Option.defaultValue Runs.standardRoot
        let terminal = { terminal with Quiet = List.contains Quiet arguments }

        let folder =
            match
                pick (function
                    | Run name -> Some name
                    | _ -> None)
            with
            | Some name -> Runs.find root name
            | None -> raise (UserError "say which run: ./fokker sample moons")

        for option, value in
            [ "-n",
              pick (function
                  | Count n -> Some n
                  | _ -> None)
              "--steps",
              pick (function
                  | Steps n -> Some n
                  | _ -> None)
              "--batch",
              pick (function
                  | Batch n -> Some n
                  | _ -> None) ] do
            match value with
            | Some n when n < 1 -> raise (UserError $"{option} {n}: expected a whole number of at least 1")
            | _ -> ()

        let out =
            pick (function
                | Out file -> Some file
                | _ -> None)

        match out |> Option.map (fun file -> file, (Path.GetExtension file |> string).ToLowerInvariant()) with
        | Some(file, extension) when extension <> ".npy" && extension <> ".png" ->
            raise (UserError $"--out {file}: expected a file that ends in .npy or .png")
        | _ -> ()

        let job, state =
            Runs.load
                folder
                (pick (function
                    | Device name -> Some name
                    | _ -> None))
        let standard = Samples.standardFor job.Data

        let drawing =
            { Steps =
                pick (function
                    | Steps n -> Some n
                    | _ -> None)
                |> Option.defaultValue standard.Steps
              Batch =
                pick (function
                    | Batch n -> Some n
                    | _ -> None)
                |> Option.defaultValue standard.Batch
              Label =
                pick (function
                    | Label name -> Some(labelOf job name)
                    | _ -> None) }

        let n =
            pick (function
                | Count n -> Some n
                | _ -> None)
            |> Option.defaultValue (if job.Data.IsImage then 100 else 10_000)
        let seed =
            pick (function
                | Seed seed -> Some seed
                | _ -> None)
            |> Option.defaultValue 0L
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
