namespace Fokker.Tool

open System.Text.RegularExpressions
open Fokker

/// The command line's words for the settings of a request.
[<RequireQualifiedAccess>]
module OptionNames =

    /// The settings whose options are not called as they are.
    let private own =
        dict
            [ Setting.Model, "RUN"
              Setting.Folder, "--runs"
              Setting.Begin, "--from"
              Setting.SourceSamples, "--source"
              Setting.LearningRate, "--lr"
              Setting.WarmUp, "--warmup"
              Setting.RelativeTolerance, "--rtol"
              Setting.AbsoluteTolerance, "--atol"
              Setting.Count, "-n"
              Setting.SamplesPerDraw, "-n"
              Setting.Weaker, "--autoguidance"
              Setting.Composition, "--compose"
              Setting.HeldOut, "--data"
              Setting.Target, "--to" ]

    /// The option that says a setting: its name in small letters, `LabelDropout` as `--label-dropout`, but for those that have one of their own.
    let ofSetting (setting: Setting) : string =
        match own.TryGetValue setting with
        | true, option -> option
        | _ -> "--" + Regex.Replace(string setting, "(?<=.)([A-Z])", "-$1").ToLowerInvariant()

    /// `--guidance`, `--guidance 2`.
    let wording: Wording =
        { Name = ofSetting
          Choice =
            fun setting value ->
                // A model is said without an option.
                if setting = Setting.Model then value else $"{ofSetting setting} {value}" }

    /// A run's name as the words of a command line, with the folder of runs where that is not the usual one.
    let run (root: string) (name: string) : string =
        if root = Runs.standardRoot then name else $"{name} {ofSetting Setting.Folder} {root}"
