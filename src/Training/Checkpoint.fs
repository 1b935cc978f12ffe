namespace Fokker

open System

/// A training state on disk: one safetensors file that holds the parameters (`weights.NAME`), their average (`average.NAME`),
/// Adam's moments (`first.NAME`, `second.NAME`), in a training of rounds the teacher (`teacher.NAME`), what the objective keeps (`memory.K`), power-function averages (`power.K.NAME`) and, as metadata, the architecture, the step, the key and notes of the run's owner.
///
/// It holds nothing of the clock or the machine: equal seeds give equal bytes. It is replaced at once, so that whoever
/// interrupts the writing leaves the one before it.
[<RequireQualifiedAccess>]
module Checkpoint =

    [<Literal>]
    let private Format = "fokker-checkpoint 1"

    let private parts = [ "weights"; "average"; "first"; "second" ]

    /// What there is besides in a training of rounds.
    let private teacher = "teacher"

    /// What the objective keeps beside the parameters: tensors of any shape, numbered.
    let private memory = "memory"

    /// What is kept of another player: as of the main one, its tensors numbered as its network has them.
    let private playerParts (player: Moments) =
        List.zip parts [ player.Parameters; player.Average; player.First; player.Second ]

    let private tensors (state: TrainState) : (string * Tensor[]) list =
        [ yield! List.zip parts [ state.Parameters; state.Average; state.FirstMoment; state.SecondMoment ]
          if state.Teacher.Length > 0 then
              teacher, state.Teacher
          for k, average in Seq.indexed state.Powers do
              $"power.{k}", average ]

    /// Writes the state of a network, and notes that `read` gives back. Raises UserError where the file cannot be written
    /// (no such folder, no permission, a full disk); what was there before stays.
    let write (file: string) (network: Network) (notes: (string * string) list) (state: TrainState) : unit =
        let metadata =
            [ yield "format", Format
              yield "step", string state.Step
              yield "key", Rng.text state.Key
              yield "network", network.Name
              for name, value in network.Settings do
                  yield $"network.{name}", value
              for name, value in notes do
                  yield $"note.{name}", value ]

        // Writing may copy tensors; the copies do not outlive it.
        Scope.run0 (fun () ->
            tensors state
            |> List.collect (fun (part, tensors) ->
                [ for spec, tensor in Array.zip network.Specs tensors -> $"{part}.{spec.Name}", tensor ])
            |> fun all ->
                all
                @ [ for k, tensor in Seq.indexed state.Memory -> $"{memory}.{k}", tensor ]
                @ [ for k, player in Seq.indexed state.Players do
                        for part, tensors in playerParts player do
                            for i, tensor in Seq.indexed tensors -> $"player.{k}.{part}.{i}", tensor ]
            |> Safetensors.write file metadata)

    let private refuse file what = raise (UserError $"{file}: {what}")

    let private refuseArchitecture file what =
        refuse file $"it is a checkpoint of another architecture: {what}; ask for the one it holds, or start a new run"

    let private withPrefix (prefix: string) (metadata: Map<string, string>) =
        [ for KeyValue(key, value) in metadata do
              if key.StartsWith(prefix, StringComparison.Ordinal) then
                  key.Substring prefix.Length, value ]

    /// Says in which setting two architectures differ, if in any.
    let private compare file (network: Network) (metadata: Map<string, string>) =
        match Map.tryFind "network" metadata with
        | Some name when name <> network.Name ->
            refuseArchitecture file $"it holds a network of kind {name}, expected {network.Name}"
        | _ -> ()

        let there, here = Map.ofList (withPrefix "network." metadata), Map.ofList network.Settings
        let shown (settings: Map<string, string>) name = Map.tryFind name settings |> Option.defaultValue "none"

        let different =
            Seq.append there.Keys here.Keys
            |> Seq.distinct
            |> Seq.filter (fun name -> Map.tryFind name there <> Map.tryFind name here)
            |> Seq.map (fun name -> $"{name} is {shown there name} there, expected {shown here name}")
            |> String.concat ", "

        if different <> "" then
            refuseArchitecture file different

    /// The state that `write` wrote, on the CPU, and its notes. Raises UserError where the file is missing, damaged, no checkpoint,
    /// or of another architecture than `network`; it names what differs.
    let read (file: string) (network: Network) : TrainState * Map<string, string> =
        Scope.run (fun () ->
            let content = Safetensors.read file
            let metadata = content.Metadata

            let required key =
                match Map.tryFind key metadata with
                | Some value -> value
                | None ->
                    refuse file $"it is a safetensors file, but no checkpoint of Fokker: its metadata have no '{key}'"

            let format = required "format"

            if format <> Format then
                refuse
                    file
                    $"its format is '{format}', expected '{Format}': it was written by another version of Fokker"

            compare file network metadata

            let step =
                let text = required "step"

                match Int64.TryParse text with
                | true, step when step >= 0L -> step
                | _ -> refuse file $"its step is '{text}', expected a whole number"

            let key =
                let text = required "key"

                try
                    Rng.ofText text
                with :? ArgumentException ->
                    refuse file $"its key is '{text}', expected 16 hexadecimal digits"

            let shape (sizes: seq<int>) =
                let text = String.Join("; ", sizes)
                $"[{text}]"

            let part name =
                network.Specs
                |> Array.map (fun spec ->
                    match Map.tryFind $"{name}.{spec.Name}" content.Tensors with
                    | None -> refuseArchitecture file $"it has no tensor {name}.{spec.Name}"
                    | Some tensor when List.ofArray tensor.Shape <> spec.Shape ->
                        refuseArchitecture
                            file
                            $"{name}.{spec.Name} is {shape tensor.Shape} there, expected {shape spec.Shape}"
                    | Some tensor when not (Dtype.isFloating tensor.Dtype) ->
                        refuse file $"{name}.{spec.Name} is {tensor.Describe()}, expected floating-point numbers"
                    | Some tensor -> tensor)

            let state =
                { Step = step
                  Key = key
                  Parameters = part "weights"
                  Average = part "average"
                  FirstMoment = part "first"
                  SecondMoment = part "second"
                  Teacher =
                    (if
                         network.Specs
                         |> Array.exists (fun spec -> content.Tensors.ContainsKey $"{teacher}.{spec.Name}")
                     then
                         part teacher
                     else
                         [||])
                  Memory =
                    Seq.initInfinite (fun k -> Map.tryFind $"{memory}.{k}" content.Tensors)
                    |> Seq.takeWhile Option.isSome
                    |> Seq.choose id
                    |> Array.ofSeq
                  Powers =
                    Seq.initInfinite (fun k -> $"power.{k}")
                    |> Seq.takeWhile (fun name ->
                        network.Specs |> Array.exists (fun spec -> content.Tensors.ContainsKey $"{name}.{spec.Name}"))
                    |> Seq.map part
                    |> Array.ofSeq
                  Players =
                    let numbered (prefix: string) =
                        Seq.initInfinite (fun k -> Map.tryFind $"{prefix}.{k}" content.Tensors)
                        |> Seq.takeWhile Option.isSome
                        |> Seq.choose id
                        |> Array.ofSeq

                    Seq.initInfinite (fun k -> [ for part in parts -> numbered $"player.{k}.{part}" ])
                    |> Seq.takeWhile (fun found -> not (Array.isEmpty found.Head))
                    |> Seq.map (fun found ->
                        { Parameters = found[0]; Average = found[1]; First = found[2]; Second = found[3] })
                    |> Array.ofSeq }

            state, Map.ofList (withPrefix "note." metadata))
