/// A model whose every answer is known, from the command line: what a solver does to given noise, what a density is.
module Fokker.Tests.CommandLine.OracleTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private three =
    """{"weights": [0.5, 0.3, 0.2], "means": [[-1.5, 0], [1, 1.2], [0.8, -1]], "stds": [[0.5, 0.4], [0.3, 0.5], [0.5, 0.45]]}"""

let private one = """{"means": [[0.5, -1]], "stds": [[0.6, 1.3]]}"""

/// A folder with mixture.json.
let private folderWith (mixture: string) =
    let folder = new Folder()
    File.WriteAllText(folder.File "mixture.json", mixture)
    folder

let private done' (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error

let private number (path: string) (json: JsonObject) =
    (path.Split '.' |> Array.fold (fun (node: JsonNode) (name: string) -> nonNull node[name]) json).GetValue<float>()

let private noise (folder: Folder) (rows: int) =
    let x = Rng.normal Kind.Float64 [ rows; 2 ] (Rng.ofSeed 11L)
    Npy.write (folder.File "x1.npy") x
    x

let private sample (folder: Folder) (words: string list) =
    done' (
        fokker (
            [ "sample"; "--oracle"; folder.File "mixture.json"; "--out"; folder.File "x0.npy"; "--quiet" ]
            @ words
        )
    )
    Npy.read (folder.File "x0.npy")

let private largest (x: Tensor) = (Tensor.max (abs (Tensor.flatten x))).ToFloat()

let private solvers =
    Samplers.all |> List.map (fun s -> s.Name) |> List.filter ((<>) Samplers.ancestralLearned.Name)
let private pathNames = Paths.all |> List.map (fun (p: GaussianPath) -> p.Name)

// ---- classes and guidance

/// Two components of each class, the classes out of order.
let private classes =
    """{"means": [[-1.5, 0], [1, 1.2], [0.8, -1], [-0.4, 0.9]], "stds": [0.5, 0.4, 0.45, 0.6], "labels": [1, 0, 1, 0]}"""

// ---- likelihood

let private likelihood (words: string list) = fokker ([ "likelihood"; "--json"; "--quiet" ] @ words)

// ---- what can be wrong

let private refusedFor (mixture: string) (words: Folder -> string list) (expected: string list) =
    use folder = folderWith mixture
    Npy.write (folder.File "wide.npy") (Tensor.zeros Kind.Float64 [ 5; 3 ])
    Npy.write (folder.File "x.npy") (Tensor.zeros Kind.Float64 [ 5; 2 ])
    Npy.write (folder.File "none.npy") (Tensor.zeros Kind.Float64 [ 0; 2 ])
    Npy.write (folder.File "one.npy") (Tensor.zeros Kind.Float64 [ 1; 5; 2 ])
    Npy.write (folder.File "nan.npy") (Tensor.full Kind.Float64 [ 5; 2 ] nan)
    let before = folder.Contents
    assertRefused (fokker (words folder)) expected
    equal before folder.Contents

let private refused words expected = refusedFor three words expected

[<Tests>]
let tests =
    testList
        "CommandLine.Oracle"
        [ testTheory "every solver gives bit for bit what the library gives, in float64" solvers
          <| fun (name: string) ->
              use folder = folderWith three
              let x = noise folder 9
              let found =
                  sample
                      folder
                      [ "--path"
                        "vp"
                        "--solver"
                        name
                        "--steps"
                        "7"
                        "--start"
                        folder.File "x1.npy"
                        "--batch"
                        "4" ]
              Expect.equal found.Dtype Dtype.Float64 ""
              let model = Mixture.model Path.vp Prediction.velocity (Mixture.ofJson "" three)
              let sampler = Samplers.all |> List.find (fun s -> s.Name = name)
              let natural = { Sampling.plan sampler 7 model with Kind = Kind.Float64 }

              // A network's velocity is singular where σ̇ is, at t = 0 on vp; the exact one is not.
              let plan =
                  match sampler.Follows with
                  | Velocity _ -> { natural with Span = { Noisy = 1.0; Clean = 0.0; Finish = Stop } }
                  | Process _
                  | Denoiser _
                  | Leaps _
                  | Target _ -> natural

              match Sampling.run plan model None (Noise.fresh (Rng.ofSeed 0L |> Rng.named "sample")) x with
              | Ok expected -> Expect.within 1e-13 (largest (found - expected)) 0.0 ""
              | Error failure -> failtest (string failure)

          // The flow of one Gaussian N(m, s²) is linear: x₀ = m + s (x − α m)/√(α² s² + σ²) for x at (α, σ).
          testTheory "on every path the flow of one Gaussian is what it must be" pathNames
          <| fun (name: string) ->
              use folder = folderWith one
              let x = noise folder 8
              let path = Paths.all |> List.find (fun (p: GaussianPath) -> p.Name = name)
              // The cosine's last betas jump: steps as short as its own there, and the last ten left out.
              let isTable = name = "ddpm-cosine"

              let from =
                  if isTable then 0.99
                  elif Double.IsFinite(Curve.eval (Curve.derivative path.Alpha) 1.0) then 1.0
                  else snd path.Interior

              let struct (alpha, sigma) = Path.alphaSigma path from
              let struct (alpha0, sigma0) = Path.alphaSigma path 0.0
              let mean, std = Tensor.ofArray [ 2 ] [| 0.5; -1.0 |], Tensor.ofArray [ 2 ] [| 0.6; 1.3 |]
              let spread (a: float) (s: float) = sqrt (Tensor.square (a * std) + s * s)
              let expected = alpha0 * mean + spread alpha0 sigma0 * ((sigma * x - alpha * mean) / spread alpha sigma)
              Npy.write (folder.File "x1.npy") (sigma * x)

              let error (steps: int) =
                  // By itself an exact flow is followed as far as it is regular; near an end where it is not, the steps must be short.
                  let times = if isTable then [ "--from"; "0.99"; "--to"; "0" ] else [ "--grid"; "cosine" ]
                  let words = [ "--path"; name; "--start"; folder.File "x1.npy"; "--solver"; "rk4" ] @ times

                  largest (sample folder (words @ [ "--steps"; string steps ]) - expected)

              if isTable then
                  Expect.isLessThan (error 990) 1e-6 ""
              else
                  let coarse, fine = error 100, error 200
                  Expect.isLessThan fine 1e-3 ""
                  // At order 4 a sixteenth; short of it where variances change by orders of magnitude, and at rounding.
                  Expect.isTrue (fine < coarse / 8.0 || fine < 1e-11) $"{coarse}, {fine}"

          // A sweep over η replays the same draws, at 0 too: what is not drawn is left over.
          testCase "draws are replayed at η = 0, and change nothing there"
          <| fun () ->
              use folder = folderWith three
              noise folder 5 |> ignore
              Npy.write (folder.File "z.npy") (Rng.normal Kind.Float64 [ 9; 5; 2 ] (Rng.ofSeed 2L))
              let words = [ "--path"; "vp"; "--steps"; "6"; "--start"; folder.File "x1.npy" ]
              let replayed = [ "--replay"; folder.File "z.npy"; "--eta"; "0" ]

              for solver in [ "sde-dpmpp-3m"; "ddim-eta" ] do
                  let still = sample folder (words @ [ "--solver"; solver; "--eta"; "0" ])
                  let found = sample folder (words @ [ "--solver"; solver ] @ replayed)
                  Expect.equal (largest (found - still)) 0.0 solver

          testCase "a grid of a file's levels, times or timesteps is followed"
          <| fun () ->
              use folder = folderWith three
              noise folder 5 |> ignore
              let common =
                  [ "--path"; "ddpm"; "--prediction"; "noise"; "--solver"; "dpmpp-2m"; "--start"; folder.File "x1.npy" ]
              let wanted = sample folder (common @ [ "--grid"; "trailing"; "--steps"; "8" ])
              let times = Grid.timesOf Grid.trailing Paths.ddpm { Noisy = 1.0; Clean = 0.001; Finish = Denoise } 8
              let file (name: string) (values: float[]) =
                  Npy.write (folder.File name) (Tensor.ofArray [ values.Length ] values)
              file "times.npy" [| yield! times; 0.0 |]
              file
                  "levels.npy"
                  [| for t in times do
                         Math.Exp(-(Curve.eval Paths.ddpm.Lambda t))
                     0.0 |]
              file "steps.npy" (times |> Array.map (fun t -> Math.Round(1000.0 * t) - 1.0))

              for grid in
                  [ "times:" + folder.File "times.npy"
                    "file:" + folder.File "levels.npy"
                    "timesteps:" + folder.File "steps.npy" ] do
                  Expect.isLessThan (largest (sample folder (common @ [ "--grid"; grid ]) - wanted)) 1e-10 grid

              let refused words (parts: string list) =
                  let outcome =
                      fokker (
                          [ "sample"; "--oracle"; folder.File "mixture.json"; "--out"; folder.File "x0.npy" ]
                          @ common
                          @ words
                      )
                  Expect.equal outcome.Code 2 outcome.Error

                  for part in parts do
                      Expect.stringContains outcome.Error part ""

              let own = [ "--grid"; "times:" + folder.File "times.npy" ]
              refused (own @ [ "--steps"; "5" ]) [ "--steps 5"; "8 steps" ]
              refused (own @ [ "--to"; "0.1" ]) [ "--grid"; "--to" ]
              file "rising.npy" [| 0.1; 0.5 |]
              refused [ "--grid"; "file:" + folder.File "rising.npy" ] [ "--grid"; "fall" ]
              file "high.npy" [| 1e6; 1.0; 0.0 |]
              refused [ "--grid"; "file:" + folder.File "high.npy" ] [ "1000000"; "ddpm" ]
              Npy.write (folder.File "square.npy") (Tensor.ones Kind.Float64 [ 2; 2 ])
              refused [ "--grid"; "file:" + folder.File "square.npy" ] [ "--grid"; "one row" ]

          // E[x₀ | x] at a time of one's choice, the last of the steps.
          testCase "the last step denoises at a chosen time where it is asked to"
          <| fun () ->
              use folder = folderWith three
              noise folder 5 |> ignore
              let words = [ "--path"; "vp"; "--solver"; "ddim"; "--start"; folder.File "x1.npy"; "--to"; "0.3" ]
              let stopped = sample folder (words @ [ "--steps"; "6" ])
              let found = sample folder (words @ [ "--steps"; "7"; "--denoise" ])
              let model = Mixture.model Path.vp Prediction.velocity (Mixture.ofJson "" three)
              let expected = Model.denoiser model None (Tensor.scalar Kind.Float64 0.3) stopped
              Expect.isLessThan (largest (found - expected)) 1e-12 ""

              let lonely =
                  fokker
                      [ "sample"; "--oracle"; folder.File "mixture.json"; "--denoise"; "--out"; folder.File "x0.npy" ]
              Expect.equal lonely.Code 2 ""
              Expect.stringContains lonely.Error "--to" ""

          testCase "an oracle's samples have its moments, its file the element type that was asked for"
          <| fun () ->
              use folder = folderWith three
              let law = Mixture.ofJson "" three

              for dtype, expected in [ [], Dtype.Float64; [ "--dtype"; "float32" ], Dtype.Float32 ] do
                  let x = sample folder ([ "-n"; "4000"; "--solver"; "heun"; "--steps"; "40" ] @ dtype)
                  Expect.equal x.Dtype expected ""
                  let error = Tensor.meanOver [ 0 ] (x.To Dtype.Float64) - Mixture.mean law
                  // Four standard errors of a mean of 4,000 with standard deviations below 1.4.
                  Expect.isLessThan (largest error) (4.0 * 1.4 / sqrt 4000.0) ""

          testCase "a flat component keeps the flow off the end, where it has no velocity"
          <| fun () ->
              use folder = folderWith """{"means": [[0, 0], [1, 1]], "stds": [[0, 1], [0.5, 0]]}"""
              let x = sample folder [ "-n"; "50"; "--path"; "vp" ]
              Expect.isTrue ((Tensor.all (Tensor.isFinite x)).ToBool()) ""

          testCase "noise read from a file is what a run would have drawn"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              done' (fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small))
              let drawn = Rng.normal Kind.Float64 [ 6; 2 ] (Rng.ofSeed 0L |> Rng.named "sample" |> Rng.named "start")
              Npy.write (folder.File "e.npy") drawn

              let sample (words: string list) =
                  let file = folder.File "x0.npy"
                  done' (
                      fokker (
                          [ "sample"; "first"; "--runs"; root; "--out"; file; "--quiet"; "--dtype"; "float64" ] @ words
                      )
                  )
                  Npy.read file

              let given, own = sample [ "--noise"; folder.File "e.npy" ], sample [ "-n"; "6" ]
              Expect.equal given.Dtype Dtype.Float64 ""
              Expect.isLessThan (largest (given - own)) 1e-9 ""
              // This path's noise is σ = 1 at t = 1: there the numbers are the state.
              Expect.isLessThan (largest (sample [ "--start"; folder.File "e.npy" ] - own)) 1e-9 ""

          // σ(1) = 50 on ve: the numbers of --noise are scaled, the states of --start are not. What is drawn on the way is that of the file, and the trajectory
          // says when the network was asked.
          testCase "a stochastic run is repeated from its numbers, and says what it did"
          <| fun () ->
              use folder = folderWith three
              let n, steps = 5, 6
              let unit = Rng.normal Kind.Float64 [ n; 2 ] (Rng.ofSeed 1L)
              let draws = Rng.normal Kind.Float64 [ steps - 1; n; 2 ] (Rng.ofSeed 2L)
              Npy.write (folder.File "e.npy") unit
              Npy.write (folder.File "x1.npy") (50.0 * unit)
              Npy.write (folder.File "z.npy") draws

              let words start =
                  [ "--path"
                    "ve"
                    "--solver"
                    "ddim-eta"
                    "--eta"
                    "0.7"
                    "--steps"
                    string steps
                    "--grid"
                    "karras" ]
                  @ start
                  @ [ "--replay"; folder.File "z.npy"; "--batch"; "2"; "--trajectory"; folder.File "t.npz" ]

              let found = sample folder (words [ "--noise"; folder.File "e.npy" ])
              let again = sample folder (words [ "--start"; folder.File "x1.npy" ])
              Expect.isLessThan (largest (found - again)) 1e-12 ""

              let model = Mixture.model Paths.ve Prediction.velocity (Mixture.ofJson "" three)

              let plan =
                  { Sampling.plan (Samplers.ddimWith 0.7) steps model with Kind = Kind.Float64; Grid = Grid.karras }

              match Sampling.run plan model None (Noise.given draws) (50.0 * unit) with
              | Error failure -> failtest (string failure)
              | Ok expected -> Expect.isLessThan (largest (found - expected)) 1e-12 ""

              let arrays = Npz.read (folder.File "t.npz") |> Map.ofSeq
              Expect.equal (arrays["x"].Shape) [| steps + 1; n; 2 |] ""
              Expect.isLessThan (largest (Tensor.select 0 steps arrays["x"] - found)) 1e-12 ""
              Expect.isLessThan (largest (Tensor.select 0 0 arrays["x"] - 50.0 * unit)) 1e-12 ""
              // The last estimate of the data is the sample: the last step denoises.
              Expect.isLessThan (largest (Tensor.select 0 (steps - 1) arrays["denoised"] - found)) 1e-12 ""
              let called, levels = Tensor.toFloats arrays["call_sigma"], Tensor.toFloats arrays["sigma"]
              Expect.equal called (levels[.. steps - 1]) ""
              Expect.within 1e-10 (called[0]) 50.0 ""
              Expect.within 1e-10 (called[steps - 1]) 0.01 ""

          // With one Brownian motion twice as many steps lead near the same sample; with new draws they do not.
          testCase "a Brownian motion's sample is the same at another number of steps"
          <| fun () ->
              use folder = folderWith three
              let words steps = [ "--path"; "vp"; "--solver"; "sde-dpmpp-2m"; "-n"; "50"; "--steps"; string steps ]
              let typical (x: Tensor) = sqrt ((Tensor.mean (Tensor.square x)).ToFloat())
              let along = sample folder (words 200 @ [ "--brownian" ]) - sample folder (words 400 @ [ "--brownian" ])
              let fresh = sample folder (words 200) - sample folder (words 400)
              Expect.isLessThan (typical along) (0.1 * typical fresh) ""

          // Adaptive steps end where the exact flow does.
          testCase "adaptive sampling is held to its tolerance"
          <| fun () ->
              use folder = folderWith one
              let x = noise folder 6
              let words = [ "--noise"; folder.File "x1.npy"; "--rtol" ]
              let exact = Tensor.ofArray [ 1; 2 ] [| 0.5; -1.0 |] + Tensor.ofArray [ 1; 2 ] [| 0.6; 1.3 |] * x
              Expect.isLessThan (largest (sample folder (words @ [ "1e-9" ]) - exact)) 1e-7 ""
              Expect.isGreaterThan (largest (sample folder (words @ [ "1e-3" ]) - exact)) 1e-7 ""

          testCase "an oracle can be evaluated: a coarse solver is above the floor, a fine one at it"
          <| fun () ->
              use folder = folderWith three

              let excess (words: string list) =
                  let outcome =
                      fokker (
                          [ "evaluate"
                            "--oracle"
                            folder.File "mixture.json"
                            "--draws"
                            "4"
                            "-n"
                            "200"
                            "--json"
                            "--quiet" ]
                          @ words
                      )

                  done' outcome
                  number "metrics.wasserstein2.standardErrorsAboveFloor" (json outcome)

              Expect.isGreaterThan (excess [ "--solver"; "euler"; "--steps"; "2" ]) 4.0 ""
              Expect.isLessThan (excess [ "--solver"; "rk4"; "--steps"; "40" ]) 4.0 ""

          testCase "a class of an oracle is sampled as the mixture of its components"
          <| fun () ->
              use folder = folderWith classes
              noise folder 9 |> ignore
              let words = [ "--start"; folder.File "x1.npy"; "--path"; "vp"; "--solver"; "rk4"; "--steps"; "9" ]
              let found = sample folder (words @ [ "--class"; "1" ])
              File.WriteAllText(
                  folder.File "mixture.json",
                  """{"means": [[-1.5, 0], [0.8, -1]], "stds": [0.5, 0.45]}"""
              )
              Expect.isLessThan (largest (sample folder words - found)) 1e-12 ""

          testCase "guidance of an oracle is that of the library, 1 is plain and 0 unconditional"
          <| fun () ->
              use folder = folderWith classes
              let x = noise folder 9
              let words =
                  [ "--start"
                    folder.File "x1.npy"
                    "--path"
                    "vp"
                    "--solver"
                    "heun"
                    "--steps"
                    "9"
                    "--batch"
                    "4" ]
              let found more = sample folder (words @ [ "--class"; "1" ] @ more)
              let guided = found [ "--guidance"; "2"; "--guidance-interval"; "0.1"; "5"; "--guidance-rescale"; "0.5" ]

              let model =
                  Mixture.model Path.vp Prediction.velocity (Mixture.ofJson "" classes)
                  |> Guidance.model { Scale = 2.0; Interval = Some(0.1, 5.0); Rescale = 0.5 }

              let plan =
                  { Sampling.plan Samplers.heun 9 model with
                      Kind = Kind.Float64
                      Span = { Noisy = 1.0; Clean = 0.0; Finish = Stop } }

              match
                  Sampling.run
                      plan
                      model
                      (Some(Tensor.ones Kind.Int64 [ 9 ]))
                      (Noise.fresh (Rng.ofSeed 0L |> Rng.named "sample"))
                      x
              with
              | Ok expected -> Expect.isLessThan (largest (guided - expected)) 1e-12 ""
              | Error failure -> failtest (string failure)

              Expect.isGreaterThan (largest (guided - found [])) 0.1 ""
              Expect.equal (largest (found [ "--guidance"; "1" ] - found [])) 0.0 ""
              Expect.isLessThan (largest (found [ "--guidance"; "0" ] - sample folder words)) 1e-12 ""

          // A classifier's s is that of classifier-free guidance, and 1 of the exact one is Bayes' rule.
          testTheory "the exact classifier guides as far as the class does" [ "vp"; "condot" ]
          <| fun (path: string) ->
              use folder = folderWith classes
              noise folder 64 |> ignore
              let noise = [ "--noise"; folder.File "x1.npy" ]
              let words = [ "--path"; path; "--class"; "1"; "--solver"; "rk4"; "--steps"; "40" ] @ noise
              let inside = [ "--from"; "0.999"; "--to"; "0.001" ]
              let by scale = sample folder (words @ inside @ [ "--guidance"; scale; "--classifier"; "exact" ])
              let plain more = sample folder (words @ inside @ more)
              // Sums of a few hundred velocities, each rounded to 1e-16 of the hundreds that it comes to near t = 0.999.
              Expect.isLessThan (largest (by "2" - plain [ "--guidance"; "2" ])) 1e-9 ""
              Expect.isLessThan (largest (by "1" - plain [])) 1e-9 ""
              Expect.isGreaterThan (largest (by "2" - by "1")) 0.01 ""
              // By itself it keeps inside the path, where the score is a velocity; what is left out are thousandths at both ends.
              let natural = sample folder (words @ [ "--guidance"; "1"; "--classifier"; "exact" ])
              Expect.isLessThan (largest (natural - sample folder words)) 0.02 ""

          testCase "a composition of one class is guidance, and of Gaussians of one covariance their product"
          <| fun () ->
              use folder = folderWith classes
              noise folder 64 |> ignore
              let words = [ "--path"; "vp"; "--solver"; "rk4"; "--steps"; "40"; "--noise"; folder.File "x1.npy" ]
              let composed = sample folder (words @ [ "--compose"; "1:2" ])
              let guided = sample folder (words @ [ "--guidance"; "2"; "--class"; "1" ])
              Expect.isLessThan (largest (composed - guided)) 1e-10 ""

              let means = [ -1.0, 0.5; 1.5, 1.0; 0.2, -1.0 ]
              let mixture (means: (float * float) list) =
                  let rows = String.Join(", ", means |> List.map (fun (x, y) -> $"[{x}, {y}]"))
                  let stds = String.Join(", ", means |> List.map (fun _ -> "[0.6, 0.8]"))
                  $$"""{"means": [{{rows}}], "stds": [{{stds}}]}"""

              File.WriteAllText(folder.File "mixture.json", mixture means)
              let composed = sample folder (words @ [ "--compose"; "0:1.5, 2:-0.75, 1:0.25" ])
              let at (part: float * float -> float) = 1.5 * part means[0] + 0.25 * part means[1] - 0.75 * part means[2]
              File.WriteAllText(folder.File "mixture.json", mixture [ at fst, at snd ])
              Expect.isLessThan (largest (composed - sample folder words)) 1e-9 ""

          testCase "the density of a class is that of its components, in closed form and along the flow"
          <| fun () ->
              use folder = folderWith classes
              let x = noise folder 9
              let exact = Mixture.logDensityOfData (Mixture.ofClass 1 (Mixture.ofJson "" classes)) x

              for way, tolerance in [ [], 1e-12; [ "--method"; "flow"; "--solver"; "rk4"; "--steps"; "100" ], 1e-3 ] do
                  let file = folder.File "logp.npy"
                  let words = [ "--data"; folder.File "x1.npy"; "--label"; "1"; "--out"; file; "--quiet" ]
                  done' (fokker ([ "likelihood"; "--oracle"; folder.File "mixture.json" ] @ words @ way))
                  Expect.isLessThan (largest (Npy.read file - exact)) tolerance ""

          testCase "an oracle's log-density is the closed form, and the flow agrees with it"
          <| fun () ->
              use folder = folderWith three
              let law = Mixture.ofJson "" three
              let x = Mixture.sample 20 (Rng.ofSeed 2L) law
              Npy.write (folder.File "x.npy") x

              let density words =
                  let file = folder.File "logp.npy"
                  let outcome =
                      likelihood (
                          [ "--oracle"; folder.File "mixture.json"; "--data"; folder.File "x.npy"; "--out"; file ]
                          @ words
                      )
                  done' outcome
                  let found = Npy.read file
                  Expect.equal found.Dtype Dtype.Float64 ""
                  let nats = number "nats.value" (json outcome)
                  Expect.within 1e-12 nats ((Tensor.mean found).ToFloat()) ""
                  Expect.within 1e-12 (number "bitsPerDimension.value" (json outcome)) (-nats / 2.0 / Math.Log 2.0) ""
                  found

              let exact = Mixture.logDensityOfData law x
              Expect.isLessThan (largest (density [] - exact)) 1e-12 ""

              for path in [ "condot"; "ou"; "vp"; "sub-vp"; "trigonometric"; "cosine" ] do
                  let flow = density [ "--method"; "flow"; "--path"; path; "--solver"; "rk4"; "--steps"; "100" ]
                  Expect.isLessThan (largest (flow - exact)) 1e-3 path

              let later = density [ "--path"; "vp"; "--time"; "0.4" ]
              Expect.isLessThan
                  (largest (later - Mixture.logDensity Path.vp law (Tensor.scalar Kind.Float64 0.4) x))
                  1e-12
                  ""
              let flow =
                  density [ "--path"; "vp"; "--time"; "0.4"; "--method"; "flow"; "--steps"; "200"; "--trace"; "exact" ]
              Expect.isLessThan (largest (flow - later)) 1e-3 ""

          // Whatever a network has learnt, its flow's density integrates to one in the data's units: the constants are right.
          testCase "a run's density integrates to one over the plane"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              done' (fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small))
              let units = (Datasets.load "moons").Units
              let n, reach = 61, 7.0
              let line = Array.init n (fun k -> reach * (2.0 * float k / float (n - 1) - 1.0))
              let grid =
                  Tensor.ofArray
                      [ n * n; 2 ]
                      [| for y in line do
                             for x in line do
                                 x
                                 y |]
              Npy.write (folder.File "x.npy") (Units.toData units grid)
              let file = folder.File "logp.npy"
              done' (likelihood [ "first"; "--runs"; root; "--data"; folder.File "x.npy"; "--out"; file ])
              let cell = (2.0 * reach / float (n - 1)) ** 2.0 * units.Scale[0] * units.Scale[1]
              let total = cell * (Tensor.sum (exp (Npy.read file))).ToFloat()
              // Cells a quarter of the law's width, 25 steps of Heun, tails beyond seven deviations.
              Expect.within 0.01 total 1.0 ""

          testCase "held-out data have a likelihood under a run, with a standard error"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              done' (fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small))
              let outcome = likelihood [ "first"; "--runs"; root; "-n"; "64"; "--trace"; "rademacher" ]
              done' outcome
              let found = json outcome
              Expect.between (-20.0) 0.0 (number "nats.value" found) ""
              Expect.isGreaterThan (number "nats.standardError" found) 0.0 ""
              Expect.equal (number "count" found) 64.0 ""

          testTheory "a model must be named, once, and be there" [ "sample"; "evaluate"; "likelihood" ]
          <| fun (command: string) ->
              refused (fun _ -> [ command ]) [ "say which run"; "--oracle" ]
              refused (fun f -> [ command; "moons"; "--oracle"; f.File "mixture.json" ]) [ "moons"; "two models" ]
              refused (fun f -> [ command; "--oracle"; f.File "mixtur.json" ]) [ "mixtur.json"; "no such file" ]
              refused
                  (fun f -> [ command; "--oracle"; f.File "mixture.json"; "--path"; "vpp" ])
                  [ "vpp"; "did you mean vp" ]
              refused
                  (fun f -> [ command; "--oracle"; f.File "mixture.json"; "--prediction"; "velocty" ])
                  [ "did you mean velocity" ]
              refused
                  (fun f -> [ command; "--oracle"; f.File "mixture.json"; "--dtype"; "float16" ])
                  [ "--dtype"; "float16" ]
              refused
                  (fun f -> [ command; "--oracle"; f.File "mixture.json"; "--sovler"; "heun" ])
                  [ "--sovler"; "--solver" ]
              refusedFor
                  """{"means": [[1, 2]], "std": [[1, 1]]}"""
                  (fun f -> [ command; "--oracle"; f.File "mixture.json" ])
                  [ "\"std\"" ]

          testCase "a path of its own is not given to a run"
          <| fun () ->
              use folder = new Folder()
              done' (fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; folder.File "runs" ] @ small))

              for option, value in [ "--path", "vp"; "--prediction", "noise" ] do
                  assertRefused
                      (fokker [ "sample"; "first"; option; value; "--runs"; folder.File "runs" ])
                      [ option; "--oracle" ]

              assertRefused
                  (fokker [ "likelihood"; "first"; "--method"; "exact"; "--runs"; folder.File "runs" ])
                  [ "--method exact"; "--method flow" ]

          testCase "noise or steps that cannot be are refused"
          <| fun () ->
              let sample words (f: Folder) =
                  [ "sample"; "--oracle"; f.File "mixture.json"; "--out"; f.File "x0.npy" ] @ words f
              refused (sample (fun f -> [ "--start"; f.File "wide.npy" ])) [ "--start"; "wide.npy"; "[5; 3]"; "[n; 2]" ]
              refused (sample (fun f -> [ "--noise"; f.File "none.npy" ])) [ "none.npy"; "no samples" ]
              refused (sample (fun f -> [ "--noise"; f.File "nan.npy" ])) [ "nan.npy"; "finite" ]
              refused (sample (fun f -> [ "--noise"; f.File "nowhere.npy" ])) [ "nowhere.npy"; "no such file" ]
              refused (sample (fun f -> [ "--noise"; f.File "x.npy"; "-n"; "3" ])) [ "-n 3"; "--noise" ]
              refused
                  (sample (fun f -> [ "--start"; f.File "x.npy"; "--noise"; f.File "x.npy" ]))
                  [ "--start"; "--noise" ]
              refused (sample (fun f -> [ "--replay"; f.File "x.npy" ])) [ "--replay"; "heun"; "stochastic" ]
              refused (sample (fun _ -> [ "--brownian" ])) [ "--brownian"; "heun" ]

              refused
                  (sample (fun f -> [ "--solver"; "ancestral"; "--replay"; f.File "x.npy" ]))
                  [ "--replay"; "x.npy"; "[draws; n; 2]" ]

              refused
                  (sample (fun f -> [ "--solver"; "ancestral"; "--replay"; f.File "one.npy"; "--steps"; "9" ]))
                  [ "draw 2"; "1 were given" ]

              refused (sample (fun _ -> [ "--eta"; "0.5" ])) [ "--eta 0.5"; "heun"; "ddim-eta" ]
              refused (sample (fun _ -> [ "--solver"; "edm"; "--churn"; "-1" ])) [ "churn=-1"; "at least 0" ]
              refused (sample (fun _ -> [ "--rtol"; "0" ])) [ "--rtol 0"; "positive" ]
              refused (sample (fun _ -> [ "--rtol"; "1e-5"; "--steps"; "9" ])) [ "--steps"; "--rtol" ]
              refused (sample (fun _ -> [ "--rtol"; "1e-5"; "--solver"; "dpmpp-2m" ])) [ "dpmpp-2m"; "dx/dt" ]
              refused
                  (sample (fun f -> [ "--rtol"; "1e-5"; "--trajectory"; f.File "t.npz" ]))
                  [ "--trajectory"; "--rtol" ]
              refused (sample (fun f -> [ "--trajectory"; f.File "t.npy" ])) [ "t.npy"; ".npz" ]
              refused (sample (fun _ -> [ "--parallel"; "0" ])) [ "--parallel 0"; "at least" ]
              refused (sample (fun _ -> [ "--parallel"; "4"; "--solver"; "heun" ])) [ "heun"; "ddim" ]
              refused (sample (fun _ -> [ "--parallel"; "4"; "--rtol"; "1e-5" ])) [ "--parallel 4"; "--rtol" ]
              refused (sample (fun _ -> [ "--parallel-tolerance"; "0.1" ])) [ "--parallel-tolerance 0.1"; "--parallel" ]
              refused
                  (sample (fun _ -> [ "--parallel"; "4"; "--parallel-tolerance"; "-1" ]))
                  [ "--parallel-tolerance -1" ]
              refused (sample (fun _ -> [ "--solver"; "ancestral-learned" ])) [ "ancestral-learned"; "hybrid" ]
              refused (sample (fun _ -> [ "--grid"; "leading"; "--steps"; "2000" ])) [ "leading"; "1000"; "fewer" ]
              refused (sample (fun _ -> [ "--steps"; "0" ])) [ "--steps 0"; "at least 1" ]
              refused (sample (fun _ -> [ "--label"; "3" ])) [ "--class 3"; "0 to 2" ]
              refused (sample (fun _ -> [ "--from"; "2" ])) [ "--from 2"; "0" ]
              refused
                  (sample (fun _ -> [ "--from"; "0.2"; "--to"; "0.5" ]))
                  [ "--from 0.2"; "--to 0.5"; "noise to data" ]
              refused
                  (sample (fun _ -> [ "-n"; "5"; "--prediction"; "noise"; "--from"; "1" ]))
                  [ "noise"; "velocity"; "t = 1" ]

          testCase "steps in parallel give the sequential samples, in fewer calls"
          <| fun () ->
              use folder = folderWith three
              noise folder 9 |> ignore
              let words = [ "--path"; "vp"; "--prediction"; "noise"; "--steps"; "60"; "--noise"; folder.File "x1.npy" ]
              let expected = sample folder (words @ [ "--solver"; "ddim" ])
              let exact = sample folder (words @ [ "--parallel"; "16"; "--parallel-tolerance"; "0" ])
              Expect.within 1e-12 (largest (exact - expected)) 0.0 ""

              let result =
                  fokker (
                      [ "sample"
                        "--oracle"
                        folder.File "mixture.json"
                        "--out"
                        folder.File "x0.npy"
                        "--parallel"
                        "16"
                        "--json" ]
                      @ words
                  )

              Expect.isLessThan (number "calls" (json result)) 60.0 ""
              Expect.isLessThan (largest (Npy.read (folder.File "x0.npy") - expected)) 0.1 ""

              // A page films the same steps one after the other.
              done' (
                  fokker (
                      [ "sample"
                        "--oracle"
                        folder.File "mixture.json"
                        "--out"
                        folder.File "x0.html"
                        "--parallel"
                        "16" ]
                      @ words
                  )
              )

          testCase "guidance of an oracle that cannot be is refused"
          <| fun () ->
              let sample words (f: Folder) =
                  [ "sample"; "--oracle"; f.File "mixture.json"; "--out"; f.File "x0.npy" ] @ words
              refused (sample [ "--guidance"; "2" ]) [ "--guidance 2"; "--class" ]
              refused (sample [ "--guidance"; "NaN"; "--class"; "1" ]) [ "--guidance NaN"; "1 plain" ]
              refused (sample [ "--guidance-interval"; "0.1"; "2" ]) [ "--guidance-interval"; "--guidance" ]
              refused
                  (sample [ "--guidance"; "2"; "--guidance-interval"; "2"; "0.1" ])
                  [ "--guidance-interval 2 0.1"; "lower" ]
              refused (sample [ "--guidance"; "2"; "--guidance-rescale"; "1.5" ]) [ "--guidance-rescale 1.5"; "from 0" ]
              refused (sample [ "--autoguidance"; "weak" ]) [ "--autoguidance"; "--guidance" ]
              refused (sample [ "--guidance"; "2"; "--autoguidance"; "weak" ]) [ "weak" ]
              refused (fun f -> [ "evaluate"; "--oracle"; f.File "mixture.json"; "--guidance"; "2" ]) [ "--class" ]
              refusedFor one (sample [ "--guidance"; "2"; "--class"; "0" ]) [ "--guidance 2"; "one class" ]
              refused (sample [ "--classifier"; "exact"; "--class"; "0" ]) [ "--classifier exact"; "--guidance" ]
              refused (sample [ "--classifier"; "exact"; "--guidance"; "2" ]) [ "--guidance 2"; "--class" ]
              refused (sample [ "--classifier"; "nobody"; "--guidance"; "2"; "--class"; "0" ]) [ "nobody" ]

              for option in
                  [ [ "--autoguidance"; "weak" ]; [ "--guidance-interval"; "0"; "1" ]; [ "--guidance-rescale"; "1" ] ] do
                  refused
                      (sample ([ "--classifier"; "exact"; "--guidance"; "2"; "--class"; "0" ] @ option))
                      [ "--classifier exact"; option.Head; "leave one" ]
                  refused (sample ([ "--compose"; "0:1" ] @ option)) [ "--compose 0:1"; option.Head; "leave one" ]

              refused (sample [ "--compose"; "0:1"; "--guidance"; "2" ]) [ "--compose 0:1"; "--guidance"; "leave one" ]
              refused (sample [ "--compose"; "0:1"; "--classifier"; "exact" ]) [ "--compose 0:1"; "--classifier" ]
              refused (sample [ "--compose"; "0:1"; "--class"; "0" ]) [ "--class 0"; "--compose"; "leave one" ]
              refused (sample [ "--compose"; "0" ]) [ "--compose 0"; "CLASS:WEIGHT" ]
              refused (sample [ "--compose"; "0:1,1:0" ]) [ "class 1"; "other than 0" ]
              refused (sample [ "--compose"; "0:1,0:2" ]) [ "class 0"; "twice" ]
              refused (sample [ "--compose"; "7:1" ]) [ "--compose 7"; "0 to" ]
              refusedFor one (sample [ "--compose"; "0:1" ]) [ "--compose 0:1"; "one class" ]

              for labels, what in
                  [ "[0, 1]", "\"labels\""
                    "[0, 0.5, 1]", "whole number"
                    "[0, 2, 2]", "no component has the label 1"
                    "[0, -1, 1]", "-1" ] do
                  refusedFor
                      $"{{\"means\": [[0], [1], [2]], \"stds\": [1, 1, 1], \"labels\": {labels}}}"
                      (sample [])
                      [ "mixture.json"; what ]

          testCase "a likelihood that cannot be had is refused"
          <| fun () ->
              let likelihood words (f: Folder) =
                  [ "likelihood"; "--oracle"; f.File "mixture.json"; "--out"; f.File "logp.npy" ] @ words f

              refused (likelihood (fun f -> [ "--data"; f.File "wide.npy" ])) [ "--data"; "wide.npy"; "[n; 2]" ]
              refused (likelihood (fun f -> [ "--data"; f.File "x.npy"; "-n"; "4" ])) [ "-n 4"; "--data" ]
              refused (likelihood (fun _ -> [ "--time"; "0.5" ])) [ "--time 0.5"; "--data" ]
              refused (likelihood (fun f -> [ "--data"; f.File "x.npy"; "--time"; "1.5" ])) [ "--time 1.5" ]
              refused
                  (likelihood (fun f -> [ "--data"; f.File "x.npy"; "--time"; "1"; "--method"; "flow" ]))
                  [ "--time 1"; "earlier" ]
              refused (likelihood (fun _ -> [ "--solver"; "heun" ])) [ "--solver"; "--method flow" ]
              refused (likelihood (fun _ -> [ "--method"; "flwo" ])) [ "flwo"; "flow" ]
              refused
                  (likelihood (fun _ -> [ "--method"; "flow"; "--trace"; "rademachr" ]))
                  [ "rademachr"; "did you mean rademacher" ]
              refused
                  (likelihood (fun _ -> [ "--method"; "flow"; "--solver"; "euler-maruyama" ]))
                  [ "euler-maruyama"; "dx/dt" ]
              refused (likelihood (fun f -> [ "--data"; f.File "x.npy"; "--label"; "3" ])) [ "--class 3"; "0 to 2" ]
              refused
                  (likelihood (fun f -> [ "--data"; f.File "x.npy"; "--guidance"; "2" ]))
                  [ "--guidance 2"; "leave it out" ]

              refusedFor
                  """{"means": [[0, 0]], "stds": [[0, 1]]}"""
                  (likelihood (fun f -> [ "--data"; f.File "x.npy" ]))
                  [ "not finite"; "--time" ] ]
