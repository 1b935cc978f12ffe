namespace Fokker

open System.IO

/// Where a model is from.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Origin =
    /// A network that was trained.
    | Trained of TrainedNetwork
    /// The exact law in a network's place, and its file.
    | Exact of file: string * Mixture
    /// A field of the caller's.
    | Supplied

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

    /// The setting that asks for it, with its value.
    member guide.Setting: Setting * string =
        match guide with
        | Unconditional guidance
        | Weaker(guidance, _) -> Setting.Guidance, string guidance.Scale
        | Classifier(scale, _) -> Setting.Guidance, string scale
        | Composition terms ->
            Setting.Composition, System.String.Join(",", terms |> List.map (fun (label, w) -> $"{label}:{w}"))

/// What one samples from, evaluates, or asks for a density. Networks that were trained, exact laws and fields of the caller's differ in how they make one,
/// and in nothing after that.
[<NoComparison; NoEquality>]
type GenerativeModel =
    {
        /// What messages call it.
        Name: string
        Origin: Origin
        Path: GaussianPath
        /// What is known of the way from noise to data.
        Dynamics: Dynamics
        /// The shape of a sample: [d], or [C; H; W].
        Shape: int list
        /// The names of the classes; empty where there are none.
        Classes: string list
        /// How the data's units and the network's are related.
        Units: Units
        /// The autoencoder whose latents the dynamics are of; none where they are of samples.
        Latent: LatentSpace option
        /// What the coordinates of a sample stand for, where it is a row of a table whose columns were said; empty elsewhere.
        Columns: Column list
        /// The lowest and the highest value that a picture shows, in the data's units.
        Range: float * float
        /// The law of x₁ at the noisy end, with units of its own; none for σ(1)·ε.
        Source: Dataset option
        /// The times of the steps of DDIM that it was distilled for, falling, 0 for the data; empty where it is for any.
        Times: float list
        /// What its states and parameters are in.
        Kind: Kind
        /// What the network's layers are computed in, which bounds what the tolerance of a solver can be.
        Arithmetic: Dtype
        /// Whether the network is told the class.
        Labels: bool
        /// What the network is told of a sample in numbers; none where it is told a class or nothing.
        Given: Given option
        /// Whether it knows what no class looks like, or nothing told: the null of classifier-free guidance.
        Null: bool
        /// The guidance that its dynamics are under.
        Guidance: Guide option
        /// The seed that its own evaluations are drawn from: that of its training.
        Seed: int64
    }

    member model.IsImage = model.Shape.Length = 3

    /// Whether the network is told anything of a sample besides the time.
    member model.IsTold = model.Labels || model.Given.IsSome

    /// Whether the network is told the class, alone or with something else.
    member model.IsToldClass = model.Labels || Option.exists Given.hasClass model.Given

    /// The shape of what the dynamics move: a sample's, or a latent's.
    member model.StateShape = model.Latent |> Option.map _.Shape |> Option.defaultValue model.Shape

    /// Coordinates of a sample.
    member model.Dimension = List.fold (*) 1 model.Shape

    /// The stream that a use draws from, by name.
    member model.Stream(name: string) = Rng.ofSeed model.Seed |> Rng.named name

    /// The model of the score, for what `setting` asks. Raises RefusedException where the score is not known.
    member model.ScoreModel(setting: Setting, given: obj) : Model =
        match Dynamics.following model.Dynamics with
        | Denoising score -> score
        | Transport _
        | Jumping _
        | Landscape _
        | Mapping _ ->
            refuseWith
                setting
                given
                $"it needs a model that knows the score, and {model.Name} does not"
                $"take one trained by a regression such as cfm, dsm or simple"

    interface IHoldTensors with
        member model.Visit visit =
            match model.Origin with
            | Origin.Trained network -> (network :> IHoldTensors).Visit visit
            | Origin.Exact _
            | Origin.Supplied -> ()

[<RequireQualifiedAccess>]
module GenerativeModel =

    /// What a model is told of a sample in numbers. Raises RefusedException where it is told none; `said` is what somebody would tell it.
    let given (said: string) (model: GenerativeModel) : Given =
        match model.Given with
        | Some given -> given
        | None ->
            refuse
                Setting.Given
                said
                $"""{model.Name} is told {if model.Labels then $"a class ({Setting.Class})" else "nothing of a sample"}: leave it out"""

    /// A network that was told something of every sample has nothing to say of one that nothing is told of.
    let private requireTold (name: string) (t: TrainedNetwork) (network: Condition -> Field) : Condition -> Field =
        match t.Given with
        | Some given when not t.Null ->
            fun condition ->
                match condition with
                | Some _ -> network condition
                | None ->
                    // A plan of sampling is made before anything is told.
                    fun _ _ ->
                        refuseWith
                            Setting.Given
                            ""
                            $"{name} was told {Given.text given} of every sample, and never learned what samples look like without"
                            $"say what is given, or take a model trained with {Setting.LabelDropout.Is 0.1}"
        | _ -> network

    /// A trained network, under a name for messages. Raises UserError where it is a classifier, which no samples come from.
    let ofTrained (name: string) (t: TrainedNetwork) : GenerativeModel =
        { Name = name
          Origin = Origin.Trained t
          Path = t.Path
          Dynamics =
            match t.Output with
            | NetworkOutput.ClassLogits ->
                raise (
                    UserError
                        $"{name}: a classifier is no law to sample from or to measure: let it guide a model of the same data"
                )
            | output -> NetworkOutput.dynamics t.Path output (requireTold name t (t.Network.Apply t.Parameters))
          Shape = t.Shape
          Classes = t.Classes
          Units = t.Units
          Latent =
            (match t.Output, t.Latent with
             | NetworkOutput.Latents, None -> Some(LatentSpace.ofNetwork t.Network t.Parameters)
             | _, space -> space)
          Columns = t.Columns
          Range = t.Range |> Option.defaultWith (fun () -> Dataset.rangeOf t.Units)
          Source = t.Source
          Times = t.Times
          Kind = t.Kind
          Arithmetic = t.Kind.Dtype
          Labels = t.Labels
          Given = t.Given
          Null = t.Null
          Guidance = None
          Seed = t.Training.Seed }

    /// The model with the layers of its network computed in another element type than its states and parameters are in: bfloat16 over float32 (`Network.computedIn`). Raises RefusedException
    /// where this machine does not compute in it (`NetworkRole.requireBFloat16`), and for a model that is no network in float32. Guidance comes after it.
    let computedIn (dtype: Dtype) (model: GenerativeModel) : GenerativeModel =
        match model.Origin with
        | _ when dtype = model.Arithmetic -> model
        | Origin.Trained trained when dtype = model.Kind.Dtype -> ofTrained model.Name trained
        | Origin.Trained trained when dtype = Dtype.BFloat16 && model.Kind.Dtype = Dtype.Float32 ->
            NetworkRole.requireBFloat16 model.Kind.Device (NetworkOutput.role trained.Output)

            { ofTrained model.Name { trained with Network = Network.computedIn dtype trained.Network } with
                Origin = model.Origin
                Arithmetic = dtype }
        | _ ->
            refuseWith
                Setting.Dtype
                (Dtype.name dtype)
                $"{model.Name} is no network over numbers in float32"
                $"leave it out"

    /// The model in what its parameters are in, for densities: the divergence of a field that is rounded to three digits is not known to as many. Of one without guidance.
    let unrounded (model: GenerativeModel) : GenerativeModel = computedIn model.Kind.Dtype model

    /// An exact law in a network's place, which is told a class and needs none. `file` is what messages call it.
    let ofMixture
        (file: string)
        (path: GaussianPath)
        (prediction: Prediction)
        (kind: Kind)
        (mixture: Mixture)
        : GenerativeModel =
        { Name = file
          Origin = Origin.Exact(file, mixture)
          Path = path
          Dynamics = Denoising(Mixture.model path prediction mixture)
          Shape = [ mixture.Dimension ]
          Classes = [ for k in 0 .. mixture.ClassCount - 1 -> string k ]
          Units = Units.Same
          Latent = None
          Columns = []
          Range = -1.0, 1.0
          Source = None
          Times = []
          Kind = kind
          Arithmetic = kind.Dtype
          Labels = false
          Given = None
          Null = true
          Guidance = None
          Seed = 0L }

    /// The mixture of a file. Raises UserError where the file holds none.
    let exact (file: string) (path: GaussianPath) (prediction: Prediction) (kind: Kind) : GenerativeModel =
        ofMixture file path prediction kind (Mixture.read file)

    /// A field of the caller's on a path, for samples of a shape in units of its own: what it says is a prediction. It is told no class.
    let ofField
        (name: string)
        (shape: int list)
        (path: GaussianPath)
        (prediction: Prediction)
        (kind: Kind)
        (field: Field)
        : GenerativeModel =
        { Name = name
          Origin = Origin.Supplied
          Path = path
          Dynamics = Denoising(Model.make path prediction (fun _ -> field))
          Shape = shape
          Classes = []
          Units = Units.Same
          Latent = None
          Columns = []
          Range = -1.0, 1.0
          Source = None
          Times = []
          Kind = kind
          Arithmetic = kind.Dtype
          Labels = false
          Given = None
          Null = false
          Guidance = None
          Seed = 0L }

    /// The model as one follows it by steps: a map of two times by its own velocity (`Dynamics.following`).
    let following (model: GenerativeModel) : GenerativeModel =
        { model with Dynamics = Dynamics.following model.Dynamics }

    /// The data that belong to a model without being named: an exact law's own. None elsewhere.
    let ownData (model: GenerativeModel) : Dataset option =
        match model.Origin with
        | Origin.Exact(file, mixture) ->
            let data = Dataset.ofMixture (string (Path.GetFileNameWithoutExtension file)) file mixture
            Some { data with Classes = model.Classes; Units = Units.Same }
        | Origin.Trained _
        | Origin.Supplied -> None

    /// States x [n; …] as samples in the data's units, decoded where they are latents: differentiable.
    let toData (model: GenerativeModel) (x: Tensor) : Tensor =
        model.Latent
        |> Option.fold (fun x space -> LatentSpace.decode space x) x
        |> Units.toData model.Units

    /// x [n; …] as float64 on the CPU in the data's units, from the states of the dynamics.
    let outside (model: GenerativeModel) (x: Tensor) : Tensor =
        match model.Latent with
        | None -> Units.toData model.Units ((x.To Device.Cpu).To Dtype.Float64)
        | Some space ->
            let x = (x.To model.Kind.Device).To Dtype.Float64
            Units.toData model.Units ((LatentSpace.decode space x).To Device.Cpu)

    /// x [n; …] as states of the dynamics, float64, from the data's units: the means of their latents where there are latents.
    let inside (model: GenerativeModel) (x: Tensor) : Tensor =
        let x = Units.toNetwork model.Units (x.To Dtype.Float64)

        match model.Latent with
        | None -> x
        | Some space -> LatentSpace.encode space (x.To model.Kind.Device)

    /// The model of the latents, whose samples are states of the dynamics: what it says of them holds of `toData` of them. The model itself where its dynamics are of samples.
    let ofLatents (model: GenerativeModel) : GenerativeModel =
        match model.Latent with
        | None -> model
        | Some space -> { model with Shape = space.Shape; Latent = None; Units = Units.Same; Columns = [] }

    /// The number of a class given by number or name. Raises RefusedException where there is none.
    let classOf (setting: Setting) (model: GenerativeModel) (given: string) : int =
        match System.Int32.TryParse given with
        | true, k when k >= 0 && k < model.Classes.Length -> k
        | true, k -> refuse setting k $"the classes are 0 to {model.Classes.Length - 1}"
        | _ ->
            let name = Names.choose setting "class" "classes" id model.Classes given
            List.findIndex ((=) name) model.Classes

    /// The class that samples are to be of. Raises RefusedException where there is none, or the network is told no class.
    let label (model: GenerativeModel) (given: string) : int =
        match model.Origin, model.Guidance with
        | _, Some(Guide.Composition _) ->
            refuse Setting.Class given $"{Setting.Composition} says which classes: leave one of them out"
        | Origin.Supplied, _ -> refuse Setting.Class given $"{model.Name} is told no classes: leave it out"
        | Origin.Trained _, _ when not model.IsToldClass ->
            refuse Setting.Class given $"this model's network was not told any classes: leave it out"
        | _ -> ()

        classOf Setting.Class model given
