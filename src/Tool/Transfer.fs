namespace Fokker.Tool

open Argu
open Fokker

type ImportArgument =
    | [<MainCommand; Unique>] Model of model: string
    | [<Unique>] Name of name: string
    | [<Unique>] Size of pixels: int
    | [<Unique>] Data of dataset: string
    | [<Unique>] Overwrite
    | [<Unique>] Runs of folder: string
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Model _ ->
                "diffusers:FOLDER, the folder of a UNet2DModel (config.json, diffusion_pytorch_model.safetensors and, where there is one, scheduler_config.json) or of a pipeline of it; or adm:FILE,head=64, the tensors of guided-diffusion's U-Net as safetensors, with what they do not say; or edm:FILE, those of EDM's version of it"
            | Name _ -> "the run's name (the folder's)"
            | Size _ -> "the side of its samples in pixels, where the model does not say it (adm)"
            | Data _ -> "the data set that it was trained on, which evaluate then holds it against"
            | Overwrite -> "replace the run of this name"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

type ExportArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique>] To of target: string
    | [<Unique>] Solver of name: string
    | [<Unique>] Steps of count: int
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique>] Guidance of scale: float
    | [<Unique>] Runs of folder: string
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Run _ -> "a name under runs/, the path of a run's folder, or a model's file"
            | To _ -> "diffusers:FOLDER, a pipeline that diffusers opens, or onnx:FILE, the network for ONNX Runtime"
            | Solver _ ->
                "with onnx: write all steps of this sampler, from standard normal noise to samples, in the network's place"
            | Steps _ -> "with onnx: the same, in so many steps"
            | Label _ ->
                "with onnx: the class of the samples, where the network is told one: its number or its name; left out, it is a second input, label"
            | Guidance _ -> "with onnx: how far the samples are guided towards their class"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// `fokker import` and `fokker export`: models that come from elsewhere and go elsewhere.
module Transfer =

    let private chooseImport (request: ImportRequest, root: string) (argument: ImportArgument) =
        match argument with
        | Model text -> { request with From = text }, root
        | Name name -> { request with Name = Some name }, root
        | Size pixels -> { request with Size = Some pixels }, root
        | Data name -> { request with Data = Some name }, root
        | Overwrite -> { request with Overwrite = true }, root
        | ImportArgument.Runs folder -> request, folder
        | ImportArgument.Quiet
        | ImportArgument.Json -> request, root

    let private runImport (terminal: Terminal) (arguments: ImportArgument list) =
        let terminal = { terminal with Quiet = List.contains ImportArgument.Quiet arguments }
        let request, root = List.fold chooseImport (Transfers.importing "", Runs.standardRoot) arguments

        if request.From = "" then
            raise (UserError "say which model: ./fokker import diffusers:FOLDER, adm:FILE or edm:FILE")

        let run, trained = Transfers.import root request

        let model = GenerativeModel.ofTrained run.Name trained

        Terminal.tell
            terminal
            $"{run.Name}: {trained.Network.Name} with {Network.size trained.Network} parameters on {trained.Path.Name}; it is a run like any other: ./fokker sample {OptionNames.run root run.Name} --solver ddim"

        let described = Described.model model
        Scope.free trained
        Terminal.give
            terminal
            (Json.object [ yield! described; "run", Json.text run.Name; "folder", Json.text run.Path ])
        Exit.Success

    let private runExport (terminal: Terminal) (arguments: ExportArgument list) =
        let pick chooser = List.tryPick chooser arguments
        let terminal = { terminal with Quiet = List.contains ExportArgument.Quiet arguments }

        let root =
            pick (function
                | ExportArgument.Runs folder -> Some folder
                | _ -> None)
            |> Option.defaultValue Runs.standardRoot

        let need what given =
            match given with
            | Some given -> given
            | None -> raise (UserError $"say {what}: ./fokker export faces --to diffusers:FOLDER")

        let name =
            pick (function
                | ExportArgument.Run name -> Some name
                | _ -> None)
            |> need "which run"

        let target =
            pick (function
                | To target -> Some target
                | _ -> None)
            |> need "where to"

        let generation =
            arguments
            |> List.fold
                (fun (request: GenerationRequest) argument ->
                    match argument with
                    | Solver name -> { request with Solver = Some(terminal.Known.Samplers.Find name) }
                    | Steps count -> { request with Steps = Some count }
                    | Label name -> { request with Class = Some name }
                    | ExportArgument.Guidance scale ->
                        { request with Guidance = { request.Guidance with Scale = Some scale } }
                    | _ -> request)
                GenerationRequest.standard

        let isSampling =
            arguments
            |> List.exists (function
                | Solver _
                | Steps _
                | Label _
                | ExportArgument.Guidance _ -> true
                | _ -> false)

        Scope.run0 (fun () ->
            Runs.networkWith terminal.Own root None None name
            ||> GenerativeModel.ofTrained
            |> Transfers.export target (if isSampling then Some generation else None))

        Terminal.tell terminal $"{name} is written as {target}"
        Terminal.give terminal (Json.object [ "model", Json.text name; "to", Json.text target ])
        Exit.Success

    let import =
        Command.make
            "import"
            "makes a run of a model that was trained elsewhere"
            [ "./fokker import diffusers:ddpm-cifar10-32 --name cifar",
              "everything takes the run cifar as if it had been trained here" ]
            runImport

    let export =
        Command.make
            "export"
            "writes a model for others"
            [ "./fokker export faces --to diffusers:faces-for-python",
              "DDPMPipeline.from_pretrained(\"faces-for-python\") opens it"
              "./fokker export moons --to onnx:moons.onnx", "the network: x, t and, with classes, label to what it says"
              "./fokker export moons --to onnx:sampler.onnx --solver heun --steps 10", "noise to samples in one call" ]
            runExport
