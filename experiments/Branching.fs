namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// What a latent x_t has already decided: Ho, Jain, Abbeel 2020, DDPM, figure 7. Stochastic samples share their noise down to a time t and go on by
/// themselves from there; they are draws of p(x₀ | x_t), and what they have in common is what x_t says.
module Branching =

    let private runName, steps = "study-guidance", 2000L

    /// Steps of ancestral sampling, and the places among them where samples part.
    let private sampling = 40
    let private places = [ 0; 8; 12; 14; 16; 18; 20; 26 ]
    let private branches = 6
    let private standardRoots = 24

    /// The start of every root, and the numbers of every step: a root's own before the place where its branches part, a branch's own after it. Rows are
    /// root after root, the branches of one together.
    let private numbers (rng: Rng) (shape: int list) (roots: int) (place: int) : Tensor * Noise =
        let shared (rng: Rng) = Tensor.repeatInterleave branches 0 (Rng.normal Kind.Float64 (roots :: shape) rng)

        let own (rng: Rng) = Rng.normal Kind.Float64 (roots * branches :: shape) rng

        let trunk, twigs = Rng.named "trunk" rng, Rng.named "branches" rng

        let draws =
            [ for k in 0 .. sampling - 1 ->
                  if k < place then shared (Rng.at (int64 k) trunk) else own (Rng.at (int64 k) twigs) ]

        shared (Rng.named "start" rng), Noise.given (Tensor.stack 0 draws)

    /// The mean of a value over the pairs of branches of one root, over roots.
    let private within (roots: int) (value: int -> int -> float) : Estimate =
        Measure.overDraws roots (fun root ->
            [ for i in 0 .. branches - 1 do
                  for j in 0 .. branches - 1 do
                      if i <> j then
                          value (root * branches + i) (root * branches + j) ]
            |> List.average)

    /// The same over pairs of samples of two roots.
    let private between (roots: int) (value: int -> int -> float) : float =
        let n = roots * branches

        [ for i in 0 .. n - 1 do
              for j in 0 .. n - 1 do
                  if i / branches <> j / branches then
                      value i j ]
        |> List.average

    [<NoComparison; NoEquality>]
    type private Outcome =
        {
            Time: float
            /// [roots · branches; …] in the network's units.
            Samples: Tensor
            /// E‖x − x'‖² of two branches of a root in that of two samples.
            Open: Estimate
            /// Pairs of branches that the classifier gives one class.
            SameClass: Estimate
            /// E‖x̂₀(x_t) − x₀‖²/E‖x₀ − E x₀‖² on held-out data.
            Unexplained: float
        }

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let folder = OwnRun.chosen terminal options runName [ "fashion-mnist" ] steps
        let model, data = OwnRun.opened terminal folder

        if not (data.IsImage && data.Classes.Length > 1 && (model.Null || not model.Labels)) then
            raise (
                UserError
                    $"--run {folder.Name}: the study wants images with classes, and a network that can do without: take a run trained on fashion-mnist with --label-dropout 0.1"
            )

        let score = model.ScoreModel(Setting.Model, folder.Name)
        let roots = max 2 (defaultArg options.Count standardRoots)

        let classifier =
            Progress.run terminal "classifier" 1.0 (fun report ->
                FeatureClassifier.cached (fun made all -> report (float made / float all) "") data)

        let rng = model.Stream "branching"
        let plan = { Sampling.plan Samplers.ancestral sampling score with Kind = model.Kind }
        let times = Sampling.times plan model.Path

        let truth = Dataset.heldOut model.Kind 1000 (Rng.named "held-out" rng) data

        /// The part of the data's variance that the denoiser leaves open at t.
        let unexplained (t: float) =
            Scope.run (fun () ->
                let x0 = truth.Data.To Dtype.Float64
                let time = Tensor.scalar Kind.Float64 t
                let noise = Rng.normalLike x0 (Rng.named "noise" rng)
                let x = Path.sample model.Path time x0 noise

                let said =
                    Tensor.split 100 0 x
                    |> Array.map (fun x -> (Model.denoiser score None time (x.To model.Kind.Dtype)).To Dtype.Float64)
                    |> Tensor.cat 0

                let error (from: Tensor) = (Tensor.mean (Tensor.square (x0 - from))).ToFloat()
                error said / error (Tensor.meanKeep [ 0 ] x0))

        let outcome (place: int) : Outcome =
            let samples =
                Scope.run (fun () ->
                    let start, noise = numbers rng data.Shape roots place
                    let x = Curve.eval model.Path.Sigma times[0] * start

                    match Sampling.run plan score None noise x with
                    | Ok x -> x.To Dtype.Float32
                    | Error failure -> raise (UserError $"sampling failed at {failure}"))

            let distances =
                Scope.run (fun () ->
                    let flat = Tensor.flattenRows (samples.To Dtype.Float64)
                    Tensor.toFloats (Wasserstein.squaredDistances flat flat))

            let n = samples.Shape[0]
            let distance i j = distances[i * n + j]
            let classes = Tensor.toArray<int64>(FeatureClassifier.classify classifier samples)
            let whole = between roots distance

            { Time = times[place]
              Samples = samples
              Open = within roots (fun i j -> distance i j / whole)
              SameClass = within roots (fun i j -> if classes[i] = classes[j] then 1.0 else 0.0)
              Unexplained = unexplained times[place] }

        let outcomes =
            Progress.run terminal "branching" 1.0 (fun report ->
                [ for k, place in List.indexed places do
                      report (float k / float places.Length) $"t = {times[place]:F2}"
                      outcome place ])

        let number (v: float) = v.ToString("F3", Globalization.CultureInfo.InvariantCulture)

        let estimate (e: Estimate) = Study.plusMinus (e.Mean, e.StandardError)

        /// The branches of one root, a row for each time.
        let strip (root: int) : ImageGrid =
            { Title = $"latent {root + 1}"
              Images =
                Scope.run (fun () ->
                    outcomes
                    |> List.map (fun o -> Tensor.narrow 0 (root * branches) branches o.Samples)
                    |> Tensor.cat 0
                    |> fun x -> SamplePicture.images model.Range (GenerativeModel.outside model x))
              Columns = branches
              Labels =
                outcomes
                |> List.collect (fun o -> $"t = {o.Time:F2}" :: List.replicate (branches - 1) "")
                |> Array.ofList }

        let line k label read : Line =
            { Label = label
              Tone = Tone.Series k
              Stroke = Stroke.Marked
              X = [| for o in outcomes -> o.Time |]
              Y = [| for o in outcomes -> read o |] }

        { DataSet = data.Name
          Summary =
            $"{roots} latents of `{folder.Name}` without a class, {branches} continuations of each from $x_t$ by ancestral sampling in {sampling} steps: how much of the image is open at t, and whether its class still is."
          Headlines = []
          Sections =
            [ Study.table
                  "What is open at t"
                  "*Open* is $E‖x − x'‖²$ of two continuations in that of samples of two latents, which is the part of the variance that $x_t$ leaves open. *Unexplained* is the same by the network's own word: the denoiser's squared error on held-out data in their variance. *Same class* is the share of pairs of continuations that the classifier gives one class. Means over latents with standard errors."
                  [ "t"; "σ/α"; "open"; "unexplained"; "same class" ]
                  [ for o in outcomes ->
                        [ Cell.Text(number o.Time)
                          Cell.Number(Math.Exp(-(Curve.eval model.Path.Lambda o.Time)))
                          Cell.Text(estimate o.Open)
                          Cell.Text(number o.Unexplained)
                          Cell.Text(estimate o.SameClass) ] ]
              { Title = "Against t"
                Note = ""
                Bodies =
                  [ Body.Lines
                        { XLabel = "t at which they part"
                          YLabel = "share"
                          LogX = false
                          LogY = false
                          Lines =
                            [ line 0 "open" _.Open.Mean
                              line 1 "unexplained" _.Unexplained
                              line 2 "same class" _.SameClass.Mean ] } ] }
              { Title = "Continuations"
                Note = "The first latents, not picked; all images of a row share the noise down to their t."
                Bodies = [ for pair in List.chunkBySize 2 [ 0 .. min 4 roots - 1 ] -> Body.Images(List.map strip pair) ] } ]
          Json =
            [ "run", Json.text folder.Name
              "roots", Json.whole (int64 roots)
              "branches", Json.whole (int64 branches)
              "times",
              Json.array
                  [ for o in outcomes ->
                        Json.node (
                            Json.object
                                [ "t", Json.number o.Time
                                  "open", Json.number o.Open.Mean
                                  "unexplained", Json.number o.Unexplained
                                  "sameClass", Json.number o.SameClass.Mean ]
                        ) ] ] }

    let study: Study =
        { Name = "branching"
          Summary = "stochastic samples that share a latent x_t: what it has decided"
          Reference = "Ho, Jain, Abbeel 2020, DDPM, section 4.3 and figure 7"
          Uses =
            [ "--run", "a run of images to study, in place of one of its own"
              "--steps", "optimization steps of its own run, runs/study-guidance (2,000)"
              "--count", "latents (24)" ]
          IsShared = false
          Run = run }
