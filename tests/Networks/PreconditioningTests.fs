/// Each named preconditioning: its coefficients against the paper's table, and training with it against a minimum that is known.
module Fokker.Tests.PreconditioningTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private key = Rng.ofSeed 31L

let private law =
    Mixture.ofStds
        [| 0.4; 0.6 |]
        (Tensor.ofArray [ 2; 2 ] [| -1.2; 0.4; 0.8; -0.6 |])
        (Tensor.ofArray [ 2; 2 ] [| 0.4; 0.6; 0.5; 0.3 |])

let names = [ for part in Preconditioning.parts -> part.Name ]

let private named name = Preconditioning.parts |> List.find (fun part -> part.Name = name) |> Part.standard

[<Tests>]
let tests =
    testList
        "Preconditioning"
        [
          // EDM's table 1 with σ/α for its σ, x/α for its x: D = c_skip x/α + c_out F(c_in x/α).
          testTheory "a preconditioning's coefficients are the table's" names
          <| fun (name: string) ->
              for path in [ Path.condOT; Path.vp; Paths.edm ] do
                  let p = named name path

                  for t in [ 0.05; 0.3; 0.77 ] do
                      let e curve = Curve.eval curve t
                      let alpha, s = e path.Alpha, e path.Sigma / e path.Alpha
                      let root = sqrt (s * s + 1.0)

                      let skip, out, input, noise =
                          match name with
                          | "edm" -> 1.0 / (s * s + 1.0), s / root, 1.0 / root, 0.25 * log s
                          | "vp" -> 1.0, -s, 1.0 / root, t
                          | "iddpm" -> 1.0, -s, 1.0 / root, round (999.0 * t) / 999.0
                          // c_in = 1 of a path with α = 1 is 1 of x_t, and c_noise the logarithm of σ itself.
                          | "ve" -> 1.0, s, alpha, log (0.5 * e path.Sigma)
                          | other ->
                              failwith $"the preconditioning {other} is held to nothing: give its coefficients here"

                      let found = [ e p.Skip * alpha; e p.Out; e p.In * alpha; e p.Noise ]
                      Expect.allWithin 1e-12 found [ skip; out; input; noise ] $"{path.Name} at {t}"

          // The network is to be told times that its embedding can tell apart, and that do not turn it many times between neighbours: what it hears of two
          // times a hundredth apart differs by a fraction of a turn of its highest frequency.
          testTheory "a network's frequencies suit what it is told" names
          <| fun (name: string) ->
              let highest = Array.max (Embedding.gaussianFrequencies 1.0 16)
              let p = named name Path.vp
              let told t = Curve.eval p.Noise t
              let turns = [ for k in 5..98 -> highest * abs (told (float (k + 1) / 100.0) - told (float k / 100.0)) ]
              Expect.isLessThan (List.max turns) 0.5 ""
              Expect.isGreaterThan (abs (told 0.99 - told 0.05)) 0.5 ""

          // The denoiser that leaves no excess is known, so its loss is the least there can be: training takes most of what lies above it away.
          testTheory "training with a preconditioning goes towards the known minimum" names
          <| fun (name: string) ->
              let path = Path.vp

              let regression =
                  // The error of what the network says itself: of the noise, or of EDM's output of unit variance.
                  Loss.denoiser path |> Loss.weighted (if name = "edm" then Weight.edm 1.0 else Weight.snr)

              let objective = Objective.ofRegression regression |> Objective.preconditioned (named name path)
              let draw n k : Batch = { Data = Mixture.sample n (Rng.at k key) law; Label = None; Source = None }
              let held = draw 4000 -1L
              let value (loss: Loss) context = (Tensor.mean (loss context (Rng.named "held out" key) held)).ToFloat()
              let least =
                  value (Loss.ofRegression regression) (LossContext.ofNetwork (fun _ -> Mixture.denoiser path law))
              let network = Networks.mlp { Mlp.standard 2 with Width = 48; Depth = 2 }
              let at parameters = value objective.Loss (LossContext.ofNetwork (network.Apply parameters))

              // EDM's starts where half of the way is done: what is left takes longer.
              let steps = if name = "edm" then 1000L else 400L

              let settings =
                  { Trainer.standard with
                      Optimizer = { Trainer.standard.Optimizer with Rate = Schedule.Cosine(6e-3, 0.0, steps) } }

              let mutable state = Trainer.init Kind.Float64 key network
              let first = at state.Parameters

              for k in 1L .. steps do
                  let next =
                      Scope.run (fun () ->
                          match Trainer.step settings network objective.Loss (draw 256 k) state with
                          | Ok(next, _) -> next
                          | Error divergence -> failwith divergence.Message)

                  state <- next

              let excess = (at state.Parameters - least) / (first - least)
              Expect.isLessThan least first ""
              // 0.023 to 0.039 of the excess are left; with 999 t in place of t, a tenth.
              Expect.between 0.0 0.06 excess "" ]
