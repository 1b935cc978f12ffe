namespace Fokker

open System
open System.Collections.Generic
open System.Text.Json
open System.Text.Json.Nodes

/// A model on disk: one safetensors file with the network's parameters by their names and, in its metadata, a description of everything that their
/// numbers mean. It can be moved anywhere, and needs nothing beside it.
[<RequireQualifiedAccess>]
module ModelFile =

    /// What the metadata say the file is; another version has another number.
    [<Literal>]
    let Format = "fokker-model 1"

    /// The tensor with the samples of a source that is a file's.
    [<Literal>]
    let private SourceRows = "source.rows"

    /// What the names of the tensors begin with that a source is made of which is a mixture.
    [<Literal>]
    let private SourceMixture = "source.mixture."

    /// What comes before the names of an autoencoder's parameters.
    [<Literal>]
    let private LatentPrefix = "latent."

    let private array (items: seq<JsonNode | null>) = JsonArray(Array.ofSeq items)
    let private text (value: string) : JsonNode | null = JsonValue.Create value

    let private object (fields: (string * (JsonNode | null)) list) =
        let json = JsonObject()

        for name, value in fields do
            json[name] <- value

        json

    let private units (units: Units) =
        let numbers (values: float[]) = array [ for value in values -> JsonValue.Create value ]
        object [ "shift", numbers units.Shift; "scale", numbers units.Scale ]

    let private architecture (network: Network) =
        object
            [ "name", text network.Name
              "settings", object [ for name, value in network.Settings -> name, text value ] ]

    let private description (t: TrainedNetwork) : JsonObject =
        let sizes (shape: int list) = array [ for size in shape -> JsonValue.Create size ]

        object
            [ "network", architecture t.Network
              "path", text t.Path.Name
              "output", NetworkOutput.toJson t.Output
              "shape", sizes t.Shape
              "classes", array (Seq.map text t.Classes)
              "units", units t.Units
              match t.Latent with
              | Some space -> "latent", object [ "network", architecture space.Network; "units", units space.Units ]
              | None -> ()
              if not t.Columns.IsEmpty then
                  "columns", Columns.toJson t.Columns
              match t.Range with
              | Some(low, high) -> "range", array [ JsonValue.Create low; JsonValue.Create high ]
              | None -> ()
              "labels", JsonValue.Create t.Labels
              match t.Given with
              | Some given -> "given", Given.toJson given
              | None -> ()
              "null", JsonValue.Create t.Null
              match t.Source with
              | Some source -> "source", object [ "name", text source.Name; "units", units source.Units ]
              | None -> ()
              if not t.Times.IsEmpty then
                  "times", array [ for time in t.Times -> JsonValue.Create time ]
              "dtype", text (Dtype.name t.Kind.Dtype)
              "training",
              object
                  [ "data", text t.Training.Data
                    match t.Training.Digest with
                    | Some digest -> "digest", text digest
                    | None -> ()
                    "loss", text t.Training.Loss
                    "steps", JsonValue.Create t.Training.Steps
                    "seed", JsonValue.Create t.Training.Seed
                    "version", text t.Training.Version ] ]

    /// Writes the file, replacing it at once. Equal networks give equal bytes. Raises UserError where it cannot be written; what was there before stays.
    let write (file: string) (t: TrainedNetwork) : unit =
        Scope.run0 (fun () ->
            let rows =
                match t.Source with
                | Some { Content = Finite(table, _) } -> [ SourceRows, Table.all table ]
                | Some { Content = Law { Mixture = Some mixture } } ->
                    [ for name, tensor in Mixture.toTensors mixture -> SourceMixture + name, tensor ]
                | _ -> []

            let named (prefix: string) (network: Network) (parameters: Tensor[]) =
                [ for spec, tensor in Array.zip network.Specs parameters -> prefix + spec.Name, tensor ]

            let latent =
                match t.Latent with
                | Some space -> named LatentPrefix space.Network space.Parameters
                | None -> []

            named "" t.Network t.Parameters @ latent @ rows
            |> Safetensors.write file [ "format", Format; "model", (description t).ToJsonString() ])

    // ---- reading

    /// What decides a model's samples besides its parameters, and the data and the loss that they were learned by: by name, as text.
    let private deciding (json: JsonObject) : (string * string) list =
        let shown (node: JsonNode | null) =
            node |> Option.ofObj |> Option.map _.ToJsonString() |> Option.defaultValue "none"

        let training (name: string) =
            match json["training"] with
            | :? JsonObject as training -> shown training[name]
            | _ -> "none"

        [ yield "data", training "digest"

          for name in
              [ "network"
                "path"
                "output"
                "shape"
                "classes"
                "units"
                "latent"
                "labels"
                "given"
                "null"
                "source"
                "dtype" ] do
              yield name, shown json[name]

          yield "loss", training "loss" ]

    let private refuse (file: string) (what: string) = raise (UserError $"{file}: {what}")

    let private field (name: string) (json: JsonObject) : JsonNode =
        match json[name] with
        | null -> raise (FormatException $"it has no '{name}'")
        | node -> node

    let private readUnits (json: JsonNode) : Units =
        let json = json.AsObject()
        let numbers name = [| for value in (field name json).AsArray() -> (nonNull value).GetValue<float>() |]
        { Shift = numbers "shift"; Scale = numbers "scale" }

    let private strings (json: JsonNode) = [ for value in json.AsArray() -> (nonNull value).GetValue<string>() ]

    /// The parameters of a network out of a file's tensors. Raises FormatException, naming the first that is missing or of another shape.
    let private parametersOf (network: Network) (tensors: Map<string, Tensor>) : Tensor[] =
        network.Specs
        |> Array.map (fun spec ->
            match Map.tryFind spec.Name tensors with
            | None -> raise (FormatException $"there is no tensor {spec.Name}")
            | Some tensor when List.ofArray tensor.Shape <> spec.Shape || not (Dtype.isFloating tensor.Dtype) ->
                let wanted = String.Join("; ", spec.Shape)
                raise (FormatException $"{spec.Name} is {tensor.Describe()}, expected [{wanted}]")
            | Some tensor -> tensor)

    /// Refuses settings of a network that speak of more than the file holds, before anything is made of their size: of layers, units, features and classes there
    /// are as many as there are numbers at most. Raises FormatException.
    let private requireWithin (tensors: Map<string, Tensor>) (settings: Map<string, string>) =
        let held = tensors.Values |> Seq.sumBy _.Count

        for KeyValue(name, text) in settings do
            // What a part of the caller's own was given says nothing of sizes.
            if not (name.StartsWith("number-", StringComparison.Ordinal)) then
                for word in text.Split(' ', ',') do
                    match Int64.TryParse word with
                    | true, n when n > held ->
                        raise (FormatException $"the {name} of its network is {n}, and the file holds {held} numbers")
                    | _ -> ()

    /// Refuses a description whose parts do not fit each other. Raises FormatException.
    let private requireSound (t: TrainedNetwork) =
        let require holds (what: string) =
            if not holds then
                raise (FormatException what)
        let fits (units: Units) = Units.isSound units && Units.fit t.Shape units
        let size = t.Shape |> List.fold (fun n size -> n * int64 size) 1L

        require
            (List.contains t.Shape.Length [ 1; 2; 3 ]
             && List.forall (fun size -> size > 0) t.Shape
             && size <= int64 Int32.MaxValue)
            "its samples have a shape that no samples have"

        require
            (fits t.Units && (t.Source |> Option.forall (fun source -> fits source.Units)))
            "its units are no shifts with positive scales, one for all coordinates or one for each"

        require
            (t.Latent
             |> Option.forall (fun space ->
                 let encoder = Autoencoder.ofSettings (Map.ofList space.Network.Settings)
                 let count = space.Units.Shift.Length
                 encoder.Sample = t.Shape && Units.isSound space.Units && (count = 1 || space.Shape = [ count ])))
            "its latents are of other samples, or their units are no shifts with positive scales"

        require
            (t.Range
             |> Option.forall (fun (low, high) -> low < high && Double.IsFinite low && Double.IsFinite high))
            "the values of its pictures go from no number to a higher one"

        require
            (t.Columns.IsEmpty || t.Shape.Length <= 2 && t.Shape.Head = Columns.dimension t.Columns)
            "its columns are of another number of coordinates than its samples"

        require (not (t.Labels && t.Classes.IsEmpty)) "its network is told a class, and there are none"

        require
            (match t.Given with
             | None -> true
             | Some given ->
                 not t.Labels
                 && (t.Shape.Length = 3 || (Given.rest given).IsColumns)
                 && not (Given.hasClass given && t.Classes.IsEmpty)
                 && Told.ofSettings (Map.ofList t.Network.Settings) = Some(Given.told t.Shape given))
            "what its network is told is of another shape than it says"

        require
            (t.Times.IsEmpty
             || t.Times.Length > 1
                && t.Times.Head <= 1.0
                && List.last t.Times >= 0.0
                && List.forall (fun (a, b) -> a > b) (List.pairwise t.Times))
            "the times of its steps do not fall"

    let private ofContent
        (own: OwnParts)
        (device: Device)
        (dtype: Dtype option)
        (content: TensorFile)
        (json: JsonObject)
        =
        let text name json = (field name json).GetValue<string>()
        let network = (field "network" json).AsObject()

        let settings =
            Map.ofSeq
                [ for KeyValue(name, value) in (field "settings" network).AsObject() ->
                      name, (nonNull value).GetValue<string>() ]

        let path =
            try
                Paths.find own.Paths (text "path" json)
            with :? UserError as error ->
                raise (FormatException $"{error.Message}; a part of one's own is to be given too")

        let network =
            let name = text "name" network

            // A network of the caller's own may make nothing of its width.
            if not (own.Networks |> List.exists (fun part -> part.Name = name)) then
                requireWithin content.Tensors settings

            match Networks.ofSettings own.Networks name settings with
            | Some network -> network
            | None -> raise (FormatException $"its network is of the kind '{name}', which is not known here")

        let own =
            let name = text "dtype" json

            match [ Dtype.Float32; Dtype.Float64 ] |> List.tryFind (fun dtype -> Dtype.name dtype = name) with
            | Some dtype -> dtype
            | None -> raise (FormatException $"it computes in '{name}': expected float32 or float64")

        let kind = { Dtype = defaultArg dtype own; Device = device }
        let shape = [ for size in (field "shape" json).AsArray() -> (nonNull size).GetValue<int>() ]
        let training = (field "training" json).AsObject()

        let latent =
            match json["latent"] with
            | null -> None
            | latent ->
                let described = latent.AsObject()
                let network = (field "network" described).AsObject()

                let settings =
                    Map.ofSeq
                        [ for KeyValue(name, value) in (field "settings" network).AsObject() ->
                              name, (nonNull value).GetValue<string>() ]

                requireWithin content.Tensors settings

                if text "name" network <> Autoencoder.Name then
                    raise (FormatException "its latents are of no autoencoder")

                let network = Autoencoder.network (Autoencoder.ofSettings settings)

                let own =
                    Map.ofSeq
                        [ for KeyValue(name, tensor) in content.Tensors do
                              if name.StartsWith(LatentPrefix, StringComparison.Ordinal) then
                                  name.Substring LatentPrefix.Length, tensor ]

                Some
                    { LatentSpace.ofNetwork network (parametersOf network own |> Array.map _.To(kind)) with
                        Units = readUnits (field "units" described) }

        let source =
            match json["source"] with
            | null -> None
            | source ->
                let source = source.AsObject()
                let name = text "name" source

                match Map.tryFind SourceRows content.Tensors with
                | Some rows when List.ofArray rows.Shape[1..] = shape ->
                    let none = Table.ofRows (Tensor.narrow 0 0 0 rows) None

                    Some
                        { Name = name
                          Summary = "the samples that the model starts from"
                          Reference = name
                          Shape = shape
                          Classes = []
                          Units = readUnits (field "units" source)
                          Range = None
                          Columns = []
                          Notes = []
                          Augmentation = Augmentation.None
                          Given = None
                          Content = Finite(Table.ofRows rows None, none) }
                | Some rows -> raise (FormatException $"its source is {rows.Describe()}")
                // What a file says would be here: no file is opened because a model says so.
                | None when name.Contains ':' ->
                    let parts =
                        [ for KeyValue(key, tensor) in content.Tensors do
                              if key.StartsWith(SourceMixture, StringComparison.Ordinal) then
                                  key.Substring SourceMixture.Length, tensor ]

                    match Mixture.ofTensors (Map.ofList parts) with
                    | Some mixture when [ mixture.Dimension ] = shape ->
                        Some { Dataset.ofMixture name name mixture with Units = readUnits (field "units" source) }
                    | _ -> raise (FormatException "the samples of its source are not in the file")
                | None -> Some { Datasets.load name with Units = readUnits (field "units" source) }

        let trained =
            { Network = network
              Parameters = parametersOf network content.Tensors |> Array.map _.To(kind)
              Path = path
              Output = NetworkOutput.ofJson path ((field "output" json).AsObject())
              Shape = shape
              Classes = strings (field "classes" json)
              Units = readUnits (field "units" json)
              Latent = latent
              Columns =
                json["columns"]
                |> Option.ofObj
                |> Option.map (fun columns -> Columns.ofJson (columns.AsArray()))
                |> Option.defaultValue []
              Range =
                json["range"]
                |> Option.ofObj
                |> Option.map (fun range ->
                    let at (k: int) = (nonNull range[k]).GetValue<float>()
                    at 0, at 1)
              Labels = (field "labels" json).GetValue<bool>()
              Given = json["given"] |> Option.ofObj |> Option.map (fun given -> Given.ofJson (given.AsObject()))
              Null = (field "null" json).GetValue<bool>()
              Source = source
              Times =
                json["times"]
                |> Option.ofObj
                |> Option.map (fun times -> [ for time in times.AsArray() -> (nonNull time).GetValue<float>() ])
                |> Option.defaultValue []
              Kind = kind
              Training =
                { Data = text "data" training
                  Digest = training["digest"] |> Option.ofObj |> Option.map _.GetValue<string>()
                  Loss = text "loss" training
                  Steps = (field "steps" training).GetValue<int64>()
                  Seed = (field "seed" training).GetValue<int64>()
                  Version = text "version" training } }

        requireSound trained
        trained

    let private parsed (description: string) = JsonText.node (Text.Encoding.UTF8.GetBytes description)

    /// In which of the things that decide a model's samples, besides its parameters, the model of a file and another differ: each with what the file says and
    /// what the other says; empty where they agree, or the file is no model. The training's data are among them. Raises UserError where the file is damaged.
    let differences (file: string) (t: TrainedNetwork) : (string * string * string) list =
        Scope.run (fun () ->
            match Map.tryFind "model" (Safetensors.read file).Metadata |> Option.map parsed with
            | Some(Error reason) -> refuse file $"the description of its model is damaged ({reason}): restore the file"
            | Some(Ok(:? JsonObject as there)) ->
                List.zip (deciding there) (deciding (description t))
                |> List.filter (fun ((_, own), (_, other)) -> own <> other)
                |> List.map (fun ((name, own), (_, other)) -> name, own, other)
            | _ -> [])

    /// The network of a file, on a device, in its own element type unless another is given. Its path may be one of the caller's. Raises UserError, naming
    /// the file and what is wrong with it, where it is missing, damaged, of another version or no model.
    let read (own: OwnParts) (device: Device) (dtype: Dtype option) (file: string) : TrainedNetwork =
        Scope.run (fun () ->
            let content = Safetensors.read file

            match Map.tryFind "format" content.Metadata, Map.tryFind "model" content.Metadata with
            | Some Format, Some description ->
                try
                    match parsed description with
                    | Ok(:? JsonObject as json) -> ofContent own device dtype content json
                    | Error reason ->
                        refuse file $"the description of its model is damaged ({reason}): restore the file"
                    | Ok _ -> refuse file "its description is no JSON object: restore the file"
                with
                | :? FormatException as e -> refuse file $"it is no model that can be used here: {e.Message}"
                | :? KeyNotFoundException
                | :? NullReferenceException
                | :? OverflowException
                | :? ArgumentException
                | :? InvalidOperationException ->
                    refuse file "the description of its model is damaged: restore the file"
            | Some Format, None -> refuse file "the description of its model is not there: restore the file"
            | Some format, _ when format.StartsWith("fokker-model ", StringComparison.Ordinal) ->
                refuse file $"its format is '{format}', and this version of Fokker reads '{Format}'"
            | Some format, _ when format.StartsWith("fokker-checkpoint ", StringComparison.Ordinal) ->
                refuse
                    file
                    "it is the state of a training and no model: name the run, or the model.safetensors beside it"
            | _ -> refuse file "it is a safetensors file, but no model of Fokker's")
