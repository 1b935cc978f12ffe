namespace Fokker

open System

/// Parameters that a training begins at, out of those of another network.
[<NoComparison; NoEquality>]
type WarmStart =
    {
        /// In the order of the new network's specs.
        Parameters: Tensor[]
        /// How many of them were begun anew.
        Fresh: string list
        /// The other network's parameters that have no place in the new one.
        Left: string list
    }

[<RequireQualifiedAccess>]
module WarmStart =

    /// The old numbers at the beginning of every axis, and 0 in what is new: new inputs are not heard until they are trained.
    let private widened (old: Tensor) (shape: int list) : Tensor =
        List.indexed shape
        |> List.fold
            (fun (x: Tensor) (axis, wanted) ->
                match wanted - x.Shape[axis] with
                | 0 -> x
                | more ->
                    let added = Array.copy x.Shape
                    added[axis] <- more
                    Tensor.cat axis [ x; Tensor.zeros x.Kind added ])
            old

    /// The parameters of a network, each where the other network has one of its name and of its size or a smaller one, and otherwise those of `fresh`. What the other
    /// is told and the new one is not counts as left out. New inputs (a second time, a guidance weight, a class) enter with zero weight: the network says at first what the
    /// other one says. Raises FormatException where the networks are of two kinds, less than a tenth of the new one fits, or columns of the same place mean another thing.
    let fit (from: TrainedNetwork) (network: Network) (fresh: Tensor[]) : WarmStart =
        let there =
            Array.zip from.Network.Specs from.Parameters
            |> Array.map (fun (spec, tensor) -> spec.Name, tensor)
            |> Map.ofArray

        // A row for each class and one for none: of another number of classes it is another table.
        let isTable (name: string) = name.EndsWith "label.weight" || name.EndsWith "class_embedding.weight"

        // A wider network is another one: it is the inputs of a layer that may grow, and the outputs of the last one.
        let mayGrow (name: string) (old: int list) (wanted: int list) =
            match List.indexed (List.map2 (<>) old wanted) |> List.filter snd with
            | [ 1, _ ] -> true
            | [ 0, _ ] -> name.StartsWith "output." || name.StartsWith "conv_out."
            | _ -> false

        let fitted =
            Array.zip network.Specs fresh
            |> Array.map (fun (spec, fresh) ->
                match Map.tryFind spec.Name there with
                | Some old when List.ofArray old.Shape = spec.Shape -> spec.Name, Some old
                | Some old when
                    not (isTable spec.Name)
                    && old.Rank = spec.Shape.Length
                    && List.forall2 (fun size wanted -> size <= wanted) (List.ofArray old.Shape) spec.Shape
                    && mayGrow spec.Name (List.ofArray old.Shape) spec.Shape
                    ->
                    spec.Name, Some(widened old spec.Shape)
                | None when isTable spec.Name -> spec.Name, Some(Tensor.zerosLike fresh)
                | _ -> spec.Name, None)

        let isHidden (name: string) = name.StartsWith "uncertainty."
        // A bias of the last layer alone is no beginning.
        let fits =
            Array.zip fitted fresh
            |> Array.sumBy (fun ((name, found), fresh) ->
                if found.IsSome && Map.containsKey name there then fresh.Count else 0L)

        if from.Network.Name <> network.Name || 10L * fits < Network.size network then
            raise (
                FormatException
                    $"less than a tenth of the network is of its sizes: it is of the kind {from.Network.Name}, and this one is of {network.Name}"
            )

        let fading (network: Network) = List.contains "fading" (List.map fst network.Settings)
        let isOfTwoTimes = List.contains "times" (List.map fst from.Network.Settings)

        if isOfTwoTimes && fading network && not (fading from.Network) then
            raise (
                FormatException
                    "its features of x fade with the last of its times alone, as those of an earlier version did, and this network's with the first: train it anew"
            )

        let known = network.Specs |> Array.map _.Name |> Set.ofArray

        { Parameters =
            Array.zip fitted fresh
            |> Array.map (fun ((_, found), fresh) ->
                (found |> Option.defaultValue fresh).To(fresh.Kind) |> Tensor.clone)
          Fresh =
            [ for name, found in fitted do
                  if found.IsNone && not (isHidden name) then
                      name ]
          Left =
            [ for KeyValue(name, _) in there do
                  if not (known.Contains name) then
                      name ] }

    /// One line: where it begins, and what did not fit.
    let text (name: string) (start: WarmStart) : string =
        let list (names: string list) =
            match names with
            | a :: b :: c :: _ :: _ -> $"{a}, {b}, {c} and {names.Length - 3} more"
            | _ -> String.concat ", " names

        let parts =
            [ if start.Fresh <> [] then
                  $"begun anew for want of a fitting one: {list start.Fresh}"
              if start.Left <> [] then
                  $"left out: {list start.Left}" ]

        let rest = if parts.IsEmpty then "all of it fits" else String.concat "; " parts
        $"begins at {name}: {rest}"
