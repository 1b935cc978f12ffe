namespace Fokker

open System

/// A recipe's network, what it begins at, and the networks that train beside it.
[<RequireQualifiedAccess>]
module internal JobNetwork =

    /// Refuses a classifier that there is not.
    let classifier (recipe: Recipe) (data: Dataset) : Network =
        let given = Recipe.classifying recipe

        for setting, value, own in
            [ Setting.Network, string recipe.Network, string given.Network
              Setting.Depth, string recipe.Depth, string given.Depth
              Setting.Labels, (if recipe.Labels then "on" else "off"), "on"
              Setting.LabelDropout, string recipe.LabelDropout, "0"
              Setting.Blind, (if recipe.Blind then "on" else "off"), "off" ] do
            if value <> own then
                refuseWith
                    setting
                    value
                    $"a classifier of noisy samples has {setting.Is own}"
                    $"leave it out, or take another loss than {recipe.Loss}"

        if recipe.Width % 4 <> 0 then
            refuse
                Setting.Width
                recipe.Width
                $"the classifier's convolutions have a quarter of it: give a multiple of 4"

        NoisyClassifier.network { NoisyClassifier.standard data.Shape data.Classes.Length with Width = recipe.Width }

    /// Refuses a loss that takes data which are tokens by nature for something else.
    let requireTokens (recipe: Recipe) (data: Dataset) (objective: Objective) =
        let those (name: string) (count: int) = Setting.Loss.Is $"{name}:tokens={count},bound=1"

        match Units.levels data.Shape data.Units, objective.Output with
        | Some count, NetworkOutput.TokenLogits tokens when tokens.Count <> count || tokens.Bound <> 1.0 ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"the data of {data.Name} are {count} tokens, which lie from −1 to 1 in the network's units"
                $"say {those recipe.Loss.Name count}"
        | Some _, NetworkOutput.TokenLogits _ -> ()
        | Some count, _ when Units.areText data.Shape data.Units ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"the letters of a text are tokens, of which none is between two others, and this loss learns numbers"
                $"""say {those "dfm" count}"""
        | _ -> ()

    /// What the network is told of a sample in numbers; none where it is told none.
    let private given (recipe: Recipe) (data: Dataset) : Told option =
        if recipe.Labels then data.Given |> Option.map (Given.told data.Shape) else None

    let private requested (recipe: Recipe) (data: Dataset) (objective: Objective) : NetworkRequest =
        { Sample = given recipe data |> Option.fold (fun sample told -> Told.sample told sample) data.Shape
          Data = data.Name
          Width = recipe.Width
          Depth = recipe.Depth
          Times = objective.Times
          Outputs = objective.Outputs
          Classes = if recipe.Labels && Option.forall Given.hasClass data.Given then Some data.Classes.Length else None
          Role = objective.Role
          Tokens =
            match objective.Output with
            | NetworkOutput.TokenLogits tokens -> Some tokens
            | _ -> None }

    let private made (known: Known) (recipe: Recipe) (data: Dataset) (ask: NetworkRequest) : Network =
        known.Networks.Make recipe.Network ask
        |> if recipe.Blind then Networks.blind else id
        |> match given recipe data with
           // That of a teacher has been told it already.
           | Some told when recipe.Network.Name <> Networks.learnedFrom -> Told.network told
           | _ -> id

    let make (known: Known) (recipe: Recipe) (data: Dataset) (objective: Objective) : Network =
        if recipe.Blind && objective.Times > 1 then
            refuseWith
                Setting.Blind
                "on"
                $"{recipe.Loss} learns a map between two times, which nothing in x says"
                $"leave it out, or take a loss that learns a field: cfm, dsm, simple"

        match data.Given with
        | Some given when recipe.Labels && objective.Role = NetworkRole.Bijection ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"an exact flow knows the data and the noise, and cannot be told {Given.text given}"
                $"""take another loss, or {Setting.Labels.Is "off"}"""
        | _ -> ()

        requested recipe data objective |> made known recipe data |> Objective.network objective

    /// The networks that are trained beside the main one, of the same architecture; a twin begins where the main one does.
    let players
        (known: Known)
        (recipe: Recipe)
        (data: Dataset)
        (objective: Objective)
        (start: (string * Lazy<WarmStart>) option)
        (optimizer: Optimizer)
        : Player list =
        [ for player in objective.Players ->
              let own = { requested recipe data objective with Outputs = 1; Times = 1 } |> made known recipe data

              { Name = player.Name
                Network =
                  (match player.Role with
                   | Role.Critic -> EnergyNetwork.ofNetwork Head.Mean own
                   | Role.Twin -> own)
                Loss = player.Loss
                Optimizer = optimizer
                Turns = player.Turns
                Start =
                  match player.Role with
                  | Role.Twin -> start |> Option.map (fun (_, start) -> fun () -> start.Value.Parameters)
                  | Role.Critic -> None } ]

    /// The parameters of a model for a network. Raises RefusedException where none fits, or the network is to be the model's and is not.
    let warmStart
        (setting: Setting)
        (given: string)
        (model: GenerativeModel)
        (network: Network)
        (kind: Kind)
        (recipe: Recipe)
        (mustFit: bool)
        : WarmStart =
        match model.Origin with
        | Origin.Exact _
        | Origin.Supplied ->
            refuse setting given $"it is no network that was trained: there are no parameters to begin at"
        | Origin.Trained trained when
            EnergyNetwork.headOf (Map.ofList trained.Network.Settings)
            <> EnergyNetwork.headOf (Map.ofList network.Settings)
            ->
            refuse
                setting
                given
                $"one of the two networks says an energy and the other a field, or an energy of another kind: their parameters mean different things"
        | Origin.Trained trained ->
            Scope.run (fun () ->
                let fresh = Network.init kind (Rng.ofSeed recipe.Seed |> Rng.named "parameters") network

                let start =
                    try
                        WarmStart.fit trained network fresh
                    with :? FormatException as e ->
                        refuse setting given $"{e.Message}; take the network of that run"

                // A student that begins as something else than its teacher has nothing to be distilled from, and what is tuned is the model itself.
                if mustFit && not (start.Fresh.IsEmpty && start.Left.IsEmpty) then
                    refuse
                        setting
                        given
                        $"{recipe.Loss} begins at this model, whose network is another than the one that is asked for ({WarmStart.text given start})"

                start)

    /// The lists with the network of the model that the recipe learns from or begins at among them, where that is what it asks for.
    let knowingTeacher (known: Known) (find: Setting -> string -> string * TrainedNetwork) (recipe: Recipe) : Known =
        match recipe.Network.Name = Networks.learnedFrom, recipe.From, recipe.Teacher with
        | true, Some given, _ -> Some(Setting.Begin, given)
        | true, None, Some given -> Some(Setting.Teacher, given)
        | _ -> None
        |> Option.map (fun (setting, given) ->
            let part: Part<NetworkRequest -> Network> =
                { Name = Networks.learnedFrom
                  Summary = ""
                  Equation = "the network of the model that is learned from"
                  Reference = ""
                  Parameters = []
                  Make =
                    fun _ ask ->
                        // A network is a function, which no scope gives out.
                        let _, trained = find setting given
                        let network = Networks.alike known.Own.Networks trained.Network ask
                        Scope.free trained
                        network }

            { known with Networks = { known.Networks with Parts = part :: known.Networks.Parts } })
        |> Option.defaultValue known
