namespace Fokker.Experiments

open Fokker
open Fokker.Tool

/// The run that a study trains for itself, kept beside a person's own.
module OwnRun =

    /// Whether its training came to its end.
    let isFinished (run: RunFolder) =
        match (Run.describe run.Path)["result"] with
        | null -> false
        | result -> string result["ending"] = "finished"

    /// The run of that name: the one that is there, gone on with, or a new one of so many steps by `fokker train WORDS`.
    let trained (terminal: Terminal) (root: string) (name: string) (words: string list) (steps: int64) : RunFolder =
        let run = Runs.place root name
        let isSame = Runs.isThere run && (Runs.recipe run).Steps = steps

        if not (isSame && isFinished run) then
            // The study measures the run by itself.
            let words =
                (if isSame then [ "--resume" ] else words @ [ "--steps"; string steps; "--overwrite" ])
                @ [ "--draws"; "2" ]

            // What training tells people goes where people read; the study's own JSON is the only one.
            let speaking = { terminal with Json = false; Out = Terminal.reader terminal }

            if Train.command.Run speaking (words @ [ "--name"; name; "--runs"; root ]) <> Exit.Success then
                raise Stopped

        run

    /// The run that the options name, or the study's own: `trained` with as many steps as they say.
    let chosen
        (terminal: Terminal)
        (options: StudyOptions)
        (name: string)
        (words: string list)
        (steps: int64)
        : RunFolder =
        match options.Run with
        | Some given -> Runs.find options.Root given
        | None -> trained terminal options.Root name words (defaultArg options.Steps steps)

    /// What a run has learned, and the data that belong to it. Raises UserError where they are not there any more.
    let opened (terminal: Terminal) (run: RunFolder) : GenerativeModel * Dataset =
        let model = GenerativeModel.ofTrained run.Name (Runs.trainedIn OwnParts.none None None run)
        model, DataOption.heldOut terminal model None
