namespace Fokker.Interop

open System
open Fokker

/// The classifier that a request is guided by, which is freed after it.
type internal OpenedClassifier(choice: ClassifierChoice, network: TrainedNetwork option) =
    member _.Choice = Some choice

    interface IDisposable with
        member _.Dispose() = Scope.free network

/// Models: trained runs in their folders, exact laws, fields and paths of the caller's.
[<AbstractClass; Sealed>]
type internal ModelWork =

    static member Folder(path: string) : RunFolder = Runs.at path

    /// Whether a folder holds a run.
    static member IsRun(folder: RunFolder) : bool = Runs.isThere folder

    static member Trained(name: string, job: Job, state: TrainState) : GenerativeModel =
        GenerativeModel.ofTrained name (job.Trained(state.Average, state.Step))

    /// Whether a path is that of a model: a run's folder, a folder with a model's file, or such a file.
    static member IsModel(path: string) : bool =
        if IO.File.Exists path then
            path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase)
        else
            Runs.isThere (Runs.at path) || IO.File.Exists(Run.modelFile path)

    static member private Network
        (source: string, paths: GaussianPath[], device: string | null, dtype: Nullable<Dtype>)
        : string * TrainedNetwork =
        if not (IO.File.Exists source || IO.Directory.Exists source) then
            raise (UserError $"{source}: there is no model in this place")

        Runs.networkWith (OwnParts.ofPaths paths) source (Option.ofObj device) (toOption dtype) source

    /// What the parameters are in where the network computes in `dtype`.
    static member private Kept(dtype: Nullable<Dtype>) : Nullable<Dtype> =
        if dtype.HasValue then Nullable(Lookup.kept dtype.Value) else dtype

    /// The model with its network computed in `dtype`; where it cannot be, its tensors are freed.
    static member private Computed(dtype: Nullable<Dtype>, model: GenerativeModel) : GenerativeModel =
        try
            if dtype.HasValue then GenerativeModel.computedIn dtype.Value model else model
        with _ ->
            Scope.free model
            reraise ()

    /// The model of a file, or of a run's folder; its tensors are the caller's to free.
    static member Load
        (source: string, paths: GaussianPath[], device: string | null, dtype: Nullable<Dtype>)
        : GenerativeModel =
        let model = ModelWork.Network(source, paths, device, ModelWork.Kept dtype) ||> GenerativeModel.ofTrained
        ModelWork.Computed(dtype, model)

    /// What a run's folder has learned, averaged over its training by a length; its tensors are the caller's to free.
    static member LoadAverage(folder: string, length: float, device: string | null) : GenerativeModel =
        let run = Runs.at folder

        if not (Runs.isThere run) then
            raise (UserError $"{folder}: there is no run in this place")

        Runs.averagedIn OwnParts.none (Option.ofObj device) length run |> GenerativeModel.ofTrained run.Name

    /// The classifier of a file or of a run's folder, or the exact law's own (null), for a model that it is to guide.
    static member Classifier(source: string | null, model: GenerativeModel) : OpenedClassifier =
        match source with
        | null -> new OpenedClassifier(ClassifierChoice.Own, None)
        | source ->
            let name, trained =
                ModelWork.Network(source, [| model.Path |], string model.Kind.Device, Nullable model.Kind.Dtype)

            new OpenedClassifier(ClassifierChoice.Trained(ClassPosterior.ofTrained name trained), Some trained)

    /// What a model is told in numbers; null where it is nothing of that kind.
    static member Given(model: GenerativeModel) : string | null = model.Given |> Option.map Given.text |> Option.toObj

    static member Free(model: GenerativeModel) : unit = Scope.free model
    static member Free(network: TrainedNetwork) : unit = Scope.free network
    static member Free(state: TrainState) : unit = Scope.free state

    /// A model that was trained elsewhere; its tensors are the caller's to free.
    static member Import
        (source: string, side: Nullable<int>, device: string | null, dtype: Nullable<Dtype>)
        : GenerativeModel =
        let name, trained = Transfers.opened { Transfers.importing source with Size = toOption side }

        let kind =
            { Dtype = (if dtype.HasValue then Lookup.kept dtype.Value else trained.Kind.Dtype)
              Device = device |> Option.ofObj |> Option.map Torch.device |> Option.defaultValue Device.Cpu }

        let there = { trained with Parameters = trained.Parameters |> Array.map _.To(kind); Kind = kind }

        if kind <> trained.Kind then
            Scope.free trained

        ModelWork.Computed(dtype, GenerativeModel.ofTrained name there)

    /// Writes a trained model in another's format, or as all steps of a sampler where it is said how to sample (null: its network).
    static member Export(model: GenerativeModel, target: string, sampling: GenerationRequest | null) : unit =
        Transfers.export target (Option.ofObj sampling) model

    /// Writes a trained model's file; a path without the ending of one is a folder, which is made. False where the model was not trained.
    static member Save(model: GenerativeModel, path: string) : bool =
        match model.Origin with
        | Origin.Trained trained ->
            let file =
                if path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) then
                    path
                else
                    IO.Directory.CreateDirectory path |> ignore
                    Run.modelFile path

            ModelFile.write file trained
            true
        | Origin.Exact _
        | Origin.Supplied -> false

    static member Mixture(weights: float[], means: float[][], stds: float[][], classes: int[] | null) : Mixture =
        Scope.run (fun () ->
            let table (rows: float[][]) = Tensor.ofArray [ rows.Length; rows[0].Length ] (Array.concat rows)

            Mixture.ofStds weights (table means) (table stds)
            |> match classes with
               | null -> id
               | classes -> Mixture.labelled classes)

    static member MixtureFile(file: string) : Mixture = Mixture.read file

    static member Exact(name: string, mixture: Mixture, path: GaussianPath, prediction: Prediction, dtype: Dtype) =
        GenerativeModel.ofMixture name path prediction { Dtype = Lookup.kept dtype; Device = Device.Cpu } mixture
        |> GenerativeModel.computedIn dtype

    /// A field (x, t) ↦ prediction, told the time as a number. Samples with times of their own are told apart.
    static member OfField
        (
            name: string,
            shape: int[],
            path: GaussianPath,
            prediction: Prediction,
            dtype: Dtype,
            field: Func<Tensor, float, Tensor>
        ) =
        let checkedField (x: Tensor) (t: float) =
            let y = field.Invoke(x, t)

            if y.Shape <> x.Shape then
                raise (
                    UserError
                        $"{name}: the field gave {y.Describe()} for {x.Describe()}: a prediction has the shape of the samples"
                )

            y

        let field: Field =
            fun t x ->
                if t.Count = 1L then
                    checkedField x (t.ToFloat())
                else
                    let times = Tensor.toFloats t

                    if Array.forall ((=) times[0]) times then
                        checkedField x times[0]
                    else
                        Tensor.cat 0 [ for i in 0 .. times.Length - 1 -> checkedField (Tensor.narrow 0 i 1 x) times[i] ]

        GenerativeModel.ofField name (List.ofArray shape) path prediction { Dtype = dtype; Device = Device.Cpu } field

    /// A field (x [n; …], t [n]) ↦ prediction, told the time of each sample in the samples' type.
    static member OfBatchField
        (
            name: string,
            shape: int[],
            path: GaussianPath,
            prediction: Prediction,
            dtype: Dtype,
            field: Func<Tensor, Tensor, Tensor>
        ) =
        let told: Field =
            fun t x ->
                let times = Tensor.expand [ x.Shape[0] ] (t.To dtype)
                let y = field.Invoke(x, times)

                if y.Shape <> x.Shape then
                    raise (
                        UserError
                            $"{name}: the field gave {y.Describe()} for {x.Describe()}: a prediction has the shape of the samples"
                    )

                y

        GenerativeModel.ofField name (List.ofArray shape) path prediction { Dtype = dtype; Device = Device.Cpu } told

    static member PathOfFunctions
        (
            name: string,
            alpha: Func<float, float>,
            alphaDerivative: Func<float, float>,
            sigma: Func<float, float>,
            sigmaDerivative: Func<float, float>
        ) : GaussianPath =
        Path.ofCurves
            name
            $"x_t = α(t)·x₀ + σ(t)·ε, {name}"
            ""
            (Curve.ofFunctions "alpha" alpha.Invoke alphaDerivative.Invoke)
            (Curve.ofFunctions "sigma" sigma.Invoke sigmaDerivative.Invoke)
