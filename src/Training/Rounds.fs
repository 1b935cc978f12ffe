namespace Fokker

/// A training in rounds: what is trained in one is the teacher of the next. Each round begins with new moments of the optimizer and a schedule of its own.
[<NoComparison; NoEquality>]
type Rounds =
    {
        /// Steps of each round.
        Lengths: int64 list
        /// The learning rate of a round of so many steps.
        Rate: int64 -> Schedule
    }

[<RequireQualifiedAccess>]
module Rounds =

    /// The number of steps after which each round has ended.
    let ends (rounds: Rounds) : int64 list = rounds.Lengths |> List.scan (+) 0L |> List.tail

    /// The round of the step that follows so many others, the steps made in it before, and its length; the last goes on where there are no more.
    let at (rounds: Rounds) (step: int64) : struct (int * int64 * int64) =
        let rec find k first lengths =
            match lengths with
            | [ last ] -> struct (k, step - first, last)
            | length :: _ when step < first + length -> struct (k, step - first, length)
            | length :: rest -> find (k + 1) (first + length) rest
            | [] -> struct (0, step, 0L)

        find 0 0L rounds.Lengths

    /// Steps in rounds of the given shares: whole numbers, at least one each, that add up to `steps` where that is at least as many as the rounds.
    let share (shares: float list) (steps: int64) : int64 list =
        let total = List.sum shares

        let ends =
            shares
            |> List.scan (+) 0.0
            |> List.map (fun part -> int64 (System.Math.Round(float steps * part / total)))

        List.pairwise ends |> List.map (fun (a, b) -> max 1L (b - a))
