namespace Fokker.Laws

open System
open Fokker

/// Expectations as sums, not as averages of draws: a wrong constant shows, and a tolerance can be that of rounding. On the line
/// the trapezoid rule is exact to rounding for smooth integrands that decay, as soon as its step resolves them
/// (Trefethen, Weideman 2014).
module Quadrature =

    /// Gauss–Legendre with 8 points on each of n panels: exact to rounding for the smooth integrands met here.
    let integrate (panels: int) (f: float -> float) (first: float) (last: float) : float =
        let nodes =
            [ 0.1834346424956498, 0.3626837833783620
              0.5255324099163290, 0.3137066458778873
              0.7966664774136267, 0.2223810344533745
              0.9602898564975363, 0.1012285362903763 ]

        let width = (last - first) / float panels

        Seq.init panels (fun k ->
            let middle = first + (float k + 0.5) * width

            nodes
            |> List.sumBy (fun (x, w) ->
                w * (f (middle - 0.5 * width * x) + f (middle + 0.5 * width * x)) * 0.5 * width))
        |> Seq.sum

    /// How far a one-dimensional mixture reaches: its furthest mean and nine of its widest standard deviations.
    let reach (m: Mixture) : float =
        let furthest (x: Tensor) = (Tensor.max (abs x)).ToFloat()
        furthest (Mixture.means m) + 9.0 * sqrt (furthest (Mixture.covariances m))

    /// The standard deviation of a one-dimensional mixture's narrowest component.
    let narrowest (m: Mixture) : float = sqrt ((Tensor.min (Mixture.covariances m)).ToFloat())

    /// n nodes [n; 1] from −reach to reach and the step between them.
    let line (reach: float) (n: int) : struct (Tensor * float) =
        struct (Tensor.linspace Kind.Float64 -reach reach n |> Tensor.reshape [ n; 1 ], 2.0 * reach / float (n - 1))

    /// Nodes x_t [n; 1] and weights [n] of E over x_t.
    let marginal (path: GaussianPath) (m: Mixture) (t: float) : struct (Tensor * Tensor) =
        let struct (alpha, sigma) = Path.alphaSigma path t
        let struct (x, h) = line (alpha * reach m + 9.0 * sigma) 2001
        struct (x, h * exp (Mixture.logDensity path m (Measure.at t) x))

    /// E over x_t of a function [n; 1] ↦ [n].
    let expect (path: GaussianPath) (m: Mixture) (t: float) (f: Tensor -> Tensor) : float =
        let struct (x, weight) = marginal path m t
        (Tensor.sum (weight * f x)).ToFloat()

    /// Nodes x, y [n; 1] and weights [n] of a double integral over a product of lines, as `line` has them.
    let product (struct (x: Tensor, h: float)) (struct (y: Tensor, k: float)) : struct (Tensor * Tensor * Tensor) =
        let n, m = x.Shape[0], y.Shape[0]
        let first = Tensor.repeatInterleave m 0 x
        let second = Tensor.repeat [ n; 1 ] y
        struct (first, second, Tensor.full Kind.Float64 [ n * m ] (h * k))

    /// Nodes x₀, ε [n; 1] of E over the data of a mixture and a standard normal, and their weights [n], which sum to 1. The steps are
    /// those given, no longer.
    let pairs (dataStep: float) (noiseStep: float) (m: Mixture) : struct (Tensor * Tensor * Tensor) =
        let steps reach step = line reach (1 + int (ceil (2.0 * reach / step)))
        let struct (x0, noise, weight) = product (steps (reach m) dataStep) (steps 9.0 noiseStep)
        let normal = Tensor.flatten (exp (-0.5 * Tensor.square noise)) / sqrt (2.0 * Math.PI)
        struct (x0, noise, weight * normal * exp (Mixture.logDensityOfData m x0))

    /// E over x₀ and ε of a function (x_t, x₀, ε) ↦ [n]. The steps are a third of the narrowest component's width and a sixth of
    /// the normal's: the trapezoid rule's error is then below 1e-12.
    let expectPair (path: GaussianPath) (m: Mixture) (t: float) (f: Tensor -> Tensor -> Tensor -> Tensor) : float =
        let struct (x0, noise, weight) = pairs (narrowest m / 3.0) (1.0 / 6.0) m
        (Tensor.sum (weight * f (Path.sample path (Measure.at t) x0 noise) x0 noise)).ToFloat()
