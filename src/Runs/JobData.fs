namespace Fokker

open System

/// What a recipe trains on: its data, or latents of them, and the samples at the noisy end.
[<RequireQualifiedAccess>]
module internal JobData =

    /// The autoencoder whose latents are learned, with units for them by the first samples of the data. Raises RefusedException where the run is none of one, or of other data.
    let latent
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (find: Setting -> string -> string * TrainedNetwork)
        : LatentSpace option =
        recipe.Latent
        |> Option.map (fun given ->
            let name, trained = find Setting.Latent given

            match trained.Output with
            | NetworkOutput.Latents -> ()
            | _ ->
                refuseWith
                    Setting.Latent
                    given
                    $"{name} is no autoencoder"
                    $"train one on the same data with {Setting.Loss.Is VariationalAutoencoder.name}"

            if trained.Units <> data.Units then
                refuse
                    Setting.Latent
                    given
                    $"its samples are in other units than those of {data.Name}: take an autoencoder of the same data"

            for setting, text in
                [ Setting.Source, recipe.Source; Setting.Reward, recipe.Reward |> Option.map (fun _ -> "") ] do
                match text with
                | Some text ->
                    refuse setting text $"it is of samples, and what is learned are latents: leave one of the two out"
                | None -> ()

            match data.Given with
            | Some told when recipe.Labels && not (Given.rest told).IsColumns ->
                refuseWith
                    Setting.Latent
                    given
                    $"{Given.text told} is told as a picture of a sample's sides, and latents have others"
                    $"""learn the samples themselves, or let the network be told columns, a text, a class or nothing ({Setting.Labels.Is "off"})"""
            | _ -> ()

            if recipe.Loss.Name = VariationalAutoencoder.name || recipe.Loss.Name = Objectives.classifier.Name then
                refuse Setting.Latent given $"the loss {recipe.Loss} is of samples: leave one of the two out"

            Scope.run (fun () ->
                let first = Dataset.batches kind 2048 (Rng.named "latents" (Rng.ofSeed recipe.Seed)) data 0L
                LatentSpace.standardized (LatentSpace.ofNetwork trained.Network trained.Parameters) first.Data))

    /// The data as the network that learns them sees them.
    let seen (space: LatentSpace option) (data: Dataset) : Dataset =
        match space with
        | None -> data
        | Some space ->
            { data with
                Name = $"the latents of {data.Name}"
                Shape = space.Shape
                Units = Units.Same
                Columns = []
                Range = None
                Augmentation = Augmentation.None }

    /// Refuses a model to learn from that is of other states than those that are learned.
    let requireSameStates (space: LatentSpace option) (setting: Setting) (name: string) (trained: TrainedNetwork) =
        let same =
            match space, trained.Latent with
            | None, None ->
                match trained.Output with
                | NetworkOutput.Latents -> false
                | _ -> true
            | a, b -> LatentSpace.same a b

        if not same then
            refuseWith
                setting
                name
                $"it learned other states than these: latents of another autoencoder, or the data themselves"
                $"take a model of the same {Setting.Latent}"

    /// The data set that a flow starts from.
    let source (loss: LossEntry) (recipe: Recipe) (data: Dataset) : Dataset option =
        match recipe.Source with
        | None -> None
        | Some name ->
            let source = Datasets.load name
            let source = if loss.MeetsSource then { source with Units = data.Units } else source

            if source.Augmentation <> Augmentation.None then
                refuse
                    Setting.Source
                    name
                    $"the samples at the noisy end are taken as they are, not mirrored or cropped"

            if source.Shape <> data.Shape then
                let show (shape: int list) = String.Join("; ", shape)

                refuse
                    Setting.Source
                    name
                    $"its samples are [{show source.Shape}], those of {data.Name} [{show data.Shape}]: both ends of a flow have one shape"

            Some source
