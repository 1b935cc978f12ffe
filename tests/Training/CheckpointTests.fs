module Fokker.Tests.Training.CheckpointTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private key = Rng.ofSeed 9L
let private start () = Trainer.init Kind.Float32 key small

let private trained =
    lazy
        (let batches = Dataset.batches Kind.Float32 16 key (Dataset.ofLaw Plane.moons)

         Trainer.run
             Trainer.standard
             small
             flowMatching
             batches
             (Budget.Steps 3L)
             0.0
             { Stepped = fun _ _ _ -> ()
               Stop = fun () -> false }
             (start ())
         |> fst)

let private all (s: TrainState) = Array.concat [ s.Parameters; s.Average; s.FirstMoment; s.SecondMoment ]

[<Tests>]
let tests =
    testList
        "Training.Checkpoint"
        [ testCase "what is written is read back, bit by bit"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "checkpoint.safetensors")
                  let state = trained.Value
                  Checkpoint.write file small [ "units", "a;b"; "path", "condot" ] state
                  let back, notes = Checkpoint.read file small
                  Expect.equal back.Step 3L ""
                  Expect.equal (Rng.text back.Key) (Rng.text state.Key) ""
                  Expect.equal notes (Map.ofList [ "units", "a;b"; "path", "condot" ]) ""

                  for a, b in Array.zip (all state) (all back) do
                      Expect.isTrue (Tensor.same a b) ""

                  // The moments are not the parameters, so a mix-up would show.
                  Expect.isFalse (Tensor.same back.Parameters[0] back.FirstMoment[0]) ""
                  Expect.equal (Directory.GetFiles(folder).Length) 1 "")

          testCase "equal states are equal files, also when written later"
          <| fun () ->
              inFolder (fun folder ->
                  let a, b = Path.Combine(folder, "a"), Path.Combine(folder, "b")
                  Checkpoint.write a small [] trained.Value
                  Threading.Thread.Sleep 20
                  let again, _ = Checkpoint.read a small
                  Checkpoint.write b small [] again
                  Expect.same (File.ReadAllBytes b) (File.ReadAllBytes a) "")

          testCase "a checkpoint of another architecture is refused with what differs"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "checkpoint.safetensors")
                  Checkpoint.write file small [] trained.Value
                  let refuse network parts =
                      userError (fun () -> Checkpoint.read file network)
                      |> names (file :: "another architecture" :: parts)
                  refuse
                      (Networks.mlp { Mlp.standard 2 with Width = 48; Depth = 2 })
                      [ "width is 32 there, expected 48" ]
                  refuse (Networks.mlp { Mlp.standard 2 with Width = 48; Depth = 3 }) [ "width is 32"; "depth is 2" ]
                  refuse (shift 3) [ "kind mlp"; "expected shift" ]
                  // Settings that say nothing of it do not let other shapes pass.
                  refuse
                      { small with Specs = small.Specs |> Array.map (fun s -> { s with Name = "x." + s.Name }) }
                      [ "no tensor weights.x." ]

                  refuse
                      { small with Specs = small.Specs |> Array.map (fun s -> { s with Shape = 7 :: s.Shape }) }
                      [ "expected [7; " ])

          testCase "a file that is no whole checkpoint is refused in one line"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "checkpoint.safetensors")
                  let refuse parts = userError (fun () -> Checkpoint.read file small) |> names (file :: parts)
                  refuse [ "no such file" ]
                  Checkpoint.write file small [] trained.Value
                  let whole = File.ReadAllBytes file

                  for length in [ 0; 4; 100; whole.Length / 2; whole.Length - 1 ] do
                      File.WriteAllBytes(file, whole[.. length - 1])
                      refuse []

                  Safetensors.write file [] [ "x", Tensor.zeros Kind.Float32 [ 2 ] ]
                  refuse [ "no checkpoint of Fokker"; "format" ]
                  Safetensors.write file [ "format", "fokker-checkpoint 99" ] [ "x", Tensor.zeros Kind.Float32 [ 2 ] ]
                  refuse [ "fokker-checkpoint 99"; "another version" ]
                  let metadata =
                      [ "format", "fokker-checkpoint 1"; "network", "mlp" ]
                      @ [ for n, v in small.Settings -> $"network.{n}", v ]
                  Safetensors.write
                      file
                      (metadata @ [ "step", "many"; "key", "0" ])
                      [ "x", Tensor.zeros Kind.Float32 [ 2 ] ]
                  refuse [ "its step is 'many'" ]
                  Safetensors.write
                      file
                      (metadata @ [ "step", "1"; "key", "zz" ])
                      [ "x", Tensor.zeros Kind.Float32 [ 2 ] ]
                  refuse [ "its key is 'zz'" ])

          testCase "a write that fails leaves the checkpoint before it"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "checkpoint.safetensors")
                  Checkpoint.write file small [] (start ())
                  let before = File.ReadAllBytes file
                  Fokker.Tests.Torch.Support.onFullDisk 512 (fun () ->
                      userError (fun () -> Checkpoint.write file small [] trained.Value)
                      |> names [ file; "cannot be written"; "unchanged" ])
                  Expect.same (File.ReadAllBytes file) before ""
                  Expect.equal (Directory.GetFiles(folder).Length) 1 ""
                  // And the next one goes through.
                  Checkpoint.write file small [] trained.Value
                  Expect.equal ((fst (Checkpoint.read file small)).Step) 3L "")

          testCase "a folder that is not there, or is no folder, is named"
          <| fun () ->
              inFolder (fun folder ->
                  let missing = Path.Combine(folder, "missing", "checkpoint.safetensors")
                  userError (fun () -> Checkpoint.write missing small [] (start ())) |> names [ missing ]
                  File.WriteAllText(Path.Combine(folder, "file"), "")
                  let inside = Path.Combine(folder, "file", "checkpoint.safetensors")
                  userError (fun () -> Checkpoint.write inside small [] (start ())) |> names [ inside ]) ]
