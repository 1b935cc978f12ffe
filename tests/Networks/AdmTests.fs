module Fokker.Tests.AdmTests

open Expecto
open Fokker
open Fokker.Tests

/// One scale of eight channels.
let private adm (dropout: float) : Adm =
    { Channels = 1
      Scales =
        [ { Channels = 8
            AttendsDown = false
            AttendsUp = false
            Halving = Resampling.Block
            Doubling = Resampling.Block } ]
      Blocks = 1
      MiddleAttention = true
      MiddleGroups = Some 2
      HeadChannels = Some 4
      Groups = 2
      GroupChannels = 1
      Epsilon = 1e-5
      ScaleShift = true
      Padding = 1
      Dropout = dropout
      Features = StepFeatures.Sinusoids(true, 0.0, false)
      Clock = StepClock.Steps 1000
      Times = 1
      Outputs = 1
      Classes = None }

let private x () = Rng.normal Kind.Float64 [ 8; 1; 16; 16 ] (Rng.ofSeed 1L)
let private t () = Tensor.scalar Kind.Float64 0.4

[<Tests>]
let tests =
    testList
        "Network.adm"
        [
          // Everything is 0 but the last block's second convolution, which passes on what was one number everywhere before a part of it was left out: the output has two values.
          testCase "training leaves the share out that is said, other numbers in each step"
          <| fun () ->
              Scope.run0 (fun () ->
                  let share = 0.3
                  let network = Adm.network (adm share)
                  let center shape =
                      Tensor.ofArray
                          shape
                          (Array.init (List.fold (*) 1 shape) (fun j ->
                              if j % 9 = 4 && (j / 9) / 8 = (j / 9) % 8 then 1.0 else 0.0))

                  let parameters =
                      network.Specs
                      |> Array.map (fun spec ->
                          match spec.Name with
                          | "up_blocks.0.resnets.1.norm2.bias" -> Tensor.full Kind.Float64 spec.Shape 3.0
                          | "up_blocks.0.resnets.1.conv2.weight"
                          | "conv_out.weight" -> center spec.Shape
                          | "conv_norm_out.weight" -> Tensor.ones Kind.Float64 spec.Shape
                          | _ -> Tensor.zeros Kind.Float64 spec.Shape)

                  let step (seed: int64) =
                      (network.Dropping.Value(Rng.ofSeed seed)).Apply parameters None (t ()) (x ())
                  let first = step 1L
                  Expect.isTrue (Tensor.same first (step 1L)) "the same stream leaves out the same"
                  Expect.isFalse (Tensor.same first (step 2L)) "another one leaves out others"
                  // 2048 numbers: 4 standard errors are 0.04.
                  let least = Tensor.toFloats first |> Array.averageBy (fun v -> if v < 0.0 then 1.0 else 0.0)
                  Expect.within 0.04 least share "the share"
                  let whole = network.Apply parameters None (t ()) (x ())
                  Expect.isLessThan
                      ((Tensor.max (Tensor.abs whole)).ToFloat())
                      1e-6
                      "samples are drawn with all of them")

          testCase "what is left out changes training and not the network"
          <| fun () ->
              Scope.run0 (fun () ->
                  Expect.isTrue (Adm.network (adm 0.0)).Dropping.IsNone ""
                  let rng = Rng.ofSeed 3L
                  let of' dropout =
                      let network = Adm.network (adm dropout)
                      let p =
                          Network.init Kind.Float64 rng network
                          |> Array.mapi (fun k p -> p + 0.1 * Rng.normalLike p (Rng.at (int64 k) rng))
                      network.Apply p None (t ()) (x ())

                  Expect.isTrue (Tensor.same (of' 0.0) (of' 0.5)) "")

          testCase "settings come back as they were, and those that make no network are refused by name"
          <| fun () ->
              for s in
                  [ adm 0.25
                    { adm 0.0 with
                        Features = StepFeatures.LogFourier true
                        Clock = StepClock.Deviation(0.01, 50.0)
                        HeadChannels = None }
                    { adm 0.0 with Times = 2; Classes = Some 3; MiddleGroups = None; Epsilon = 1e-6 } ] do
                  Expect.equal (Adm.ofSettings (Map.ofList (Adm.network s).Settings)) s ""

              let says (part: string) s =
                  Expect.stringContains
                      (raised<System.ArgumentException>(fun () -> Adm.network s |> ignore)).Message
                      part
                      ""

              says "Dropout" { adm 0.0 with Dropout = 1.0 }
              says "3 groups" { adm 0.0 with Groups = 3 }
              says "heads of 3" { adm 0.0 with HeadChannels = Some 3 }
              says "Padding = 2" { adm 0.0 with Padding = 2 } ]
