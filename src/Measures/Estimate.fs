namespace Fokker

open System

/// A mean over draws and how far it may be off: `Mean ± StandardError` (one standard deviation of the mean).
type Estimate =
    { Mean: float
      StandardError: float
      Draws: int }

    override e.ToString() = $"%.4g{e.Mean} ± %.2g{e.StandardError} ({e.Draws} draws)"

[<RequireQualifiedAccess>]
module Estimate =

    /// From independent draws: the mean, and √(Σ (v − mean)²/(n (n − 1))), which is NaN for one draw.
    let ofDraws (values: float[]) : Estimate =
        let n = values.Length
        let mean = Array.average values
        let squares = Array.sumBy (fun v -> (v - mean) ** 2.0) values

        { Mean = mean; StandardError = Math.Sqrt(squares / float (n - 1) / float n); Draws = n }

    /// The same of a tensor's entries.
    let ofTensor (values: Tensor) : Estimate = ofDraws (Tensor.toFloats values)

    /// ` ± 0.012`, its error in two digits; nothing of one draw, which says none.
    let error (estimate: Estimate) : string =
        if Double.IsNaN estimate.StandardError then "" else $" ± {estimate.StandardError:G2}"
