/// Networks of other libraries, as JSON holds them: an implementation in PyTorch, written anew from the description of its layers, gave the names and shapes of the tensors and float64 outputs. The numbers in the
/// tensors and in x are the formulas below, there as here.
module Fokker.Tests.Runs.StateFixtures

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

/// The fixtures of a file of `tests/Runs`.
let fixtures (file: string) : JsonObject list =
    (nonNull (JsonNode.Parse(File.ReadAllText(Checkout.file $"tests/Runs/{file}")))).AsArray()
    |> Seq.map (fun node -> (nonNull node).AsObject())
    |> List.ofSeq

let field (name: string) (json: JsonObject) : JsonNode = nonNull json[name]
let text (name: string) (json: JsonObject) = (field name json).GetValue<string>()
let numbers (name: string) (json: JsonObject) =
    [| for x in (field name json).AsArray() -> (nonNull x).GetValue<float>() |]

/// The tensors of a network.
let tensors (json: JsonObject) : (string * Tensor) list =
    [ for i, entry in Seq.indexed ((field "tensors" json).AsArray()) ->
          let entry = (nonNull entry).AsArray()
          let shape = [ for size in (nonNull entry[1]).AsArray() -> (nonNull size).GetValue<int>() ]
          let kind = (nonNull entry[2]).GetValue<int>()
          let wave j = sin (1.7 * float i + 0.9 * float j + 0.3)
          let inputs = List.fold (*) 1 shape.Tail
          let size = if shape.Length < 2 then 0.25 else 1.5 / sqrt (float inputs)

          // 0 is a weight or a bias, 1 a norm's weight, 2 attention's three matrices, large enough that heads differ, 3 the filter of a resampling.
          let number j =
              match kind with
              | 0 -> size * wave j
              | 1 -> 1.0 + 0.1 * wave j
              | 2 -> 10.0 * size * wave j
              | _ -> 0.25

          (nonNull entry[0]).GetValue<string>(), Tensor.ofArray shape (Array.init (shape.Head * inputs) number) ]

/// A file of tensors in a folder.
let saved (folder: Folder) (tensors: (string * Tensor) list) : string =
    let file = folder.File "model.safetensors"
    Safetensors.write file [] tensors
    file

/// The three images [1; 4; 4] that the networks are asked about.
let images () : Tensor = Tensor.ofArray [ 3; 1; 4; 4 ] (Array.init 48 (fun j -> 1.3 * sin (0.5 * float j + 0.2)))

/// How far an output is from the expected one, in parts of the larger of 1 and its largest number.
let distance (expected: float[]) (output: Tensor) : float =
    let expected = Tensor.reshape (List.ofArray output.Shape) (Tensor.ofArray [ expected.Length ] expected)
    let largest (x: Tensor) = (Tensor.max (Tensor.abs x)).ToFloat()
    largest (output.To Dtype.Float64 - expected) / (1.0 + largest expected)

/// Holds that a file of these tensors is refused with these words.
let refused (folder: Folder) (read: string -> TrainedNetwork) (tensors: (string * Tensor) list) (words: string list) =
    let file = saved folder tensors
    let message = (raised<UserError>(fun () -> read file |> ignore)).Message

    for word in words do
        Expect.stringContains message word ""
