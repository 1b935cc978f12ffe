namespace Fokker.Tool

open Fokker

/// `fokker train`: from a data set to a trained model, samples, measures and a report.
module Train =

    let private run (terminal: Terminal) (arguments: TrainArgument list) =
        let settings =
            arguments
            |> List.choose (function
                | Sweep text -> Some(Sweep.setting text)
                | _ -> None)

        let isSwept (setting: SweptSetting) =
            setting.Key = "dtype" && List.contains (Dtype.name Dtype.BFloat16) setting.Values

        OneTraining.preferEngine arguments

        if List.exists isSwept settings then
            Torch.preferBFloat16 ()

        Joined.around "train" terminal (fun ranks terminal ->
            match settings with
            | [] -> OneTraining.run ranks terminal arguments
            | settings -> arguments |> List.filter (_.IsSweep >> not) |> ManyTrainings.run ranks terminal settings)

    let command =
        Command.make<TrainArgument>
            "train"
            "trains a model on a data set, samples from it, measures it and writes a report"
            [ "./fokker train moons",
              "two moons with the defaults, about a minute; runs/moons/report.html is the report"
              "./fokker train fashion-mnist --minutes 30", "garments of ten classes, in half an hour"
              "./fokker train checkerboard --path vp --loss simple --name ddpm",
              "the checkerboard by denoising diffusion"
              "./fokker train moons --steps 5000 --sweep lr=1e-3,5e-3 --sweep seed=0,1,2",
              "six trainings, and one page that compares them"
              "./fokker train --resume --name moons", "continues where Ctrl-C stopped it" ]
            run
