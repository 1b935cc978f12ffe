namespace Fokker.Tool

open System
open System.Diagnostics
open Fokker

/// How many steps of a training fit into a time.
module Speed =

    /// How many steps of this job fit into so many minutes of a clock, which says the seconds since some moment: a scratch run is timed for a few of its seconds. The first
    /// steps, which load and tune code, are left out.
    let stepsOn (clock: unit -> float) (terminal: Terminal) (minutes: float) (job: Job) : int64 =
        let begun = clock ()
        let start = 5L
        let mutable from = 0.0
        let mutable steps = 0L
        let mutable last = 0.0
        let span = Math.Clamp(60.0 * minutes * 0.03, 0.2, 5.0)

        Progress.run terminal "measuring speed" 1.0 (fun report ->
            let key = Rng.ofSeed job.Recipe.Seed

            let state, _ =
                Trainer.run
                    job.Training
                    job.Learner
                    job.Objective.Loss
                    (Dataset.batches job.Kind job.Recipe.Batch (Rng.named "batches" key) job.Data)
                    (Budget.Steps Int64.MaxValue)
                    0.0
                    { Stepped =
                        fun _ info _ ->
                            let seconds = clock () - begun

                            if info.Step = start then
                                from <- seconds

                            steps <- info.Step - start
                            last <- seconds
                            report (Math.Min(1.0, (last - from) / span)) ""
                      Stop = fun () -> steps >= 3L && last - from >= span }
                    (Trainer.init job.Kind key job.Network)

            Scope.free state)

        max 1L (int64 ((60.0 * minutes - last) * float steps / (last - from)))

    /// `stepsOn` the clock on the wall.
    let stepsIn (terminal: Terminal) (minutes: float) (job: Job) : int64 =
        let watch = Stopwatch.StartNew()
        stepsOn (fun () -> watch.Elapsed.TotalSeconds) terminal minutes job
