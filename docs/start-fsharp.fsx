(**
---
title: In F#
category: Start here
categoryindex: 1
index: 2
---
*)

(**
# Start here, in F#

After this page you can sample a law that is known exactly, train a network, and measure and score its samples, in a script of F#.

This page is a script. It ran when the page was made: in a checkout, `./build.sh` compiles the library, and `dotnet fsi docs/start-fsharp.fsx` runs it again.
*)

#r "../src/bin/Release/net10.0/Fokker.dll"
open Fokker

(*** hide ***)
#load "Figures.fs"
open Figures

(**
## Without a network

A **path** $x_t = \alpha(t)\,x_0 + \sigma(t)\,\varepsilon$ joins the data, at $t = 0$, to noise, at $t = 1$. It is made of two curves, and curves know their derivatives:
*)

let path =
    Path.ofCurves
        "half-cosine"
        "α = cos(πt/2), σ = t"
        ""
        (cos (0.5 * System.Math.PI * Curve.time))
        Curve.time

(**
A **model** is a path, a function of $(t, x)$, and what that function's values mean. Here it is no trained network but the exact velocity for a mixture of two
Gaussians, known in closed form. What is off in the samples is then the solver's:
*)

let law =
    Mixture.ofStds
        [| 1.0; 2.0 |]
        (Tensor.ofArray [ 2; 1 ] [| -2.0; 1.0 |])
        (Tensor.ofArray [ 2; 1 ] [| 0.3; 0.5 |])

let exact = Mixture.model path Prediction.velocity law

let mean (sampler: Sampler) steps =
    let plan = Sampling.plan sampler steps exact

    match Sampling.draw plan exact None [ 1 ] 10000 2500 (Rng.ofSeed 1L) with
    | Ok x -> (Tensor.mean (Tensor.square x)).ToFloat()
    | Error failure -> failwith $"{failure}"

for sampler, steps in [ Samplers.euler, 40; Samplers.heun, 20; Samplers.rk4, 10 ] do
    printfn $"%-8s{sampler.Name} %3d{steps} steps: E x² = %.3f{mean sampler steps}"

(*** include-output ***)

(**
The truth is $\tfrac13(4 + 0.09) + \tfrac23(1 + 0.25) = 2.197$; ten thousand draws know it to $\pm 0.017$. [Which sampler](samplers.html) has the whole comparison.
*)

(*** hide ***)
// 4 standard errors of the mean of x² over 10,000 draws, and the solver's error.
expect "E x² by Heun" 2.197 0.08 (mean Samplers.heun 20)

(**
## With a network

A **loss** is made of parts, each replaceable: a path, what the network predicts, how times are drawn and weighted. A network is a pure function of its parameters.
Training is a loop over a pure step:
*)

let regression =
    Loss.regression Path.condOT
    |> Loss.predicting Prediction.velocity
    |> Loss.timesFrom (Times.logitNormal 0.0 1.0)

let network = Networks.mlp { Mlp.standard 2 with Width = 128 }
let key = Rng.ofSeed 1L
let moons = Dataset.ofLaw Plane.moons
let batches = Dataset.batches Kind.Float32 256 (Rng.named "batches" key) moons

let trained, ending =
    Trainer.run
        Trainer.standard
        network
        (Loss.ofRegression regression)
        batches
        (Budget.Steps 2000L)
        0.0
        { Stepped = fun _ _ _ -> ()
          Stop = fun () -> false }
        (Trainer.init Kind.Float32 (Rng.named "network" key) network)

(**
What was learned is a model like the exact one, and every sampler takes it:
*)

let model = Loss.model regression (network.Apply trained.Average)
let plan = Sampling.plan Samplers.heun 25 model

let samples =
    match Sampling.draw plan model None [ 2 ] 1000 500 (Rng.ofSeed 2L) with
    | Ok x -> x
    | Error failure -> failwith $"{failure}"

(**
The network sees the data in units of its own; `Units.toData` gives them back. How far are the samples from as many new data, and how far are two sets of data from each other?
*)

let made = Units.toData moons.Units samples
let fresh seed =
    Units.toData
        moons.Units
        (Dataset.batches Kind.Float32 1000 (Rng.ofSeed seed) moons 0L).Data
let distance =
    Wasserstein.exact (made.To Dtype.Float64) ((fresh 3L).To Dtype.Float64)
let floor =
    Wasserstein.exact ((fresh 3L).To Dtype.Float64) ((fresh 4L).To Dtype.Float64)
printfn
    $"2-Wasserstein distance to data %.3f{distance}; between two sets of data %.3f{floor}"
(*** include-output ***)

(*** hide ***)
let pairs (x: Tensor) =
    Tensor.toFloats x |> Array.chunkBySize 2 |> Array.map (fun p -> p[0], p[1])
let window = Some((-4.0, 4.0), (-2.5, 3.0))

panels
    "A thousand points of the data, and a thousand samples after 2,000 steps of training."
    [ { axes "" "data" with Window = window }, [ Dots("", pairs (fresh 3L)) ]
      { axes "" "samples" with Window = window }, [ Dots("", pairs made) ] ]

(*** include-it-raw ***)

(*** hide ***)
// A short training of a small network with fixed keys: 1.46 times the floor. Another processor's rounding makes it another training.
expect "distance over floor" 1.46 0.25 (distance / floor)

(**
And the flow that makes the samples also has a **density**, since along it $d\log p/dt = -\nabla\cdot v$:
*)

let likelihood = Likelihood.make Trace.exact plan model.Path

let held = (Dataset.batches Kind.Float32 200 (Rng.ofSeed 5L) moons 0L).Data

match Likelihood.logDensity likelihood model None (Rng.ofSeed 6L) held with
| Ok logDensity ->
    let nats = (Tensor.mean logDensity).ToFloat() - Units.logVolume moons.Units 2
    printfn $"mean log-likelihood of held-out data: %.2f{nats} nats"
| Error failure -> printfn $"{failure}"

(*** include-output ***)

(**
## Look at it

The package `Fokker.Charts` makes [Plotly.NET](https://plotly.net) charts of what a script has at hand: `Chart.samples`, `Chart.field`, `Chart.series`, `Chart.trajectories`, `Chart.loss`.
*)

#r "../src/Charts/bin/Release/net10.0/Fokker.Charts.dll" // or "nuget: Fokker.Charts"
#r "../src/Charts/bin/Release/net10.0/Plotly.NET.dll"
#r "../src/Charts/bin/Release/net10.0/DynamicObj.dll"
#r "../src/Charts/bin/Release/net10.0/Giraffe.ViewEngine.dll"
#r "../src/Charts/bin/Release/net10.0/Newtonsoft.Json.dll"
open Fokker // once more: the package adds to it
open Plotly.NET

let chart =
    Chart.samples [ "data", fresh 3L; "samples", made ]
    |> Chart.withTitle "Two moons"

let learned = Model.velocity model None

// The network computes in float32, the chart asks in float64.
let arrows =
    Chart.field
        (fun t x -> learned (t.To Dtype.Float32) (x.To Dtype.Float32))
        0.5
        (-3.0, 3.0)
        (-3.0, 3.0)

(**
`Chart.show chart` opens it in a browser; in a notebook it is the value of a cell.
*)

(*** hide ***)
expect
    "traces of the chart"
    2.0
    0.0
    (chart |> GenericChart.getTraces |> List.length |> float)

(**
## Where to go

The [theory](theory/01-noise.html) derives all of this in order. On the command line the same is `./fokker train moons`, `./fokker sample moons`, `./fokker likelihood moons`; it keeps runs on disk, resumes them
and writes reports. [Adding a part](extending.html) shows what a new path, weight or loss takes: usually one binding.
*)
