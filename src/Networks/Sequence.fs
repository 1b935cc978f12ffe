namespace Fokker

open System

/// A transformer over the coordinates of a vector [B; Length] in their order, each a token of it: letters of a text, values of a series (Peebles, Xie 2023; with tokens as in Lou,
/// Meng, Ermon 2024, Discrete diffusion modeling by estimating the ratios of the data distribution).
type Sequence =
    {
        Length: int
        /// What the coordinates are where they are tokens: each state then has a vector of its own, and the mask too. Numbers where there are none.
        Tokens: Tokens option
        /// Width of a token's vector, a multiple of the heads.
        Width: int
        /// Blocks of attention and perceptron.
        Depth: int
        Heads: int
        /// How many times it is told: 1, or 2 for a map from one time to another, or a time and a guidance weight.
        Times: int
        /// How many numbers the network gives for each coordinate: y is [B; Outputs · Length], one output after the other.
        Outputs: int
        /// How many labels there are; None for an unconditional network.
        Classes: int option
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Sequence =

    let private settings (s: Sequence) =
        [ "length", string s.Length
          match s.Tokens with
          | Some tokens ->
              "tokens", string tokens.Count
              "bound", tokens.Bound.ToString("R", Globalization.CultureInfo.InvariantCulture)
              "source", (if tokens.Source.IsMask then "mask" else "uniform")
          | None -> ()
          "width", string s.Width
          "depth", string s.Depth
          "heads", string s.Heads
          yield! NetworkSettings.ofTimes s.Times
          "outputs", string s.Outputs
          "classes", NetworkSettings.ofOptional s.Classes ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : Sequence =
        let number = NetworkSettings.number settings

        { Length = number "length"
          Tokens =
            settings
            |> Map.tryFind "tokens"
            |> Option.map (fun count ->
                { Count = int count
                  Bound = Double.Parse(settings["bound"], Globalization.CultureInfo.InvariantCulture)
                  Source =
                    match settings["source"] with
                    | "mask" -> TokenSource.Mask
                    | "uniform" -> TokenSource.Uniform
                    | other -> raise (FormatException $"tokens come from 'mask' or 'uniform', not '{other}'") })
          Width = number "width"
          Depth = number "depth"
          Heads = number "heads"
          Times = NetworkSettings.times settings
          Outputs = number "outputs"
          Classes = NetworkSettings.optional settings "classes" }

    let private validate (s: Sequence) =
        NetworkSettings.requirePositive
            "sequence"
            [ "Length", s.Length
              "Width", s.Width
              "Depth", s.Depth
              "Heads", s.Heads
              "Times", s.Times
              "Outputs", s.Outputs
              "Classes", Option.defaultValue 1 s.Classes ]

        NetworkSettings.requireHeads "sequence" s.Width s.Heads

    /// Vectors of the coordinates with those of their places, blocks told the time and the class, and numbers for each coordinate. Its output is 0 before training.
    /// Raises ArgumentException where the settings do not fit together, and in use where labels, times or shapes do not fit.
    let network (s: Sequence) : Network =
        validate s
        let b = Blueprint()
        let frequencies = Embedding.gaussianFrequencies 1.0 64
        let time1 = Layer.linear (b.Inside "time1") (s.Times * 2 * frequencies.Length) s.Width
        let time2 = Layer.linear (b.Inside "time2") s.Width s.Width
        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes s.Width)

        let embed: Layer =
            match s.Tokens with
            | Some tokens ->
                let table =
                    b.Inside("embed").Parameter("weight", [ Tokens.states tokens; s.Width ], Initializer.Normal 0.5)
                fun p x -> Nn.embedding p[table] (Tokens.ofValues tokens x)
            | None ->
                let line = Layer.linear (b.Inside "embed") 1 s.Width
                fun p x -> line p (Tensor.unsqueeze 2 x)

        let places = Embedding.places s.Length s.Width
        let blocks = [ for k in 1 .. s.Depth -> Dit.block (b.Inside $"block{k}") s.Width s.Heads ]
        let last = Dit.modulation (b.Inside "last") s.Width 2
        let output = Layer.linearFromZero (b.Inside "output") s.Width s.Outputs
        let specs, name = b.Specs, "sequence"

        let apply (p: Tensor[]) =
            Network.check name specs p

            fun (condition: Condition) ->
                Network.checkCondition name s.Classes condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput name [ s.Length ] s.Times condition t x
                    let told = time2 p (Tensor.silu (time1 p ((Embedding.fourierOf s.Times frequencies t).To x.Kind)))
                    let told = labels |> Option.fold (fun told embed -> told + embed p condition) told
                    let told = Tensor.silu told
                    let h = embed p x
                    let h = h + (Tensor.ofArray [ 1; s.Length; s.Width ] places).To h.Kind
                    let h = blocks |> List.fold (fun h block -> block p told h) h
                    let m = last p told

                    // [B; n; outputs], each output a block of n.
                    output p (Dit.modulated m[0] m[1] h)
                    |> Tensor.transpose 1 2
                    |> Tensor.reshape [ x.Shape[0]; s.Outputs * s.Length ]

        { Name = name
          Settings = settings s
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    // ---- by name

    let private transformer (numbers: float list) (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole "sequence" NetworkRole.Field ask
        let depth, heads, width = int numbers[0], int numbers[1], int numbers[2]

        match ask.Sample with
        | [ length ] ->
            NetworkEntry.requireHeads width heads

            network
                { Length = length
                  Tokens = ask.Tokens
                  Width = width
                  Depth = depth
                  Heads = heads
                  Times = ask.Times
                  Outputs = ask.Outputs
                  Classes = ask.Classes }
        | _ -> NetworkEntry.refuseSamples "sequence" "vectors" "dit" ask

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "sequence"
          Parts =
            [ NetworkEntry.partOf
                  "sequence"
                  "a transformer over the coordinates of a vector in their order, tokens or numbers, that the time and the class modulate (adaLN-zero): for text and series"
                  "Peebles, Xie 2023, Scalable diffusion models with transformers; Lou, Meng, Ermon 2024, appendix C"
                  [ Parameter.make "depth" 4.0 (Allowed.Whole 1) "blocks of attention and perceptron"
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention"
                    Parameter.make "width" 128.0 (Allowed.Whole 1) "width of a coordinate's vector" ]
                  transformer ]
          OfSettings = ofSettings >> network }
