namespace Fokker.Bridge

open System
open Fokker

/// Models: trained runs in their folders, exact laws, fields and paths of the caller's.
[<AbstractClass; Sealed>]
type internal ModelWork =

    static member Folder(path: string) : RunFolder = Runs.at path

    /// Whether a folder holds a run.
    static member IsRun(folder: RunFolder) : bool = Runs.isThere folder

    static member Trained(folder: RunFolder, job: Job, state: TrainState) : Subject =
        Subject.trained folder job state.Average

    /// A run of a folder; its state is the caller's to free.
    static member Load
        (folder: RunFolder, paths: GaussianPath[], device: string | null, dtype: Nullable<Dtype>)
        : struct (Job * TrainState) =
        if not (Runs.isThere folder) then
            raise (UserError $"{folder.Path}: there is no run in this folder")

        let job, state = Runs.loadWith (List.ofArray paths) folder (Option.ofObj device) (toOption dtype)
        struct (job, state)

    static member Free(state: TrainState) : unit = Scope.free state

    static member Mixture(weights: float[], means: float[][], stds: float[][], classes: int[] | null) : Mixture =
        Scope.run (fun () ->
            let table (rows: float[][]) = Tensor.ofArray [ rows.Length; rows[0].Length ] (Array.concat rows)

            Mixture.ofStds weights (table means) (table stds)
            |> match classes with
               | null -> id
               | classes -> Mixture.labelled classes)

    static member MixtureFile(file: string) : Mixture = Mixture.read file

    static member Exact(name: string, mixture: Mixture, path: GaussianPath, prediction: Prediction, dtype: Dtype) =
        Subject.ofMixture name name path prediction { Dtype = dtype; Device = Device.Cpu } mixture

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

        Subject.ofField name (List.ofArray shape) path prediction { Dtype = dtype; Device = Device.Cpu } field

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

    static member Units(subject: Subject) : Units = subject.Data.Units

    /// A copy of a run's files in another folder, which is made.
    static member Copy(folder: RunFolder, target: string) : unit =
        IO.Directory.CreateDirectory target |> ignore

        for file in [ folder.Record; folder.Checkpoint; Run.metricsFile folder.Path ] do
            if IO.File.Exists file then
                IO.File.Copy(file, IO.Path.Combine(target, nonNull (IO.Path.GetFileName file)), true)
