(**
---
title: A part of your own
category: In use
categoryindex: 3
index: 7
---
*)

(**
# A part of your own

After this page you can train with a path, a weight, a law of times, a loss and a network of your own, and sample with a sampler and a Runge–Kutta method of your own, from a script.

This page is a script. It ran when the page was made: in a checkout, `./build.sh` compiles the library, and `dotnet fsi docs/extending.fsx` runs it again. What it
makes is given to the library as a value (`OwnParts`): nothing is registered anywhere, and the library's own lists stay as they are.
*)

#r "../src/bin/Release/net10.0/Fokker.dll"
#r "../src/Tool/bin/Release/net10.0/Fokker.Tool.dll"
open System.IO
open Fokker

(*** hide ***)
#load "Figures.fs"
open Figures

(**
## A path

Two curves, or $\log\alpha$ of a variance-preserving one. Its SDE, its flow, its log-SNR and all conversions follow. A part that leaves a number open names it, with its default, its
range and its meaning; `own-power:k=3` is then how the command line and `run.json` write it.
*)

let power =
    Part.of1
        (Parameter.make "k" 2.0 Allowed.Positive "k, how late the noise comes")
        (fun k ->
            Path.ofLogAlpha
                "own-power"
                $"α² = 1 − t^k, k = {k}"
                "this page"
                (0.5 * Curve.log1p (-(Curve.time ** k))))

(**
## A weight and a law of times

A weight is stated for the error of one quantity. On a network that says something else the conversion's square comes with it, so that the loss stays the same loss. This one is
$1/(1 + e^{2\lambda - b})$ on the noise: times that are nearly clean count less (Kingma and Gao 2023 have it as the sigmoid weighting).
*)

let sigmoid =
    Part.of1
        (Parameter.make
            "b"
            2.0
            Allowed.Real
            "b, the log-SNR at which it has fallen to half")
        (fun b ->
            Weight.onErrorOf
                Prediction.noise
                "own-sigmoid"
                $"1/(1 + e^(2λ − b)), b = {b}"
                "Kingma, Gao 2023, Understanding diffusion objectives, section 4"
                (fun path -> 1.0 / (1.0 + exp (2.0 * path.Lambda - b))))

(** Any density that is a curve is a law of times, by its tabulated integral: *)

let middle =
    Part.fixedAt
        { Times.proportionalTo (fun _ -> Curve.time * (1.0 - Curve.time)) with
            Name = "own-middle"
            Equation = "p(t) ∝ t (1 − t)"
            Reference = "this page" }

(**
## A loss

A loss is a function of the network, a key for what is drawn, and a batch: one number for each sample. An `Objective` says what it makes of a network, here a model whose output is a
velocity. The entry names the parts that it is made of, each with the one that it has unless another is asked for; a part that is not named is refused.

This one is regression on the velocity by a distance that grows like a norm where the error is large.
*)

let robust: Part<LossEntry> =
    let equation = "E w(t) (√(‖v − v̂‖² + c²) − c)"

    let loss (c: float) (parts: Parts) : Loss =
        let draw = parts.Times.Draw parts.Path
        let weight = parts.Weight.Of parts.Path Prediction.velocity

        fun context rng batch ->
            let x0 = batch.Data
            let t = draw (Rng.named "times" rng) x0.Shape[0]
            let noise = Rng.normalLike x0 (Rng.named "noise" rng)
            let said =
                context.Network batch.Label t (Path.sample parts.Path t x0 noise)
            let error =
                said - Prediction.target parts.Path Prediction.velocity t x0 noise
            let distance = sqrt (Tensor.sumRows (Tensor.square error) + c * c) - c
            Coefficient.combine [ (Curve.at weight t, distance) ]

    let entry c : LossEntry =
        { Name = "own-robust"
          Summary =
            "Regression on the velocity by a distance that outliers do not rule."
          Equation = equation
          Reference = "this page"
          Uses =
            [ Setting.Path, None
              Setting.Weight, Some(PartName.plain "own-sigmoid")
              Setting.Times, Some(PartName.plain "own-middle") ]
          Make =
            fun parts ->
                loss c parts
                |> Objective.predicting
                    "own-robust"
                    equation
                    "this page"
                    parts.Path
                    Prediction.velocity }

    Part.of1
        (Parameter.make
            "c"
            0.1
            Allowed.Positive
            "c, below which the distance is a square")
        entry

(**
## A network

A network is a pure function of its parameters. A `Blueprint` takes down which there are while the layers are made; each layer remembers where its own stand. What is asked for (the
shape of a sample, the width, whether it is told two times, how many numbers it says of each coordinate) comes in a `NetworkRequest`, and is what a model's file keeps: whoever reads
it gives the part again.
*)

let gated: Part<NetworkRequest -> Network> =
    let name = "own-gated"

    let make (ask: NetworkRequest) : Network =
        let size = List.fold (*) 1 ask.Sample
        let b = Blueprint()
        let features =
            Embedding.fourierOf ask.Times (Embedding.gaussianFrequencies 1.0 16)
        let first =
            Layer.linearOf (b.Inside "input") [ size; 32 * ask.Times ] ask.Width

        let blocks =
            [ for k in 1 .. ask.Depth ->
                  let inside = b.Inside $"block{k}"
                  Layer.linear (inside.Inside "value") ask.Width ask.Width,
                  Layer.linear (inside.Inside "gate") ask.Width ask.Width ]

        let last =
            Layer.linearFromZero (b.Inside "output") ask.Width (ask.Outputs * size)
        let specs = b.Specs

        let apply (p: Tensor[]) (condition: Condition) : Field =
            Network.check name specs p
            Network.checkCondition name None condition

            fun t x ->
                Network.checkInput name ask.Sample ask.Times condition t x

                blocks
                |> List.fold
                    (fun h (value, gate) ->
                        h + Tensor.silu (value p h) * Tensor.sigmoid (gate p h))
                    (first p [ x; (features t).To x.Kind ])
                |> last p

        { Name = name
          Settings = []
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    { Name = name
      Summary = ""
      Equation = "blocks h + silu(W h) · sigmoid(V h), for vectors"
      Reference = "this page"
      Parameters = []
      Make = fun _ -> make }

(**
## A Runge–Kutta method

Its tableau, and the order that it has: one that is of another order does not come into being.
*)

let heun3 =
    Tableau.make
        "own-heun3"
        "Heun 1900"
        3
        [ 0.0; 1.0 / 3.0; 2.0 / 3.0 ]
        [ [ 1.0 / 3.0 ]; [ 0.0; 2.0 / 3.0 ] ]
        [ 0.25; 0.0; 0.75 ]
        []

try
    Tableau.make
        "wrong"
        ""
        3
        [ 0.0; 0.5; 1.0 ]
        [ [ 0.5 ]; [ 0.0; 1.0 ] ]
        [ 0.25; 0.5; 0.25 ]
        []
    |> ignore
with :? System.ArgumentException as refused ->
    printfn "%s" refused.Message

(*** include-output ***)

(**
## A sampler

A rule for the integral in $\lambda$ is a multistep method; [which sampler](samplers.html) has the other kinds, a step of its own and what wraps a step.
*)

let four =
    Samplers.multistep
        "own-four"
        "the polynomial in λ through four values of x̂₀"
        "this page"
        2
        (Exponential.adamsBashforth OfData 0.0 4)

(**
Both held against a law that is known exactly, as everything can be:
*)

let law =
    Mixture.ofStds
        [| 0.4; 0.6 |]
        (Tensor.ofArray [ 2; 1 ] [| -1.5; 1.0 |])
        (Tensor.ofArray [ 2; 1 ] [| 0.25; 0.4 |])

let square (sampler: Sampler) =
    let model = Mixture.model (Part.standard power) Prediction.noise law
    let plan = Sampling.plan sampler 40 model

    match Sampling.draw plan model None [ 1 ] 4000 4000 (Rng.ofSeed 1L) with
    | Ok x -> (Tensor.mean (Tensor.square x)).ToFloat()
    | Error failure -> failwith $"{failure}"

for sampler in [ four; Samplers.ofTableau heun3 ] do
    printfn $"%-10s{sampler.Name} E x² = %.2f{square sampler}, in truth 1.62"

(*** include-output ***)

(*** hide ***)
// 4,000 squares of standard deviation 1.5 have a mean to ±0.024: four of these, and what 40 steps leave.
for sampler in [ four; Samplers.ofTableau heun3 ] do
    expect sampler.Name 1.621 0.13 (square sampler)

(**
## A run, and its report

All of it together is one value, and is given where names are looked up. The loss brings the weight and the law of times that it named.
*)

let mine =
    { OwnParts.none with
        Paths = [ power ]
        Weights = [ sigmoid ]
        Times = [ middle ]
        Losses = [ robust ]
        Networks = [ gated ]
        Samplers = [ Part.fixedAt four; Part.fixedAt (Samplers.ofTableau heun3) ] }

let data = Datasets.load "moons"

let recipe =
    TrainingRequest.overAmong
        (Known.including mine)
        (Recipe.standardFor data)
        { TrainingRequest.standard with
            Loss = Some "own-robust:c=0.05"
            Path = Some "own-power:k=2"
            Network = Some "own-gated"
            Width = Some 64
            Depth = Some 2
            Batch = Some 128
            Steps = Some 400L }

printfn
    $"{recipe.Loss} on {recipe.Path.Value}, {recipe.Weight.Value}, {recipe.Times.Value}"
(*** include-output ***)

(**
`Run.train` trains it in a folder, and stops when it is asked to; here after 150 steps.
*)

let root = Path.Combine(Path.GetTempPath(), $"fokker-own-{System.Guid.NewGuid():N}")
let folder = Runs.place root "mine"

let until (last: int64) =
    use claim = Run.claim folder.Path
    let mutable step = 0L
    Run.create claim (Recipe.settings recipe)

    Run.train
        claim
        (Job.plan (Runs.jobWith root mine recipe data))
        (fun info _ -> step <- info.Step)
        (fun () -> step >= last)

let stopped = until 150L
printfn $"{stopped.Ending} after step {stopped.State.Step}"
(*** include-output ***)

(**
The command line takes the parts too, as a function: what it does in a shell it does here, with names that stand for yours. `Program.runWith mine words` says what it has to say as it
would in a shell; here it says it to the page. It goes on with the run, draws samples, measures them and writes the report:
*)

let fokker (words: string list) =
    use said = new StringWriter()
    let terminal = { Fokker.Tool.Terminal.ofProcess () with Out = said; Own = mine }
    let code =
        Fokker.Tool.Program.run terminal (words @ [ "--runs"; root; "--quiet" ])
    printf "%s" ((string said).Replace(root, "runs"))

    if code <> 0 then
        failwith $"it ended with code {code}"

fokker [ "train"; "--resume"; "--name"; "mine"; "--draws"; "2" ]

let kept = Run.settings folder.Path
printfn
    $"""run.json: {kept["loss"].ToJsonString()} on {kept["path"].ToJsonString()}"""
printfn $"a report of {(FileInfo folder.Report).Length / 1024L / 1024L} MB"
(*** include-output ***)

(**
Samples by the sampler of this page, through the shell's words or in the library:
*)

fokker
    [ "sample"
      "mine"
      "-n"
      "200"
      "--solver"
      "own-four"
      "--out"
      folder.File "drawn.npy" ]

let model =
    Runs.networkWith mine root None None "mine" ||> GenerativeModel.ofTrained
let drawn = Samples.ofSeed 1L 500 model

let file = Npy.read (folder.File "drawn.npy")
printfn $"{file.Describe()}, {drawn.Describe()}"
(*** include-output ***)

(** Whoever has not got the parts is told so, and nothing is guessed: *)

try
    Runs.load root None None "mine" |> ignore
with :? UserError as refused ->
    printfn "%s" (refused.Message.Replace(root, "runs"))

(*** include-output ***)

(*** hide ***)
Directory.Delete(root, true)

(**
## In the library itself

A part that everybody should have goes into its module's `parts`, as these do: a path into [src/Paths.fs](../src/Paths.fs), a weight or a law of times into
[src/Loss.fs](../src/Loss.fs), a loss into its family ([src/Losses/Equilibrium.fs](../src/Losses/Equilibrium.fs) is a short one) and the list of [src/Runs/Objectives.fs](../src/Runs/Objectives.fs), a network into [src/Networks/Networks.fs](../src/Networks/Networks.fs), a sampler into
[src/Sampling/Samplers.fs](../src/Sampling/Samplers.fs). The command line, `fokker list`, C#'s catalogue (`./build.sh Catalogue`), the laws that draw from all paths, the tests and the
documentation know it from then on. [CONTRIBUTING.md](../CONTRIBUTING.md) has a table of the files that each kind touches.

A prediction is its pair $(A, B)$ of $A\,x_0 + B\,\varepsilon$; a coupling is a function of two batches to pairs of indices; both go into `OwnParts` as the others do.

## A page of this guide

A Markdown file or a literate script under `docs/`, with a title, a category and a place in its front matter, a first sentence that says what its reader can do after it, and a line in
[index.md](index.md); tests hold it to that, and its links to leading somewhere. A script runs by itself and again inside the page, so it is to take seconds; a number that its text
relies on is held by `expect` in a hidden piece (`docs/Figures.fs`), and the build fails where it is another one. The C# of `start-csharp.md`, its pieces put together, is a program that
has to run. `./build.sh Docs` makes the pages, sets the formulas, and follows every link; `./build.sh Docs pages` makes them without running anything.
*)
