/// What the chapters of the theory share: one law of data on the line whose every quantity is known, and integrals over the line.
module Guide

open System
open Fokker

/// Two bumps of unequal weight, N(−1.5, 0.25²) and N(1, 0.4²): mean 0, variance 1.621.
let law =
    Mixture.ofStds
        [| 0.4; 0.6 |]
        (Tensor.ofArray [ 2; 1 ] [| -1.5; 1.0 |])
        (Tensor.ofArray [ 2; 1 ] [| 0.25; 0.4 |])

/// Numbers as a batch of points on the line, [n; 1], and back.
let points (xs: float seq) =
    let xs = Array.ofSeq xs in Tensor.ofArray [ xs.Length; 1 ] xs
let floats (x: Tensor) = Tensor.toFloats x
let at (t: float) = Tensor.scalar Kind.Float64 t

/// 2,001 places from −8 to 8: beyond them every law of the chapters has less than 10⁻¹² of its mass.
let grid = [| for k in 0..2000 -> -8.0 + 16.0 * float k / 2000.0 |]

/// ∫ f dx by the trapezoidal rule on the grid, which is exact to rounding for smooth functions that vanish at its ends.
let integral (f: Tensor -> Tensor) = 0.008 * Array.sum (floats (f (points grid)))

/// The curve of f over the places from −4 to 4.
let curve (f: Tensor -> Tensor) =
    let xs = [| for k in 0..400 -> -4.0 + 0.02 * float k |]
    Seq.zip xs (floats (f (points xs))) |> List.ofSeq

let density path (t: float) (x: Tensor) = exp (Mixture.logDensity path law (at t) x)

/// The result of an integration that has to succeed.
let ok (result: Result<'T, Failure>) =
    match result with
    | Ok x -> x
    | Error failure -> failwith $"%O{failure}"

/// 5.1e-7.
let short (v: float) =
    v.ToString("0.0e-0", Globalization.CultureInfo.InvariantCulture)
