namespace Fokker

open System
open System.IO

/// Where a model is from.
[<NoComparison; NoEquality>]
type Origin =
    | Trained of RunFolder
    /// The exact law in a network's place, and its file.
    | Exact of file: string * Mixture
    /// A field of the caller's, by the name that the caller gave it.
    | Supplied of name: string

/// How a model is guided.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Guide =
    /// Away from itself without a class.
    | Unconditional of Guidance
    /// Away from a weaker model of this name.
    | Weaker of Guidance * name: string
    /// Along so many times the gradient of a classifier of this name.
    | Classifier of scale: float * name: string
    /// Towards several classes, and away from those of negative weight.
    | Composition of (int * float) list

    /// The options that ask for it.
    member guide.Option =
        match guide with
        | Unconditional guidance
        | Weaker(guidance, _) -> $"--guidance {guidance.Scale}"
        | Classifier(scale, _) -> $"--guidance {scale}"
        | Composition terms -> "--compose " + String.Join(",", terms |> List.map (fun (label, w) -> $"{label}:{w}"))

/// What one samples from, measures, or asks for a density: a model and the law that it stands for. A trained run and an
/// exact mixture differ in how they make one, and in nothing after that.
[<NoComparison; NoEquality>]
type Subject =
    {
        Origin: Origin
        Data: Dataset
        Path: GaussianPath
        Learned: Learned
        /// x₁ at the noisy end in the network's units, n draws, where it is not σ(1)·ε.
        Source: (Rng -> int -> Tensor) option
        /// What the network computes in.
        Kind: Kind
        /// Whether the network is told the class.
        Labels: bool
        /// Whether it knows what no class looks like: the null of classifier-free guidance.
        Null: bool
        /// The guidance that what was learned is under.
        Guidance: Guide option
        Seed: int64
    }

    /// The stream that a use draws from, by name.
    member subject.Stream(name: string) = Rng.ofSeed subject.Seed |> Rng.named name

    /// What was learned, where it knows the score. Raises UserError, saying what wants it, elsewhere.
    member subject.Model(wanted: string) : Model =
        match subject.Learned with
        | Denoising model -> model
        | Transport _
        | Mapping _ ->
            raise (
                UserError
                    $"{wanted} needs a model that knows the score, and {subject.Name} does not; take a run trained by a regression such as cfm, dsm or simple"
            )

    /// As messages and JSON have it: the run's name, or the mixture's file.
    member subject.Name =
        match subject.Origin with
        | Trained folder -> folder.Name
        | Exact(file, _) -> file
        | Supplied name -> name

[<RequireQualifiedAccess>]
module Subject =

    let trained (folder: RunFolder) (job: Job) (parameters: Tensor[]) : Subject =
        { Origin = Trained folder
          Data = job.Data
          Path = job.Objective.Path
          Learned = job.Objective.Learned(job.Network.Apply parameters)
          Source = job.Source
          Kind = job.Kind
          Labels = job.Recipe.Labels
          Null = job.Recipe.LabelDropout > 0.0
          Guidance = None
          Seed = job.Recipe.Seed }

    /// A model trained by a recipe, on the thread that asks, with nothing written: for scripts. Raises UserError where the recipe's parts do not fit, or
    /// training diverges.
    let fit (recipe: Recipe) (data: Dataset) : Subject =
        let job = Runs.job recipe data
        let result = Run.inMemory (Recipe.plan job) (fun _ _ -> ()) (fun () -> false)

        match result.Divergence with
        | Some divergence -> raise (UserError divergence)
        | None -> trained { Name = data.Name; Path = "" } job result.State.Average

    /// A mixture as data set and network at once; it can be told a class, and needs none. `name` is its data set's, `file` what messages call it.
    let ofMixture
        (name: string)
        (file: string)
        (path: GaussianPath)
        (prediction: Prediction)
        (kind: Kind)
        (mixture: Mixture)
        : Subject =
        { Origin = Exact(file, mixture)
          Data =
            { Name = name
              Summary = $"a mixture of {mixture.Components} Gaussians in {mixture.Dimension} dimensions"
              Source = file
              Shape = [ mixture.Dimension ]
              Classes = [ for k in 0 .. mixture.ClassCount - 1 -> string k ]
              Units = Units.Same
              Content = Law(fun rng n -> Mixture.sample n rng mixture) }
          Path = path
          Learned = Denoising(Mixture.model path prediction mixture)
          Source = None
          Kind = kind
          Labels = false
          Null = true
          Guidance = None
          Seed = 0L }

    /// The mixture of a file. Raises UserError where the file holds none.
    let exact (file: string) (path: GaussianPath) (prediction: Prediction) (kind: Kind) : Subject =
        ofMixture (Path.GetFileNameWithoutExtension file |> string) file path prediction kind (Mixture.read file)

    /// A field of the caller's on a path, for samples of a shape in units of its own: what it says is a prediction. It is told no class.
    let ofField
        (name: string)
        (shape: int list)
        (path: GaussianPath)
        (prediction: Prediction)
        (kind: Kind)
        (field: Field)
        : Subject =
        { Origin = Supplied name
          Data =
            { Name = name
              Summary = "what a given field makes of noise"
              Source = name
              Shape = shape
              Classes = []
              Units = Units.Same
              Content = Law(fun _ _ -> raise (UserError $"{name}: a field brings no data of its own: give some")) }
          Path = path
          Learned = Denoising(Model.make path prediction (fun _ -> field))
          Source = None
          Kind = kind
          Labels = false
          Null = false
          Guidance = None
          Seed = 0L }

    /// The array in a file, of the model's shape after the axes named. Raises UserError, naming the option, where it is not, is empty, or is not
    /// finite.
    let private arrayIn (axes: string list) (option: string) (file: string) (subject: Subject) : Tensor =
        let x = Npy.read file
        let wanted = String.Join("; ", axes @ List.map string subject.Data.Shape)

        if x.Rank < axes.Length || List.ofArray x.Shape[axes.Length ..] <> subject.Data.Shape then
            raise (UserError $"{option} {file}: its shape is {x.Describe()}: {subject.Name} is of samples [{wanted}]")

        if x.Count = 0L then
            raise (UserError $"{option} {file}: it holds no samples: expected [{wanted}]")

        if not ((Tensor.all (Tensor.isFinite x)).ToBool()) then
            raise (UserError $"{option} {file}: it holds NaN or infinity: expected finite numbers")

        x.To Dtype.Float64

    /// The samples in a file, [n; …] float64.
    let samplesIn option file subject = arrayIn [ "n" ] option file subject

    /// The draws of several steps in a file, [draws; n; …] float64.
    let drawsIn option file subject = arrayIn [ "draws"; "n" ] option file subject

    /// The number of a class given by number or name. Raises UserError, naming the option, where there is none.
    let classOf (option: string) (subject: Subject) (given: string) : int =
        let classes = subject.Data.Classes

        match Int32.TryParse given with
        | true, k when k >= 0 && k < classes.Length -> k
        | true, k -> raise (UserError $"{option} {k}: the classes are 0 to {classes.Length - 1}")
        | _ ->
            let name = Names.find option "class" "classes" id classes given
            List.findIndex ((=) name) classes

    /// The class that samples are to be of. Raises UserError where there is none, or the network is told no class.
    let label (subject: Subject) (given: string) : int =
        match subject.Origin, subject.Guidance with
        | _, Some(Guide.Composition _ as guide) ->
            raise (UserError $"--label {given}: {guide.Option} says which classes: leave one of them out")
        | Supplied _, _ -> raise (UserError $"--label {given}: {subject.Name} is told no classes; leave it out")
        | Trained _, _ when not subject.Labels ->
            raise (UserError $"--label {given}: this run's network was not told any classes; leave it out")
        | _ -> ()

        classOf "--label" subject given
