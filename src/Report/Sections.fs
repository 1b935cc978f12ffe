namespace Fokker.Report

open Fokker.Pictures
open System

/// The sections that every run has, with the sentences that say how to read them.
module Sections =

    let private section title note bodies = { Title = title; Note = note; Bodies = bodies }

    /// Data and samples side by side over the same window of the plane.
    let samplesBesideData (data: Cloud) (samples: Cloud) =
        let panel (cloud: Cloud) = { Title = cloud.Label; Clouds = [ cloud ] }

        section
            "Samples beside data"
            "Held-out data and as many samples over the same axes. Drag to zoom both at once; double-click to go back."
            [ Body.Scatter { Panels = [ panel data; panel samples ]; XLabel = "x₁"; YLabel = "x₂" } ]

    /// Samples of a model whose data are not at hand.
    let samplesAlone (samples: Cloud) =
        section
            "Samples"
            "Samples of the model. Drag to zoom; double-click to go back."
            [ Body.Scatter
                  { Panels = [ { Title = samples.Label; Clouds = [ samples ] } ]; XLabel = "x₁"; YLabel = "x₂" } ]

    /// Windows of series as curves, of each series by its name the data's above the samples' where there are some; "" is the name of a single one.
    let series (names: string list) (data: Cloud list list option) (samples: Cloud list list) =
        let chart what (curves: Cloud list) =
            Body.Lines
                { XLabel = "place in the window"
                  YLabel = what
                  LogX = false
                  LogY = false
                  Lines =
                    [ for curve in curves ->
                          let every offset =
                              [| for i in offset..2 .. curve.Points.Length - 1 -> float curve.Points[i] |]

                          { Label = curve.Label; Tone = curve.Tone; Stroke = Stroke.Solid; X = every 0; Y = every 1 } ] }

        section
            (if data.IsSome then "Samples beside data" else "Samples")
            "The first windows of each, not picked. No sample belongs to a window of the data: what they share is their law."
            [ for k, name in List.indexed names do
                  let what (shown: string) = if name = "" then shown else $"{name}, {shown}"

                  match data with
                  | Some data -> chart (what "held-out data") data[k]
                  | None -> ()

                  chart (what "samples") samples[k] ]

    /// The way of the samples from the source to the data.
    let fromNoiseToData (motion: CloudMotion) =
        section
            "From noise to data"
            "The same samples at each time of the sampler, from noise at $t = 1$ to data at $t = 0$."
            [ Body.CloudMotion motion ]

    /// The learnt velocity.
    let velocity (motion: FieldMotion) =
        section
            "Velocity field"
            "The learnt field. Sampling runs against time, so the arrows show $-v(x, t)$: the way a sample moves next."
            [ Body.FieldMotion motion ]

    /// At most about `limit` points of a curve: of each stretch its least and its greatest value, so that no spike is lost.
    let private thinned limit (xs: float[]) (ys: float[]) =
        if ys.Length <= limit then
            xs, ys
        else
            let stretch = (2 * ys.Length + limit - 1) / limit

            let kept =
                [| for stretchOfIndices in Array.chunkBySize stretch [| 0 .. ys.Length - 1 |] do
                       let low = stretchOfIndices |> Array.minBy (fun i -> ys[i])
                       let high = stretchOfIndices |> Array.maxBy (fun i -> ys[i])
                       yield! Array.distinct (Array.sort [| low; high |]) |]

            kept |> Array.map (fun i -> xs[i]), kept |> Array.map (fun i -> ys[i])

    /// The mean of the finite values within `radius` places of each place, all of equal weight.
    let private smoothed radius (ys: float[]) =
        let finite = Array.map Double.IsFinite ys
        let sums = ys |> Array.mapi (fun i y -> if finite[i] then y else 0.0) |> Array.scan (+) 0.0
        let counts = finite |> Array.map (fun ok -> if ok then 1 else 0) |> Array.scan (+) 0

        Array.init ys.Length (fun i ->
            let first, last = max 0 (i - radius), min ys.Length (i + radius + 1)
            let count = counts[last] - counts[first]
            if count = 0 then nan else (sums[last] - sums[first]) / float count)

    /// A loss: its values as recorded, faint, under their running mean over 2 % of the run.
    let loss (steps: float[]) (values: float[]) =
        let radius = max 1 (values.Length / 100)
        // Twice a running mean is a mean with weights that fall off linearly, and has no corners.
        let mean = values |> smoothed radius |> smoothed radius
        let finite = values |> Array.filter Double.IsFinite

        let isWide = finite.Length > 0 && Array.min finite > 0.0 && Array.max finite > 20.0 * Array.min finite

        let line label stroke (xs, ys) = { Label = label; Tone = Tone.Model; Stroke = stroke; X = xs; Y = ys }

        let lostNote =
            match values.Length - finite.Length with
            | 0 -> ""
            | 1 -> " One recorded value is not finite: it leaves a gap."
            | lost -> $" {Markup.count lost} recorded values are not finite: they leave gaps."

        section
            "Loss"
            ("Each recorded value, and their running mean over two per cent of the run." + lostNote)
            [ Body.Lines
                  { XLabel = "step"
                    YLabel = "loss"
                    LogX = false
                    LogY = isWide
                    Lines =
                      [ line "recorded" Stroke.Faint (thinned 4000 steps values)
                        line "running mean" Stroke.Solid (thinned 1000 steps mean) ] } ]

    /// Each metric beside what it cannot be expected to beat.
    let metrics (values: Metric list) =
        section
            "Metrics"
            ("The noise floor is what two independent draws of the data score against each other at the same sample size. "
             + "What one measure does not distinguish from the data another may: samples between the parts of a law cost little in a distance, and much in −log p.")
            [ Body.Metrics values ]

    /// Pieces of text, of data and of a model, beside each other; of a model alone where there are no data.
    let texts (data: string[]) (samples: string[]) =
        let rows =
            samples
            |> Array.mapi (fun k sample ->
                [ Cell.Text sample
                  if k < data.Length then
                      Cell.Text data[k] ])

        section
            (if data.Length = 0 then "Samples" else "Samples beside data")
            "Not picked. ↵ is the end of a line and → a tab; � is a byte that is no part of a character."
            [ Body.Table
                  { Columns =
                      [ "samples"
                        if data.Length > 0 then
                            "held-out data" ]
                    Rows =
                      [ for row in rows do
                            if data.Length = 0 || row.Length = 2 then
                                row ] } ]

    /// Data and samples as grids of images.
    let imagesBesideData (data: ImageGrid) (samples: ImageGrid) =
        section
            "Samples beside data"
            "Held-out data and samples, neither of them picked."
            [ Body.Images [ data; samples ] ]

    /// Images of a model whose data are not at hand.
    let imagesAlone (samples: ImageGrid) =
        section "Samples" "Samples of the model, not picked." [ Body.Images [ samples ] ]

    /// What images are samples of, above them.
    let imagesGiven (what: string) (given: ImageGrid) (samples: ImageGrid) =
        section
            "Given and drawn"
            $"Each sample below what it was told ({what}), of held-out images; grey is not seen."
            [ Body.Images [ given; samples ] ]

    /// Training images through what changes them at random.
    let imagesAsSeen (images: ImageGrid) =
        section
            "What the network sees"
            "Training images as one pass over them shows them; every pass shows them anew."
            [ Body.Images [ images ] ]

    /// Held-out images, what their latents are decoded to, and what draws of the latents' prior are, which know nothing of where the data's latents lie.
    let imagesDecoded (data: ImageGrid) (again: ImageGrid) (prior: ImageGrid) =
        section
            "The autoencoder"
            "What is left of held-out images once they are encoded and decoded, and what latents drawn from $N(0, I)$ decode to: the autoencoder's own samples."
            [ Body.Images [ data; again; prior ] ]

    /// The way of the images from the source to the data.
    let imagesFromNoise (motion: ImageMotion) =
        section
            "From noise to data"
            "The same samples at each time of the sampler, from noise at $t = 1$ to data at $t = 0$."
            [ Body.ImageMotion motion ]

    /// What a reader needs to repeat the run.
    let settings (settings: Settings) =
        section
            "How to repeat this run"
            "This command, on the same version, is the whole recipe."
            [ Body.Settings settings ]
