namespace Fokker.Tool

open Fokker
open Fokker.Pictures
open Fokker.Report

/// What the rounds of a distillation came to: each student beside the first teacher with DDIM at the same times.
module RoundsReport =

    /// One round: the steps of its student, and how far the student's samples and the teacher's are from the data.
    type private Row = { Steps: int; Student: Estimate; Teacher: Estimate option }

    let private distance
        (terminal: Terminal)
        (data: Dataset)
        (measure: Measure)
        (protocol: Protocol)
        (model: GenerativeModel)
        (drawing: Drawing)
        : Estimate =
        Scope.run (fun () ->
            let n = protocol.Size * protocol.Draws
            let drawn = Progress.run terminal "sampling" 1.0 (Samples.draw model drawing (model.Stream "rounds") n)
            let rng = model.Stream "rounds measured"

            Measure.overDraws protocol.Draws (fun k ->
                let rng = Rng.at (int64 k) rng
                let own = Tensor.narrow 0 (k * protocol.Size) protocol.Size drawn
                measure.Between (Rng.named "measure" rng) own (Evaluations.heldOut data rng protocol.Size)))

    /// The section of a run's report; none where the run is of one piece, or too little is held out to measure anything. A teacher that is not there any more is left out.
    let section (terminal: Terminal) (run: RunFolder) (recipe: Recipe) (data: Dataset) : Section option =
        match Run.students run.Path with
        | [] -> None
        | _ when not (Evaluations.isMeasurable data) -> None
        | students ->
            let draws = if data.IsImage then 2 else 4
            let size = if data.IsImage then 500 else 1000
            let protocol = Evaluations.fit data { Draws = draws; Size = size; Pool = draws * size }

            let measure =
                if Evaluations.hasFeatures data then
                    Progress.run terminal "classifier" 1.0 (Evaluations.frechet data)
                else
                    Measures.wasserstein2

            let teacher =
                try
                    recipe.Teacher
                    |> Option.map (fun given ->
                        Runs.networkWith terminal.Own (Runs.rootOf run) None None given ||> GenerativeModel.ofTrained)
                with :? UserError ->
                    None

            let distance = distance terminal data measure protocol

            let rows =
                [ for steps, file in students ->
                      let student =
                          GenerativeModel.ofTrained
                              $"{run.Name}@{steps}"
                              (ModelFile.read terminal.Own Device.Cpu None file)
                      let drawing = Samples.standardFor student

                      { Steps = steps
                        Student = distance student drawing
                        Teacher = teacher |> Option.map (fun teacher -> distance teacher { drawing with Label = None }) } ]

            let cell (estimate: Estimate) = Cell.Text $"{estimate.Mean:G3} ± {estimate.StandardError:G2}"

            for row in rows do
                let beside =
                    row.Teacher
                    |> Option.map (fun t -> $", its teacher {t.Mean:G3} ± {t.StandardError:G2}")
                    |> Option.defaultValue ""

                Terminal.tell
                    terminal
                    $"{run.Name}@{row.Steps}: {measure.Name} {row.Student.Mean:G3} ± {row.Student.StandardError:G2}{beside}"

            Some
                { Title = "Rounds"
                  Note =
                    $"The student of each round beside the first teacher by DDIM in as many steps, at the same times: {measure.Name} to held-out data, mean over {protocol.Draws} pairs of sets of {protocol.Size}."
                  Bodies =
                    [ Body.Table
                          { Columns = [ "steps"; "student"; "teacher" ]
                            Rows =
                              [ for row in rows ->
                                    [ Cell.Number(float row.Steps)
                                      cell row.Student
                                      row.Teacher |> Option.map cell |> Option.defaultValue Cell.Missing ] ] } ] }
