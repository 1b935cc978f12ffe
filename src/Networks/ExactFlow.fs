namespace Fokker

open System

/// Flows that are made of layers with inverses and triangular Jacobians, on vectors [B; Dimension]: exact densities, samples and latents in one pass each.
type ExactFlow =
    {
        Kind: ExactFlowKind
        Dimension: int
        Layers: int
        /// Units in each hidden layer of what says a layer's numbers, and hidden layers.
        Width: int
        Depth: int
        /// How many labels there are; None for an unconditional flow.
        Classes: int option
    }

/// What the layers are.
and [<RequireQualifiedAccess>] ExactFlowKind =
    /// Affine couplings (Dinh et al. 2017, Real NVP).
    | RealNvp
    /// Rational-quadratic couplings on [−bound, bound] (Durkan et al. 2019).
    | Spline of bins: int * bound: float
    /// Masked autoregressive layers (Papamakarios et al. 2017).
    | Maf

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module ExactFlow =

    let private nameOf (kind: ExactFlowKind) =
        match kind with
        | ExactFlowKind.RealNvp -> "realnvp"
        | ExactFlowKind.Spline _ -> "spline"
        | ExactFlowKind.Maf -> "maf"

    let private settings (s: ExactFlow) =
        [ "dimension", string s.Dimension
          "layers", string s.Layers
          "width", string s.Width
          "depth", string s.Depth
          match s.Kind with
          | ExactFlowKind.Spline(bins, bound) ->
              "bins", string bins
              "bound", FormattableString.Invariant $"{bound}"
          | ExactFlowKind.RealNvp
          | ExactFlowKind.Maf -> ()
          "classes", string (Option.defaultValue 0 s.Classes) ]

    /// The inverse of a network's `Name` and `Settings`; none of another name. Raises FormatException or KeyNotFoundException where a setting is missing or of the wrong kind.
    let ofSettings (name: string) (settings: Map<string, string>) : ExactFlow option =
        let whole name = int settings[name]

        match name with
        | "realnvp" -> Some ExactFlowKind.RealNvp
        | "spline" ->
            let bound = Double.Parse(settings["bound"], Globalization.CultureInfo.InvariantCulture)
            Some(ExactFlowKind.Spline(whole "bins", bound))
        | "maf" -> Some ExactFlowKind.Maf
        | _ -> None
        |> Option.map (fun kind ->
            { Kind = kind
              Dimension = whole "dimension"
              Layers = whole "layers"
              Width = whole "width"
              Depth = whole "depth"
              Classes =
                match whole "classes" with
                | 0 -> None
                | classes -> Some classes })

    /// A masked perceptron that says (a_i, b_i) of the coordinates before i alone: each hidden unit has a degree, and hears those of its own degree or a lower one
    /// (Germain et al. 2015, MADE, eq. 8–9). [B; d] ↦ [B; d; 2].
    let private made (b: Blueprint) (s: ExactFlow) : Tensor[] -> Condition -> Tensor -> Tensor =
        let d = s.Dimension
        let inputs = Array.init d ((+) 1)
        let hidden = Array.init s.Width (fun k -> 1 + k % max 1 (d - 1))
        let outputs = Array.init (2 * d) (fun k -> 1 + k / 2)

        let masked (b: Blueprint) initializer (strict: bool) (from: int[]) (until: int[]) : Layer =
            let n, m = until.Length, from.Length
            let bound = Initializer.Uniform(1.0 / sqrt (float m))
            let w = b.Parameter("weight", [ n; m ], Option.defaultValue bound initializer)
            let bias = b.Parameter("bias", [ n ], Option.defaultValue bound initializer)

            let mask =
                [| for own in until do
                       for other in from do
                           if (if strict then own > other else own >= other) then 1.0 else 0.0 |]

            fun p x -> Nn.linear x (p[w] * (Tensor.ofArray [ n; m ] mask).To p[w].Kind) p[bias]

        let layers =
            [ for k in 1 .. s.Depth ->
                  masked (b.Inside $"hidden{k}") None false (if k = 1 then inputs else hidden) hidden ]

        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes s.Width)
        let output = masked (b.Inside "output") (Some Initializer.Zeros) true hidden outputs

        fun p condition x ->
            let start = layers.Head p x
            let start = labels |> Option.fold (fun h embed -> h + embed p condition) start

            layers.Tail
            |> List.fold (fun h layer -> layer p (Tensor.silu h)) start
            |> Tensor.silu
            |> output p
            |> Tensor.reshape [ x.Shape[0]; d; 2 ]

    /// x_i = z_i e^{a_i} + b_i with (a_i, b_i) of x_1 … x_{i−1}: one pass to the noise, d passes to the data (Papamakarios et al. 2017, Masked autoregressive flow, eq. 3–4).
    let private autoregressive (b: Blueprint) (s: ExactFlow) : FlowLayer =
        let says = made b s

        { Make =
            fun p condition ->
                let numbers x = Bijection.inverse (FlowLayer.affine (says p condition x))

                { ToNoise =
                    fun x ->
                        let struct (z, logDerivative) = (numbers x).ToNoise x
                        struct (z, Tensor.sumRows logDerivative)
                  ToData =
                    fun z ->
                        // After pass i the first i coordinates are final, and say the next.
                        let x =
                            Seq.init (s.Dimension - 1) id
                            |> Seq.fold
                                (fun x _ ->
                                    let struct (x, _) = (numbers x).ToData z
                                    x)
                                (Tensor.zerosLike z)

                        let struct (x, logDerivative) = (numbers x).ToData z
                        struct (x, Tensor.sumRows logDerivative) }
          Fit = fun _ -> [] }

    let private layers (b: Blueprint) (s: ExactFlow) : FlowLayer list =
        let d = s.Dimension

        [ for k in 1 .. s.Layers do
              let b = b.Inside $"layer{k}"
              FlowLayer.actNorm (b.Inside "norm") d
              let coupling = FlowLayer.coupling (b.Inside "coupling") d (k % 2 = 1)

              match s.Kind with
              | ExactFlowKind.RealNvp -> coupling 2 s.Width s.Depth s.Classes FlowLayer.affine
              | ExactFlowKind.Spline(bins, bound) ->
                  let numbers = RationalQuadratic.numbers bins
                  coupling numbers s.Width s.Depth s.Classes (RationalQuadratic.bijection bins bound)
              | ExactFlowKind.Maf ->
                  autoregressive (b.Inside "autoregressive") s
                  // What comes first and knows nothing comes last in the next layer.
                  FlowLayer.permutation (Array.init d (fun k -> d - 1 - k))

              // Of two coordinates the couplings take turns already.
              if s.Kind <> ExactFlowKind.Maf && d > 2 then
                  FlowLayer.linear (b.Inside "linear") (FlowLayer.shuffled $"layer{k}" d) ]

    /// The network of a bijection: told the end that its x is at, 0 for the data and 1 for the noise, it says what x is at the other end, and ℓ with log |det| = d ℓ as
    /// a second output [B; 2d] that is the same in all coordinates. Times between the two raise ArgumentException.
    let ofBijection
        (name: string)
        (settings: (string * string) list)
        (shape: int list)
        (classes: int option)
        (specs: Spec[])
        (make: Tensor[] -> Condition -> Bijection)
        (fitted: (Tensor[] -> Condition -> Tensor -> Tensor[]) option)
        : Network =
        let apply (p: Tensor[]) =
            Network.check name specs p

            fun (condition: Condition) ->
                Network.checkCondition name classes condition
                let bijection = make p condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput name shape 1 condition t x

                    let struct (y, logDeterminant) =
                        match (Tensor.min t).ToFloat(), (Tensor.max t).ToFloat() with
                        | 0.0, 0.0 -> bijection.ToNoise x
                        | 1.0, 1.0 -> bijection.ToData x
                        | low, high ->
                            invalidArg
                                "t"
                                $"{name}: an exact flow knows both ends, 0 and 1: it was asked for {low} to {high}"

                    let d = float (x.Count / int64 x.Shape[0])
                    Tensor.cat 1 [ y; Tensor.expand x.Shape (Tensor.perSample x (logDeterminant / d)) ]

        { Name = name
          Settings = settings
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = fitted
          Dropping = None }

    /// Parameters that the first samples give layers, one layer after the other: each sees what those before it make of them.
    let private fitting (layers: FlowLayer list) (parameters: Tensor[]) (condition: Condition) (x: Tensor) : Tensor[] =
        let parameters = Array.copy parameters

        layers
        |> List.fold
            (fun x layer ->
                for place, value in layer.Fit x do
                    parameters[place] <- value

                let struct (y, _) = (layer.Make parameters condition).ToNoise x
                y)
            x
        |> ignore

        parameters

    /// The flow as a network. Raises ArgumentException where a size is not positive, and in use where labels, times or shapes do not fit.
    let network (s: ExactFlow) : Network =
        let name = nameOf s.Kind

        for what, value in
            [ "Dimension", s.Dimension
              "Layers", s.Layers
              "Width", s.Width
              "Depth", s.Depth
              "Classes", Option.defaultValue 1 s.Classes ] do
            if value < 1 then
                invalidArg what $"{name}: {what} = {value}: at least 1"

        match s.Kind with
        | ExactFlowKind.Spline(bins, bound) when bins < 2 || bins > 500 || not (bound > 0.0 && Double.IsFinite bound) ->
            invalidArg "Kind" $"{name}: {bins} bins on ±{bound}: 2 to 500 bins, and a positive bound"
        | _ -> ()

        let b = Blueprint()
        let layers = layers b s

        let make p condition = Bijection.chain [ for layer in layers -> layer.Make p condition ]
        ofBijection name (settings s) [ s.Dimension ] s.Classes b.Specs make (Some(fitting layers))

    // ---- by name

    let private ofRequest (name: string) (kind: ExactFlowKind) (layers: float) (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole name NetworkRole.Bijection ask

        match ask.Sample with
        | [ dimension ] ->
            network
                { Kind = kind
                  Dimension = dimension
                  Layers = int layers
                  Width = ask.Width
                  Depth = ask.Depth
                  Classes = ask.Classes }
        | _ -> NetworkEntry.refuseSamples name "vectors" "tarflow" ask

    /// An exact flow of so many layers unless it is said, whose further numbers say what a layer is.
    let private by name equation reference (layers: float) (numbers: Parameter list) kind : NetworkEntry =
        let count = Parameter.make "layers" layers (Allowed.Whole 1) "layers, each with a perceptron of its own"

        { Kind = name
          Parts =
            [ NetworkEntry.partOf name equation reference (count :: numbers) (fun n ->
                  ofRequest name (kind n.Tail) n.Head) ]
          OfSettings = ofSettings name >> Option.get >> network }

    let entries: NetworkEntry list =
        [ by
              "spline"
              "an exact flow of rational-quadratic spline couplings, ActNorm and P L U maps between them, for vectors"
              "Durkan et al. 2019, Neural spline flows; Kingma, Dhariwal 2018, Glow"
              6.0
              [ Parameter.make "bins" 8.0 (Allowed.Within(2.0, 500.0)) "bins of each spline"
                Parameter.make "bound" 4.0 Allowed.Positive "B, beyond which a spline is the identity" ]
              (fun n -> ExactFlowKind.Spline(int n[0], n[1]))
          by
              "realnvp"
              "an exact flow of affine couplings, ActNorm and P L U maps between them, for vectors"
              "Dinh et al. 2017, Real NVP; Kingma, Dhariwal 2018, Glow"
              8.0
              []
              (fun _ -> ExactFlowKind.RealNvp)
          by
              "maf"
              "an exact flow of masked autoregressive layers: one pass to the noise, as many as coordinates to the data; for vectors"
              "Papamakarios et al. 2017, Masked autoregressive flow; Germain et al. 2015, MADE"
              8.0
              []
              (fun _ -> ExactFlowKind.Maf) ]
