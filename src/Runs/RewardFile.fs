namespace Fokker

open System
open System.Text.Json

/// A reward as a file has it.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type RewardFile =
    | Known of Reward
    /// log p(c | x₀) under a classifier: the class, and the classifier's run; `exact` for an exact law's own.
    | OfClass of label: string * classifier: string

/// Rewards on disk.
[<RequireQualifiedAccess>]
module RewardFile =

    let private help =
        "a reward is {\"linear\": [w, …]}, {\"quadratic\": [[…], …]} with \"linear\" or without, r(x) = ⟨w, x⟩ + ½ xᵀ Q x, or {\"class\": NAME, \"classifier\": RUN}"

    /// The reward that a JSON text describes. Raises UserError, with `where` in front, for anything else.
    let ofJson (where: string) (json: byte[]) : RewardFile =
        let refuse (what: string) : 'T = raise (UserError $"{where}: {what}; {help}")

        use document =
            match JsonText.document json with
            | Ok document -> document
            | Error reason -> refuse reason

        let root = document.RootElement

        if root.ValueKind <> JsonValueKind.Object then
            refuse "not an object"

        let names = [ for property in root.EnumerateObject() -> property.Name ]

        match List.except [ "linear"; "quadratic"; "class"; "classifier" ] names with
        | unknown :: _ -> refuse $"\"{unknown}\" is not known"
        | [] -> ()

        let find (name: string) =
            match root.TryGetProperty name with
            | true, element -> Some element
            | _ -> None

        let row name (element: JsonElement) : float[] =
            if element.ValueKind <> JsonValueKind.Array || element.GetArrayLength() = 0 then
                refuse $"\"{name}\" is not a list"

            [| for item in element.EnumerateArray() do
                   if item.ValueKind <> JsonValueKind.Number then
                       refuse $"\"{name}\" holds something that is not a number"

                   let value = item.GetDouble()

                   if not (Double.IsFinite value) then
                       refuse $"\"{name}\" holds a number that is not finite"

                   value |]

        let word name (element: JsonElement) =
            match element.ValueKind with
            | JsonValueKind.String -> element.GetString() |> string
            | JsonValueKind.Number -> element.GetRawText()
            | _ -> refuse $"\"{name}\" is no name"

        match find "class", find "classifier", find "linear", find "quadratic" with
        | Some label, Some classifier, None, None ->
            RewardFile.OfClass(word "class" label, word "classifier" classifier)
        | None, None, None, None -> refuse "it says nothing"
        | None, None, linear, quadratic ->
            let q =
                quadratic
                |> Option.map (fun element ->
                    if element.ValueKind <> JsonValueKind.Array || element.GetArrayLength() = 0 then
                        refuse "\"quadratic\" is not a list of rows"

                    let rows = [| for item in element.EnumerateArray() -> row "quadratic" item |]

                    if rows |> Array.exists (fun own -> own.Length <> rows.Length) then
                        refuse "\"quadratic\" is not square"

                    if
                        Seq.exists
                            (fun (i, j) -> abs (rows[i][j] - rows[j][i]) > 1e-10 * (1.0 + abs (rows[i][j])))
                            (Seq.allPairs [ 0 .. rows.Length - 1 ] [ 0 .. rows.Length - 1 ])
                    then
                        refuse "\"quadratic\" is not symmetric"

                    Tensor.ofArray [ rows.Length; rows.Length ] (Array.concat rows))

            let w =
                match linear, q with
                | Some element, _ ->
                    let values = row "linear" element
                    Tensor.ofArray [ values.Length ] values
                | None, Some q -> Tensor.zeros Kind.Float64 [ q.Shape[0] ]
                | None, None -> refuse "it says nothing"

            try
                RewardFile.Known(Reward.quadratic w q)
            with :? ArgumentException as e ->
                refuse (Refusal.reason e)
        | _ -> refuse "\"class\" and \"classifier\" go together, and with nothing else"

    /// The JSON of a file, or what is JSON itself, as the command of a run has it.
    let private given (fileOrJson: string) : string * byte[] =
        if fileOrJson.TrimStart().StartsWith '{' then
            "the reward", Text.Encoding.UTF8.GetBytes fileOrJson
        else
            fileOrJson, Disk.readBytes (64L <<< 20) fileOrJson

    /// As `ofJson`, from a file, or from the JSON itself.
    let read (fileOrJson: string) : RewardFile = given fileOrJson ||> ofJson

    /// The JSON of a reward in one line: what a run keeps of it. Raises UserError as `read` does.
    let text (fileOrJson: string) : string =
        let where, json = given fileOrJson
        ofJson where json |> ignore
        use document = JsonDocument.Parse(ReadOnlyMemory json)
        JsonSerializer.Serialize document.RootElement
