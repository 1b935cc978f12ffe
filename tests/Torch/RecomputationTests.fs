/// Gradients whose graph is computed again block by block are the gradients of the whole graph, and hold less of it.
module Fokker.Tests.Torch.RecomputationTests

open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private small: Map<string, float> =
    Map [ "width", 8.0; "depth", 1.0; "head", 4.0; "heads", 2.0; "attention", 2.0 ]

/// A network of the list, for samples of a shape; those that have scales have two of them.
let private named (name: string) (shape: int list) : Network =
    let part = Networks.parts |> List.find (fun part -> part.Name = name)

    part.Make
        [ for p in part.Parameters ->
              match small.TryFind p.Name with
              | Some value -> value
              | None when p.Name = "multipliers" -> 12.0
              | None -> p.Default ]
        { Sample = shape
          Data = "a test"
          Width = 8
          Depth = 1
          Times = 1
          Outputs = 1
          Classes = Some 3
          Role = NetworkRole.Field
          Tokens = None }

/// Parameters at which every layer counts: none is 0 as before training.
let private parameters (network: Network) : Tensor[] =
    let rng = Rng.ofSeed 3L

    network.Specs
    |> Array.map (fun spec -> Rng.normal Kind.Float64 spec.Shape (Rng.named spec.Name rng) * 0.2)

let private images = [ 2; 8; 8 ]
let private times () = Tensor.ofArray [ 4 ] [| 0.1; 0.4; 0.6; 0.9 |]
let private labels () = Tensor.ofArray [ 4 ] [| 0L; 2L; 1L; 3L |]
let private noise (shape: int list) = Rng.normal Kind.Float64 (4 :: shape) (Rng.ofSeed 7L)

let private norm (tensors: Tensor[]) = sqrt (Array.sumBy (fun (g: Tensor) -> (Tensor.sum (g * g)).ToFloat()) tensors)

/// How far two gradients are apart, of their size.
let private apart (one: Tensor[]) (other: Tensor[]) = norm (Array.map2 (-) one other) / norm one

/// A scalar of a network, and how its gradient with recomputation differs from the one without.
let private difference (network: Network) (value: Tensor[] -> Tensor) : float =
    Scope.run (fun () ->
        let parameters = parameters network
        let f p = value p, ()
        let expected, whole, () = Diff.valueAndGrads f parameters
        let found, again, () = Recomputation.valueAndGrads f parameters
        Expect.within 1e-12 1.0 (found.ToFloat() / expected.ToFloat()) "the value"
        Expect.isGreaterThan (norm whole) 1e-3 "a gradient of which there is something to see"
        apart whole again)

let private square (y: Tensor) : Tensor = Tensor.mean (y * y)

[<Tests>]
let tests =
    testList
        "Torch.Recomputation"
        [ testTheory
              "the gradient is that of the whole graph"
              [ "unet", images
                "adm-small", images
                "adm-base", images
                "dit", images
                "sequence", [ 6 ]
                "unet-1d", [ 2; 12 ] ]
          <| fun (name: string, shape: int list) ->
              let network = named name shape
              let x = noise shape
              let value p = square (network.Apply p (Some(labels ())) (times ()) x)
              Expect.isLessThan (difference network value) 1e-12 name

          // The second call's input depends on the first call's blocks, and on the parameters by them alone.
          testCase "blocks may come after each other by way of anything"
          <| fun () ->
              let network = named "unet" images
              let x = noise images
              let value p =
                  let field = network.Apply p (Some(labels ()))
                  let once = field (times ()) x
                  let twice = field (times ()) (x + Tensor.sin once)
                  square (twice * Tensor.exp once)
              Expect.isLessThan (difference network value) 1e-12 ""

          // As in bfloat16: what a block is given then is not what the gradient is of.
          testCase "the parameters of the blocks may depend on others"
          <| fun () ->
              let network = named "adm-small" images
              let x = noise images
              let value p = square (network.Apply (Array.map Tensor.sin p) (Some(labels ())) (times ()) x)
              Expect.isLessThan (difference network value) 1e-12 ""

          testCase "what a further derivative asks for is computed as ever"
          <| fun () ->
              let network = named "adm-small" images
              let x = noise images
              let value p =
                  let field = network.Apply p (Some(labels ())) (times ())
                  let y, gradient = Diff.valueAndGrad (fun x -> square (field x)) x
                  let _, tangent = Diff.jvp field x x
                  y + square gradient + square tangent + square (field x)
              Expect.isLessThan (difference network value) 1e-12 ""

          testCase "a forward pass holds less than half"
          <| fun () ->
              let network = named "adm-small" [ 2; 32; 32 ]

              let held gradient =
                  Scope.run (fun () ->
                      let parameters = parameters network
                      let x = noise [ 2; 32; 32 ]
                      let before = Torch.memory().Live
                      let mutable after = before

                      let value p =
                          let y = square (network.Apply p (Some(labels ())) (times ()) x)
                          after <- Torch.memory().Live
                          y, ()

                      gradient value parameters |> ignore
                      float (after - before))

              Expect.isLessThan (held Recomputation.valueAndGrads) (0.5 * held Diff.valueAndGrads) "bytes"

          testTheory "where there is nothing to compute again it is refused" [ "cfm", "mlp"; "ism", "unet" ]
          <| fun (loss: string, network: string) ->
              let shape = if network = "mlp" then [ 3 ] else [ 1; 8; 8 ]

              let data =
                  Scope.run (fun () ->
                      Dataset.ofSamples "noise" "" "noise" (Rng.normal Kind.Float32 (8 :: shape) (Rng.ofSeed 1L)) None)

              let recipe =
                  { TrainingRequest.recipe
                        data
                        { TrainingRequest.standard with Loss = Some loss; Recompute = Some true } with
                      Network = Recipe.networkNamed network
                      Width = 8
                      Steps = 2L
                      Batch = 4 }

              refused [ "computed again"; "blocks" ] (fun () ->
                  Run.inMemory (Job.plan (Runs.job recipe data)) (fun _ _ -> ()) (fun () -> false) |> ignore) ]
