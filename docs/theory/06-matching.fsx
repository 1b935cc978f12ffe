(**
---
title: 6 · Flow matching
category: Theory
categoryindex: 2
index: 6
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Flow matching

After this chapter you can learn a flow between two laws from pairs of their samples, and choose the pairs.

So far a process came first and its flow was derived. Turn it around: ask for *any* velocity field whose flow carries one law to another, and learn that field directly (Lipman et al. 2023; Liu, Gong and Liu 2023; Albergo and Vanden-Eijnden 2023).

Choose how single points travel, and let the laws follow. Draw $x_0$ from the data, $x_1$ from the source, and move on a path between them, $x_t = a(t)\,x_0 + b(t)\,x_1$. Its velocity $\dot x_t = \dot a\,x_0 + \dot b\,x_1$ is known. At a place $x$ where many such paths pass, let

$$v(t, x) = \mathbb E\big[\dot x_t \,\big|\, x_t = x\big].$$

**This field carries the law of $x_t$.** For a test function $\varphi$,
$\frac{d}{dt}\mathbb E\,\varphi(x_t) = \mathbb E[\nabla\varphi(x_t)\cdot\dot x_t] = \mathbb E[\nabla\varphi(x_t)\cdot v(t, x_t)]$, which is the weak form of $\partial_t p = -\nabla\!\cdot(v p)$. Nothing was asked of the two laws, nor of how they are paired.

**And it is a regression.** As for [the score](03-score.html), the mean squared distance to $\dot x_t$ is that to $v$ and a constant: the loss on single pairs has the same gradient as the one on the unknown field.

| | of one pair | of the whole law |
| --- | --- | --- |
| path | $x_t = a x_0 + b x_1$ | $p_t$, the law of $x_t$ |
| velocity | $\dot a x_0 + \dot b x_1$ | $v = \mathbb E[\dot x_t \mid x_t]$ |
| loss | $\mathbb E\Vert u - \dot x_t\Vert^2$, computable | $\mathbb E\Vert u - v\Vert^2$, the same but for a constant |

## Three things to condition on

Instead of the pair one may hold one end fixed and read the other off $x_t$. Given the data point, $u(x \mid x_0) = \dot a x_0 + \frac{\dot b}{b}(x - a x_0)$; given the source point, the same with the roles exchanged. Along the line between the two all three are one number, so the targets agree draw by draw:
*)

open Fokker

let interpolant = Interpolant.linear
let t = Tensor.full Kind.Float64 [ 5 ] 0.3
let x0 = Mixture.sample 5 (Rng.ofSeed 1L) law
let x1 = Rng.normal Kind.Float64 [ 5; 1 ] (Rng.ofSeed 2L)
let x = Interpolant.sample interpolant t x0 x1 x1

let targets =
    [ Interpolant.velocity interpolant t x0 x1 x1
      Interpolant.velocityGivenData interpolant t x x0
      Interpolant.velocityGivenSource interpolant t x x1 ]

for target in targets do
    printfn
        "%s"
        (floats target |> Array.map (fun v -> $"%7.4f{v}") |> String.concat " ")

(*** include-output ***)

(*** hide ***)
for other in targets.Tail do
    expect
        "conditionings"
        0.0
        1e-12
        ((Tensor.max (abs (other - targets.Head))).ToFloat())

(**
## Straight lines and straight flows

With $a = 1 - t$, $b = t$ every pair travels on a straight line at constant speed. The *flow* does not: where lines cross, the mean of their velocities turns. How straight it is can be measured. The kinetic energy $\int_0^1 \mathbb E\|v\|^2 dt$ of any flow from $p_1$ to $p_0$ is at least $W_2^2(p_0, p_1)$, with
equality when every particle goes straight to where optimal transport sends it (Benamou and Brenier 2000); and averaging over pairs can only lower that of the pairs. For our law and $N(0, 1)$:
*)

let path = Path.condOT
let v = Mixture.velocity path law

let energy =
    Curve.integral 12 (0.0, 1.0) (fun t ->
        integral (fun x ->
            density path t x * Tensor.sumRows (Tensor.square (v (at t) x))))

let ofPairs = 1.621 + 1.0
let n = 50000
let quantiles = Tensor.flatten (Mixture.sample n (Rng.ofSeed 3L) law)
let normals = Tensor.flatten (Rng.normal Kind.Float64 [ n; 1 ] (Rng.ofSeed 4L))
let transport = Wasserstein.onLine 2.0 quantiles normals ** 2.0
printfn
    $"single pairs E‖x₁ − x₀‖² = %.3f{ofPairs},   the flow %.3f{energy},   optimal transport %.3f{transport}"
(*** include-output ***)

(*** hide ***)
expect
    "the order"
    0.0
    0.0
    (if ofPairs > energy && energy > transport then 0.0 else 1.0)

let coupled (coupling: Coupling) k =
    let data =
        Rng.normal Kind.Float64 [ 64; 2 ] (Rng.ofSeed 7L)
        |> fun z ->
            0.12 * z
            + Tensor.ofArray
                [ 64; 2 ]
                (Array.init 128 (fun i ->
                    if i % 2 = 0 then
                        (if (i / 2) % 2 = 0 then -1.2 else 1.2)
                    else
                        -0.9))
    let source =
        Rng.normal Kind.Float64 [ 64; 2 ] (Rng.ofSeed 8L)
        |> fun z ->
            0.45 * z
            + Tensor.ofArray
                [ 64; 2 ]
                (Array.init 128 (fun i -> if i % 2 = 0 then 0.0 else 0.9))
    let struct (i, j) = coupling.Pair (Rng.ofSeed 9L) data source
    let p, q =
        Tensor.toFloats (Tensor.indexSelect 0 i data),
        Tensor.toFloats (Tensor.indexSelect 0 j source)
    [ for m in 0..63 -> Trace [ q[2 * m], q[2 * m + 1]; p[2 * m], p[2 * m + 1] ] ]
    @ [ Dots("source", [ for m in 0..63 -> q[2 * m], q[2 * m + 1] ])
        Dots("data", [ for m in 0..63 -> p[2 * m], p[2 * m + 1] ]) ]

panels
    "64 points of a source and of data, paired as they come (left) and by the optimal plan of the batch (right). The fewer lines cross, the straighter is the flow that they average to."
    [ { axes "" "independent" with Window = Some((-1.8, 1.8), (-1.5, 2.1)) },
      coupled Coupling.independent 0
      { axes "" "optimal" with Window = Some((-1.8, 1.8), (-1.5, 2.1)) },
      coupled Coupling.exact 0 ]

(*** include-it-raw ***)

(**
Pairing each batch by its own optimal plan before training brings the flow near the lower bound (`Matching.optimal`, OT-CFM: Tong et al. 2024; Pooladian et al. 2023). An entropic plan with a Brownian bridge between the ends is the Schrödinger bridge (`Matching.schrodinger`). The price: under a coupling $x_1$ depends on $x_0$, so
$x_1$ is no independent noise, Tweedie's formula does not hold, and there is no score to ask for. In the library an `Interpolant` has none, and the compiler says so.

## Is it diffusion?

With $x_1 \sim N(0, I)$ drawn independently, $x_t = (1-t)x_0 + t\varepsilon$ is a Gaussian path like every other: it has a score, an SDE, a log-SNR. At equal $\lambda = \log(\alpha/\sigma)$ two Gaussian paths differ by a factor of scale and by nothing else, so a model of the one serves on the other. The exact denoiser of VP, asked
through `Paths.exchange`, says what that of the straight path says:
*)

let vp = Mixture.model Path.vp Prediction.noise law
let moved = Paths.exchange Path.condOT vp
let places = points [ -2.0 .. 0.5..2.0 ]

let gap =
    [ for t in [ 0.1; 0.5; 0.9 ] ->
          (Tensor.max (
              abs (
                  Model.denoiser moved None (at t) places
                  - Mixture.denoiser Path.condOT law (at t) places
              )
          ))
              .ToFloat() ]

printfn $"largest difference {short (List.max gap)}"
(*** include-output ***)

(*** hide ***)
expect "exchange" 0.0 1e-5 (List.max gap)

(**
What is left of the difference is which times are trained most, and what a solver makes of the curves: [design choices](07-choices.html).

The same reasoning, a conditional process for each data point and its average for the whole, works for processes that jump (Holderrieth et al. 2025): [jumps](../jumps.html), on the line and on tokens.
*)
