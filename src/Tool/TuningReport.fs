namespace Fokker.Tool

open Fokker
open Fokker.Report

/// What tuning towards a reward came to: the reward of a model's samples beside that of the model that it began at.
module TuningReport =

    /// The section of a run's report; none where no reward was tuned towards. A model that is not there any more, or a classifier, is left out.
    let section (terminal: Terminal) (run: RunFolder) (recipe: Recipe) (model: GenerativeModel) : Section option =
        let find (_: Setting) (given: string) = Runs.networkWith terminal.Own (Runs.rootOf run) None None given

        let reward =
            try
                JobObjective.reward recipe model find
            with :? UserError ->
                None

        reward
        |> Option.map (fun (reward, tilt) ->
            let rewarded (name: string) (model: GenerativeModel) =
                Scope.run (fun () ->
                    let x =
                        Progress.run
                            terminal
                            "sampling"
                            1.0
                            (Samples.draw model (Samples.standardFor model) (model.Stream "rewarded") 1000)
                    name, Estimate.ofTensor (reward.Value(GenerativeModel.inside model x)))

            let before =
                try
                    recipe.From
                    |> Option.map (fun given ->
                        rewarded given (find Setting.Begin given ||> GenerativeModel.ofTrained))
                with :? UserError ->
                    None

            let rows = rewarded run.Name model :: Option.toList before

            for name, estimate in rows do
                Terminal.tell terminal $"{name}: the reward is {estimate} on the average"

            { Title = "Reward"
              Note =
                $"{reward.Name}, λ = {tilt}: its mean over 1,000 samples of the model and of the one that training began at."
              Bodies =
                [ Body.Table
                      { Columns = [ "model"; "reward" ]
                        Rows =
                          [ for name, estimate in rows ->
                                [ Cell.Text name; Cell.Text $"{estimate.Mean:G3} ± {estimate.StandardError:G2}" ] ] } ] })
