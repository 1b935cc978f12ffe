namespace Fokker

open System

/// The law that a parameter is drawn from before training.
[<RequireQualifiedAccess>]
type Initializer =
    | Zeros
    | Ones
    /// Uniform on [−bound, bound].
    | Uniform of bound: float
    /// N(0, std²).
    | Normal of std: float

/// One parameter: its name (`down.0.block1.conv.weight`), its shape, and how it starts.
type Spec = { Name: string; Shape: int list; Initializer: Initializer }

/// A network: a pure function of its parameters. It holds none itself; `Network.init` makes some, training makes better ones.
[<NoComparison; NoEquality>]
type Network =
    {
        /// The kind of network, for instance `mlp`.
        Name: string
        /// What makes two networks of that kind the same architecture, for checkpoints and messages.
        Settings: (string * string) list
        /// The parameters, in the order that `Apply` wants them in.
        Specs: Spec[]
        /// parameters ↦ condition ↦ (t, x) ↦ output. Given the parameters it checks them once, so a field that is to be
        /// called many times is best made once. Time is float64, 0-dimensional or [B]; x is [B; …] in the parameters' kind (`computedIn` rounds parameters alone).
        /// A network of k times takes them as [1; k] or [B; k].
        Apply: Tensor[] -> Condition -> Field
        /// parameters ↦ t ↦ u(t) [B], the learned log-variance of the error at time t, for weights that are learned.
        Uncertainty: (Tensor[] -> Tensor -> Tensor) option
        /// parameters before training ↦ labels ↦ the first samples ↦ parameters that suit them; none where nothing depends on the samples.
        Fitted: (Tensor[] -> Condition -> Tensor -> Tensor[]) option
        /// stream ↦ the network as a step of training has it, with a part of its units left out; none where none is.
        Dropping: (Rng -> Network) option
    }

[<RequireQualifiedAccess>]
module Network =

    /// How many numbers the parameters are.
    let size (network: Network) : int64 =
        network.Specs |> Array.sumBy (fun spec -> spec.Shape |> List.fold (fun n d -> n * int64 d) 1L)

    /// The parameters before training. Each is drawn from its own stream, named as it is: adding a layer leaves the
    /// others' first values as they were.
    let init (kind: Kind) (rng: Rng) (network: Network) : Tensor[] =
        network.Specs
        |> Array.map (fun spec ->
            let stream = Rng.named spec.Name rng

            match spec.Initializer with
            | Initializer.Zeros -> Tensor.zeros kind spec.Shape
            | Initializer.Ones -> Tensor.ones kind spec.Shape
            | Initializer.Uniform bound -> Rng.uniform kind spec.Shape stream * (2.0 * bound) - bound
            | Initializer.Normal std -> Rng.normal kind spec.Shape stream * std)

    /// What is done to a network, to the one that its training has as well.
    let internal alike (change: Network -> Network) (network: Network) : Network =
        { change network with
            Dropping = network.Dropping |> Option.map (fun dropping -> dropping >> change) }

    let private show (sizes: seq<int>) =
        let sizes = String.Join("; ", sizes)
        $"[{sizes}]"

    /// The same network, its layers in another element type than its parameters and x are in: the parameters are rounded to it, and so is x where it first meets
    /// one; the output is in x's again. Gradients are of the parameters as they are kept, which an optimizer's small steps do not
    /// get lost in (Micikevicius et al. 2018, Mixed precision training, §3.1). For networks made of `Layer`'s parts.
    let computedIn (dtype: Dtype) : Network -> Network =
        alike (fun network ->
            { network with
                Apply =
                    fun parameters ->
                        let field = parameters |> Array.map _.To(dtype) |> network.Apply

                        fun condition ->
                            let field = field condition
                            fun t x -> (field t x).To x.Dtype })

    /// Raises ArgumentException where the parameters are not those that the specs describe; it names the first that is not.
    let check (name: string) (specs: Spec[]) (parameters: Tensor[]) =
        for k in 0 .. min specs.Length parameters.Length - 1 do
            let spec, given = specs[k], parameters[k].Shape
            let rank = given.Length
            let mutable same = rank = spec.Shape.Length
            let mutable wanted = spec.Shape

            for d in 0 .. rank - 1 do
                if same then
                    same <- given[d] = wanted.Head
                    wanted <- wanted.Tail

            if not same then
                invalidArg
                    (nameof parameters)
                    $"{name}: parameter {k}, {spec.Name}, should be {show spec.Shape}, is {parameters[k].Describe()}"

        if specs.Length <> parameters.Length then
            let next =
                if parameters.Length < specs.Length then
                    $"; the first missing one is {specs[parameters.Length].Name} {show specs[parameters.Length].Shape}"
                else
                    ""

            invalidArg
                (nameof parameters)
                $"{name}: it has {specs.Length} parameters, was given {parameters.Length}{next}"

    /// Raises ArgumentException where labels are given to a network that knows none.
    let checkCondition name (classes: int option) (condition: Condition) =
        match condition, classes with
        | Some labels, None ->
            invalidArg "condition" $"{name}: it was made without classes, was given labels {labels.Describe()}"
        | Some labels, Some _ when labels.Rank <> 1 || labels.Dtype <> Dtype.Int64 ->
            invalidArg "condition" $"{name}: labels should be [B] int64, are {labels.Describe()}"
        | _ -> ()

    /// Raises ArgumentException where x is not [B; shape], or the times (so many for each sample) or labels are not of its batch. A size −n in
    /// `shape` stands for any multiple of n.
    let checkInput name (shape: int list) (times: int) (condition: Condition) (t: Tensor) (x: Tensor) =
        let fits =
            x.Rank = shape.Length + 1
            && List.forall2
                (fun wanted size -> if wanted < 0 then size > 0 && size % -wanted = 0 else size = wanted)
                shape
                (List.tail (List.ofArray x.Shape))

        if not fits then
            let wanted =
                shape
                |> List.map (fun n ->
                    if n = -1 then "any"
                    elif n < 0 then $"a multiple of {-n}"
                    else string n)
                |> String.concat "; "

            invalidArg "x" $"{name}: the input should be [B; {wanted}], is {x.Describe()}"

        if times = 1 && (t.Rank > 1 || (t.Rank = 1 && t.Shape[0] <> x.Shape[0])) then
            invalidArg "t" $"{name}: time should be 0-dimensional or [{x.Shape[0]}], is {t.Describe()}"

        if times > 1 && not (t.Rank = 2 && t.Shape[1] = times && (t.Shape[0] = 1 || t.Shape[0] = x.Shape[0])) then
            invalidArg
                "t"
                $"{name}: it takes {times} times, [1; {times}] or [{x.Shape[0]}; {times}], was given {t.Describe()}"

        match condition with
        | Some labels when labels.Shape[0] <> x.Shape[0] ->
            invalidArg "condition" $"{name}: {labels.Shape[0]} labels for {x.Shape[0]} samples"
        | _ -> ()
