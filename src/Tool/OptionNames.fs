namespace Fokker.Tool

open Fokker

/// The command line's words for the settings of a request.
[<RequireQualifiedAccess>]
module OptionNames =

    /// The option that says a setting.
    let ofSetting (setting: Setting) : string =
        match setting with
        | Setting.Model -> "RUN"
        | Setting.Oracle -> "--oracle"
        | Setting.Device -> "--device"
        | Setting.Dtype -> "--dtype"
        | Setting.Name -> "--name"
        | Setting.Folder -> "--runs"
        | Setting.Data -> "--data"
        | Setting.Loss -> "--loss"
        | Setting.Path -> "--path"
        | Setting.Prediction -> "--prediction"
        | Setting.Weight -> "--weight"
        | Setting.Times -> "--times"
        | Setting.Coupling -> "--coupling"
        | Setting.Source
        | Setting.SourceSamples -> "--source"
        | Setting.Preconditioning -> "--preconditioning"
        | Setting.Teacher -> "--teacher"
        | Setting.Begin -> "--from"
        | Setting.Network -> "--network"
        | Setting.Width -> "--width"
        | Setting.Depth -> "--depth"
        | Setting.Labels -> "--labels"
        | Setting.LabelDropout -> "--label-dropout"
        | Setting.Seed -> "--seed"
        | Setting.Steps -> "--steps"
        | Setting.Minutes -> "--minutes"
        | Setting.Batch -> "--batch"
        | Setting.LearningRate -> "--lr"
        | Setting.WarmUp -> "--warmup"
        | Setting.WeightDecay -> "--weight-decay"
        | Setting.Clip -> "--clip"
        | Setting.Ema -> "--ema"
        | Setting.Resume -> "--resume"
        | Setting.Overwrite -> "--overwrite"
        | Setting.Solver -> "--solver"
        | Setting.Grid -> "--grid"
        | Setting.Class -> "--class"
        | Setting.RelativeTolerance -> "--rtol"
        | Setting.AbsoluteTolerance -> "--atol"
        | Setting.Count
        | Setting.SamplesPerDraw -> "-n"
        | Setting.From -> "--from"
        | Setting.To -> "--to"
        | Setting.Denoise -> "--denoise"
        | Setting.Start -> "--start"
        | Setting.Noise -> "--noise"
        | Setting.Replay -> "--replay"
        | Setting.Brownian -> "--brownian"
        | Setting.Parallel -> "--parallel"
        | Setting.ParallelTolerance -> "--parallel-tolerance"
        | Setting.Guidance -> "--guidance"
        | Setting.GuidanceInterval -> "--guidance-interval"
        | Setting.GuidanceRescale -> "--guidance-rescale"
        | Setting.Weaker -> "--autoguidance"
        | Setting.Classifier -> "--classifier"
        | Setting.Composition -> "--compose"
        | Setting.Method -> "--method"
        | Setting.Trace -> "--trace"
        | Setting.Probes -> "--probes"
        | Setting.Memory -> "--memory"
        | Setting.Time -> "--time"
        | Setting.HeldOut -> "--data"
        | Setting.Draws -> "--draws"
        | Setting.Against -> "--against"

    /// `--guidance`, `--guidance 2`.
    let wording: Wording =
        { Name = ofSetting
          Choice =
            fun setting value ->
                match setting with
                // A model is said without an option.
                | Setting.Model -> value
                | _ -> $"{ofSetting setting} {value}" }

    /// A run's name as the words of a command line, with the folder of runs where that is not the usual one.
    let run (root: string) (name: string) : string =
        if root = Runs.standardRoot then name else $"{name} {ofSetting Setting.Folder} {root}"
