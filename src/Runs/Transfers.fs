namespace Fokker

open System
open System.IO

/// What is asked of a model that was made elsewhere: to become a run.
type ImportRequest =
    {
        /// `diffusers:FOLDER`, `adm:FILE` or `edm:FILE`.
        From: string
        /// The run's name; the folder's unless it is said.
        Name: string option
        /// The side of its samples, where the model does not say it.
        Size: int option
        /// The data set that it was trained on, which evaluations then hold it against.
        Data: string option
        /// Whether a run of that name is replaced.
        Overwrite: bool
    }

/// Models that come from elsewhere and go elsewhere.
[<RequireQualifiedAccess>]
module Transfers =

    /// An import of everything as the model says it.
    let importing (from: string) : ImportRequest =
        { From = from; Name = None; Size = None; Data = None; Overwrite = false }

    let private after (prefix: string) (text: string) : string option =
        if text.StartsWith(prefix, StringComparison.OrdinalIgnoreCase) && text.Length > prefix.Length then
            Some(text.Substring prefix.Length)
        else
            None

    /// The model of a request, before it is anywhere on disk; its tensors are the caller's. Raises UserError where there is none, or something of it has no counterpart here.
    let opened (request: ImportRequest) : string * TrainedNetwork =
        let ofFile (read: int option -> string option -> string -> TrainedNetwork) (text: string) =
            let name = (text.Split ',')[0] |> Path.GetFileNameWithoutExtension |> string
            name, read request.Size request.Data text

        let formats =
            [ "diffusers", fun folder -> (Runs.at folder).Name, Diffusers.read request.Size request.Data folder
              "adm", ofFile GuidedDiffusion.read
              "edm", ofFile EdmUnet.read ]

        formats
        |> List.tryPick (fun (format, read) -> after $"{format}:" request.From |> Option.map read)
        |> Option.defaultWith (fun () ->
            raise (UserError $"{request.From}: expected diffusers:FOLDER, adm:FILE or edm:FILE"))

    /// Makes a run of a model: a folder with its file, which everything that takes a trained run takes. Raises UserError where the model cannot be read, or the name is taken.
    let import (root: string) (request: ImportRequest) : RunFolder * TrainedNetwork =
        let named, trained = opened request
        let name = defaultArg request.Name named

        try
            Runs.keep root name request.Overwrite trained, trained
        with _ ->
            Scope.free trained
            reraise ()

    // ---- export

    /// What a network's numbers and inputs mean, for who opens the file.
    let private meaning (model: GenerativeModel) (more: (string * string) list) : (string * string) list =
        [ "model", model.Name
          "path", model.Path.Name
          match model.Origin with
          | Origin.Trained t -> "output", (NetworkOutput.toJson t.Output).ToJsonString()
          | Origin.Exact _
          | Origin.Supplied -> ()
          yield! more ]

    let private parametersOf (model: GenerativeModel) : (string * Tensor) list =
        match model.Origin with
        | Origin.Trained t -> [ for spec, p in Array.zip t.Network.Specs t.Parameters -> spec.Name, p ]
        | Origin.Exact _
        | Origin.Supplied ->
            refuse Setting.Model model.Name $"it is no network that was trained: there is nothing to write"

    /// What the network is asked at times t, and how many of these for each sample.
    let private fieldOf (model: GenerativeModel) : (Condition -> Field) * int =
        match model.Dynamics with
        | Denoising score -> score.Network, 1
        | Transport flow -> flow.Velocity, 1
        | Mapping({ Domain = Between _ } as map) -> map.Map, 2
        | Mapping map -> map.Map, 1
        | Jumping jumps -> jumps.Network, 1
        | Landscape energy -> (fun condition -> fun _ x -> energy.Potential condition x), 1

    /// (x [B; …], t float64 [B] or, of a map, [B; 2], and label int64 [B] where the network is told one) ↦ y, all in the network's units.
    let private network (model: GenerativeModel) : byte[] =
        let field, times = fieldOf model
        let parameters = parametersOf model

        Onnx.OnnxFile.ofFunction
            model.Name
            [ "x"
              "t"
              if model.Labels then
                  "label" ]
            "y"
            (meaning model [ "units", Units.text model.Units; "time", "float64, 0 is data and 1 is noise" ])
            (fun n ->
                Scope.run (fun () ->
                    let rng = Rng.ofSeed 0L
                    let x = Rng.normal model.Kind (n :: model.StateShape) rng
                    let t =
                        Rng.uniform Kind.Float64 (if times = 1 then [ n ] else [ n; times ]) (Rng.named "times" rng)
                    let label = if model.Labels then Some(Tensor.zeros Kind.Int64 [ n ]) else None

                    Recording.ofRun (x :: t :: Option.toList label) parameters (fun () -> field label t x)))

    /// noise [B; …], standard normal, and label int64 [B] where the network is told one and none is asked for ↦ samples in the data's units, by all steps of a sampler.
    let private sampler (model: GenerativeModel) (request: GenerationRequest) : byte[] =
        let parameters = parametersOf model
        let struct (model, drawing) = Validation.generation model request

        if drawing.Sampler.IsStochastic then
            refuseWith
                Setting.Solver
                drawing.Sampler.Name
                $"it draws numbers on the way, and what is written maps noise to samples"
                $"""take one without, {Setting.Solver.Is "ddim"} for instance"""

        if model.Source.IsSome then
            refuse Setting.Target "" $"its samples start from draws of {model.Source.Value.Name}: write the network"

        let isTold = model.Labels && drawing.Label.IsNone

        let metadata =
            meaning
                model
                [ "solver", drawing.Sampler.Name
                  "steps", string drawing.Steps
                  "noise", "standard normal"
                  "samples", "in the units of the data" ]

        let inputs = if isTold then [ "noise"; "label" ] else [ "noise" ]

        Onnx.OnnxFile.ofFunction model.Name inputs "samples" metadata (fun n ->
            Scope.run (fun () ->
                let rng = Rng.ofSeed 0L
                let noise = Rng.normal model.Kind (n :: model.StateShape) rng
                let label = if isTold then Some(Tensor.zeros Kind.Int64 [ n ]) else None

                Recording.ofRun (noise :: Option.toList label) parameters (fun () ->
                    let model =
                        match label with
                        | None -> model
                        | told ->
                            { model with
                                Labels = false
                                // What guides is in the dynamics.
                                Guidance = None
                                Dynamics = model.Dynamics |> Dynamics.map (fun network _ -> network told) }

                    let drawing = { drawing with Unit = Some(noise.To Dtype.Float64) }
                    let x = Samples.chunk model drawing rng 0 n ignore
                    (GenerativeModel.outside model x).To model.Kind)))

    /// The ONNX model of a trained model: of its network or, where it is asked how to sample, of the whole way from noise to samples. Raises RefusedException where it has something
    /// that is no fixed sequence of ONNX's operators.
    let onnx (sampling: GenerationRequest option) (model: GenerativeModel) : byte[] =
        match model.Given with
        | Some given ->
            refuse
                Setting.Model
                model.Name
                $"it is told {Given.text given}: what is told in numbers is no input of the files that are written"
        | None -> ()

        try
            match sampling with
            | None -> network model
            | Some request -> sampler model request
        with :? NotSupportedException as e ->
            refuse Setting.Model model.Name $"it cannot be written as ONNX: {e.Message}"

    /// Writes a trained model in another's format: `diffusers:FOLDER`, or `onnx:FILE`, which is the network or, where it is asked how to sample, all of a sampler's steps. Raises UserError where it has no
    /// counterpart there, or the place cannot be written.
    let export (target: string) (sampling: GenerationRequest option) (model: GenerativeModel) : unit =
        // Others compute in what the parameters are in.
        let model = GenerativeModel.unrounded model

        match after "diffusers:" target, after "onnx:" target with
        | Some folder, _ ->
            if sampling.IsSome then
                refuse
                    Setting.Target
                    target
                    $"a folder of diffusers holds a network and its chain, and no sampler: leave {Setting.Solver} and {Setting.Steps} out"

            parametersOf model |> ignore

            match model.Origin with
            | Origin.Trained trained -> Diffusers.write folder trained
            | Origin.Exact _
            | Origin.Supplied -> ()
        | None, Some file -> Runs.writeBytes file (onnx sampling model)
        | None, None -> refuse Setting.Target target $"expected diffusers:FOLDER or onnx:FILE"
