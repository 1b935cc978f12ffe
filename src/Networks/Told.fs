namespace Fokker

open System
open System.Globalization

/// What a network is told of each sample besides the time, as one tensor of numbers, NaN for what is not told: the number of its class, where it is told that too, before a vector's k numbers or a picture's channels.
type Told =
    {
        /// Whether the number of the class comes first, as a coordinate or as a channel.
        HasClass: bool
        /// The shape of the other numbers, [k] or [c; H; W] of the sample's own sides.
        Shape: int list
        /// Which of k numbers are the bytes of short texts: where each text begins, and how many they are (`TextEncoder.bytes`).
        Texts: (int * int) list
    }

/// Networks that are told numbers, pictures and texts, made of networks of larger samples: what is told stands beside x as further coordinates or channels that the network sees and says nothing of. A number, a
/// pixel and a text are 0 where they are not told, each with one more that says whether they are, 1 or 0; of images, a number is a channel of its own. The class is the inner network's. A text is read by a
/// `TextEncoder` of its own, which is trained with the rest.
[<RequireQualifiedAccess>]
module Told =

    /// Numbers of a shape alone.
    let numbers (shape: int list) : Told = { HasClass = false; Shape = shape; Texts = [] }

    let private isVector (told: Told) = told.Shape.Length = 1

    /// How many coordinates or channels stand beside x.
    let private width (told: Told) : int =
        if isVector told then
            let letters = List.sumBy snd told.Texts
            2 * (told.Shape.Head - letters) + (TextEncoder.Width + 1) * told.Texts.Length
        else
            told.Shape.Head + 1

    /// The shape of a sample together with what is told of it, as the inner network sees them. Raises ArgumentException where a picture has other sides than the sample.
    let sample (told: Told) (sample: int list) : int list =
        match sample, told.Shape with
        | _, [ _ ] -> sample.Head + width told :: sample.Tail
        | channels :: sides, _ :: others when sides = others -> channels + width told :: sides
        | _ -> invalidArg (nameof told) "a picture is told of pictures of the same sides"

    // ---- as a network's settings

    let private shapeKey, classKey, textsKey = "told", "told-class", "told-texts"

    let settings (told: Told) : (string * string) list =
        [ shapeKey, String.Join(",", told.Shape)
          if told.HasClass then
              classKey, "on"
          if not told.Texts.IsEmpty then
              textsKey, String.Join(",", told.Texts |> List.map (fun (first, length) -> $"{first}:{length}")) ]

    /// What a network of these settings is told; none where that is nothing of this kind. Raises FormatException where they are none that `settings` writes.
    let ofSettings (settings: Map<string, string>) : Told option =
        let number (text: string) = Int32.Parse(text, CultureInfo.InvariantCulture)

        let pair (text: string) =
            match text.Split ':' with
            | [| first; length |] -> number first, number length
            | _ -> raise (FormatException $"a text's place among numbers is FIRST:LENGTH, not '{text}'")

        let list (read: string -> 'T) (key: string) =
            match Map.tryFind key settings with
            | Some text -> [ for item in text.Split ',' -> read item ]
            | None -> []

        match list number shapeKey with
        | [] -> None
        | shape -> Some { HasClass = Map.containsKey classKey settings; Shape = shape; Texts = list pair textsKey }

    // ---- as a network

    /// The classes, −1 for none, and the other numbers.
    let private apart (told: Told) (condition: Condition) : struct (Condition * Condition) =
        match condition with
        | Some x when told.HasClass && Dtype.isFloating x.Dtype && x.Rank >= 2 ->
            let first = Tensor.select 1 0 (Tensor.flattenRows x)
            let labels = Tensor.where (Tensor.isFinite first) first (Tensor.full first.Kind [] -1.0)
            struct (Some(labels.To Dtype.Int64), Some(Tensor.narrow 1 1 (x.Shape[1] - 1) x))
        | _ -> struct (None, condition)

    let private filled (x: Tensor) : struct (Tensor * Tensor) =
        let isThere = Tensor.isFinite x
        struct (Tensor.where isThere x (Tensor.zerosLike x), isThere.To x.Dtype)

    /// The columns of a vector's numbers that are no bytes.
    let private plain (told: Told) : int list =
        [ for k in 0 .. told.Shape.Head - 1 do
              if not (told.Texts |> List.exists (fun (first, length) -> k >= first && k < first + length)) then
                  k ]

    /// Numbers and whether they are there, [B; width] or [B; width; H; W].
    let private beside (told: Told) (encoders: Layer list) (p: Tensor[]) (x: Tensor) : Tensor =
        let struct (numbers, there) = filled x

        if not (isVector told) then
            Tensor.cat 1 [ numbers; Tensor.unsqueeze 1 (Tensor.minOver [ 1 ] there) ]
        elif told.Texts.IsEmpty then
            Tensor.cat 1 [ numbers; there ]
        else
            let columns = plain told
            let index = Tensor.ofArray [ columns.Length ] (columns |> List.map int64 |> Array.ofList)
            let pick (x: Tensor) = Tensor.indexSelect 1 (index.To x.Device) x

            Tensor.cat
                1
                [ if not columns.IsEmpty then
                      pick numbers
                      pick there
                  for (first, length), encoder in List.zip told.Texts encoders do
                      let isThere = Tensor.narrow 1 first 1 there
                      (encoder p (Tensor.narrow 1 first length numbers)).To x.Dtype * isThere
                      isThere ]

    /// A network that is told so much, made of one of larger samples (`sample`).
    let network (told: Told) : Network -> Network =
        Network.alike (fun network ->
            let b = Blueprint().Inside "told"
            let encoders =
                [ for k, (_, length) in List.indexed told.Texts -> TextEncoder.layer (b.Inside $"text{k + 1}") length ]
            let own = network.Specs.Length
            let specs = Array.append network.Specs b.Specs

            let check (x: Tensor) =
                if not (Dtype.isFloating x.Dtype) || List.ofArray x.Shape[1..] <> told.Shape then
                    let sizes = String.Join("; ", told.Shape)
                    let before = if told.HasClass then " and a class before them" else ""
                    invalidArg
                        "condition"
                        $"{network.Name}: it is told numbers [B; {sizes}]{before}, was given {x.Describe()}"

            { network with
                Settings = network.Settings @ settings told
                Specs = specs
                Apply =
                    fun parameters ->
                        if not encoders.IsEmpty then
                            Network.check network.Name specs parameters

                        let inner = network.Apply parameters[.. own - 1]
                        let encoding = parameters[own..]

                        fun condition ->
                            let struct (label, numbers) = apart told condition
                            let field = inner label
                            Option.iter check numbers
                            let beside = numbers |> Option.map (beside told encoders encoding)

                            fun t x ->
                                let n, rest = x.Shape[0], List.ofArray x.Shape[2..]

                                let more =
                                    match beside with
                                    | None -> Tensor.zeros x.Kind (n :: width told :: rest)
                                    | Some more when more.Rank < x.Rank ->
                                        // Of images, a number is a channel.
                                        Tensor.reshape (more.Shape[0] :: more.Shape[1] :: [ for _ in rest -> 1 ]) more
                                        |> Tensor.expand (more.Shape[0] :: more.Shape[1] :: rest)
                                    | Some more -> more

                                if more.Shape[0] <> n then
                                    invalidArg
                                        "condition"
                                        $"{network.Name}: {more.Shape[0]} are told, and there are {n} samples"

                                let whole = Tensor.cat 1 [ x; more.To x.Kind ]
                                let seen, wide = x.Shape[1], whole.Shape[1]
                                let said: Tensor = field t whole

                                if said.Shape[1] = wide then
                                    Tensor.narrow 1 0 seen said
                                else
                                    let outputs = said.Shape[1] / wide

                                    Tensor.reshape (n :: outputs :: wide :: rest) said
                                    |> Tensor.narrow 2 0 seen
                                    |> Tensor.reshape (n :: outputs * seen :: rest) })
