namespace Fokker

open System

/// How well a score tells two kinds apart, over all thresholds.
[<RequireQualifiedAccess>]
module Roc =

    /// The area under the receiver operating characteristic, P(a > b) + ½ P(a = b) for scores a of the one kind and b of the other (Mann and Whitney 1947; Hanley and McNeil 1982): ½ where
    /// the score says nothing. By ranks, those of equal scores their mean. Raises ArgumentException where there are none of a kind, or a score is no number.
    let area (high: float[]) (low: float[]) : float =
        if high.Length = 0 || low.Length = 0 then
            invalidArg (nameof high) "an area under a characteristic needs scores of both kinds"

        if Array.exists Double.IsNaN high || Array.exists Double.IsNaN low then
            invalidArg (nameof high) "a score is no number"

        let all = Array.append (high |> Array.map (fun x -> x, true)) (low |> Array.map (fun x -> x, false))
        let mutable below = 0
        let mutable ranks = 0.0

        for _, group in all |> Array.groupBy fst |> Array.sortBy fst do
            // The mean of the ranks below + 1 … below + n.
            let rank = float below + 0.5 * float (group.Length + 1)
            ranks <- ranks + rank * float (group |> Array.filter snd |> Array.length)
            below <- below + group.Length

        let n, m = float high.Length, float low.Length
        (ranks - 0.5 * n * (n + 1.0)) / (n * m)

    /// The standard error of an area over so many scores of each kind (Hanley and McNeil 1982, equation 1, with the exponential law's Q₁ and Q₂).
    let standardError (area: float) (high: int) (low: int) : float =
        let n, m = float high, float low
        let q1, q2 = area / (2.0 - area), 2.0 * area * area / (1.0 + area)
        sqrt (
            max 0.0 ((area * (1.0 - area) + (n - 1.0) * (q1 - area * area) + (m - 1.0) * (q2 - area * area)) / (n * m))
        )
