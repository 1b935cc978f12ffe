(**
---
title: 9 · Energies and Langevin dynamics
category: Theory
categoryindex: 2
index: 9
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Energies and Langevin dynamics

After this chapter you can sample by a score alone, and say where that fails and why noise mends it.

Before there was a time to reverse there was an energy to go down. Any density may be written $p(x) = e^{-E(x)}/Z$. The constant $Z = \int e^{-E}$ is an integral over all of space and out of reach; but

$$\nabla\log p(x) = -\nabla E(x)$$

does not contain it. So a score can be fitted without ever normalizing a density, and if there is a way to sample from a score alone, one never needs to.

## Walking with a score

There is: $dX = \nabla\log p(X)\,dt + \sqrt2\,dB$ has $p$ as its stationary law. (Put $p$ into the Fokker–Planck equation: $-\nabla\!\cdot(p\,\nabla\log p) + \Delta p = 0$.) In steps of length $h$,

$$x \leftarrow x + h\,\nabla\log p(x) + \sqrt{2h}\;z .$$

A step of finite length has another stationary law. For a Gaussian of variance $v$ the step multiplies by $1 - h/v$ and adds variance $2h$, so the variance it settles at is $u = (1 - h/v)^2 u + 2h$, that is $u = v/(1 - h/2v)$. Metropolis' rule of accepting or refusing each step removes the bias whatever $h$ (Besag 1994; Roberts and
Tweedie 1996):
*)

open Fokker

let v = 0.5
let energy (x: Tensor) = Tensor.sumRows (Tensor.square x) / (2.0 * v)
let target = Langevin.ofEnergy energy
let start = Rng.normal Kind.Float64 [ 20000; 1 ] (Rng.ofSeed 1L)
let variance (x: Tensor) = (Tensor.mean (Tensor.square x)).ToFloat()

let unadjusted h =
    let step = Langevin.unadjusted (fun x -> -x / v)
    let times = [| for k in 0..60 -> h * float k |]
    variance (Integrator.run step (Noise.fresh (Rng.ofSeed 2L)) times start |> ok).X

let adjusted h =
    let chain, accepted =
        Langevin.runAdjusted target h 60 (Noise.fresh (Rng.ofSeed 3L)) start
    variance chain.X, (Tensor.mean accepted).ToFloat()

for h in [ 0.05; 0.2; 0.5 ] do
    let found, accepted = adjusted h
    printfn
        $"h = %.2f{h}: plain %.3f{unadjusted h}, by the formula %.3f{v / (1.0 - h / (2.0 * v))}; adjusted %.3f{found}, %.0f{100.0 * accepted} %% accepted"

(*** include-output ***)

(*** hide ***)
for h in [ 0.05; 0.2; 0.5 ] do
    // A variance of 20,000 draws is known to 1 %.
    expect
        "the biased law"
        (v / (1.0 - h / (2.0 * v)))
        (0.04 * v / (1.0 - h / (2.0 * v)))
        (unadjusted h)
    expect "the adjusted law" v 0.02 (fst (adjusted h))

(**
## Fitting a score without noise

Hyvärinen (2005) found that the distance to an unknown score is known up to a constant. Expand the square; the mixed term is $-2\,\mathbb E\,s\cdot\nabla\log p = -2\int s\cdot\nabla p = 2\,\mathbb E\,\nabla\!\cdot s$ by parts, and

$$\mathbb E\,\|s - \nabla\log p\|^2 = \mathbb E\big[\|s\|^2 + 2\,\nabla\!\cdot s\big] + \mathbb E\,\|\nabla\log p\|^2 .$$

It asks for nothing but samples, and for the derivative of the network, which is what makes it dear; seen along random directions it is *sliced* score matching (Song et al. 2019). Both are held here against the explicit loss, at $t = 0.1$, with the score of $N(0, 1)$ for a network:
*)

let path = Path.ouTo 5.0
let times =
    { Times.uniform with Draw = fun _ _ n -> Tensor.full Kind.Float64 [ n ] 0.1 }
let batch: Batch =
    { Data = Mixture.sample 100000 (Rng.ofSeed 4L) law
      Label = None
      Source = None }
let context = LossContext.ofNetwork (fun _ _ x -> -x)
let mean (loss: Loss) = (Tensor.mean (loss context (Rng.ofSeed 5L) batch)).ToFloat()

let fisher =
    integral (fun x ->
        density path 0.1 x
        * Tensor.sumRows (Tensor.square (Mixture.score path law (at 0.1) x)))

let explicitly =
    mean (
        ScoreMatching.explicitly (Mixture.score path law) Weight.uniform times path
    )
let implicitly =
    mean (ScoreMatching.implicitly Trace.exact Weight.uniform times path) + fisher
let sliced = mean (ScoreMatching.sliced 1 Weight.uniform times path) + fisher
printfn $"explicit %.4f{explicitly}, implicit %.4f{implicitly}, sliced %.4f{sliced}"
(*** include-output ***)

(*** hide ***)
expect "implicit" explicitly 0.03 implicitly
expect "sliced" explicitly 0.08 sliced

(**
## Why it did not work, and why noise helps

Langevin dynamics goes where the score sends it, and between two modes the score says which is nearer, not which is heavier. A particle crosses a valley between them as seldom as the valley is deep. Start every particle in the right bump of our law and walk for 2,000 steps:
*)

let ula = Langevin.unadjusted (Mixture.scoreOfData law)
let right = 1.0 + 0.4 * Rng.normal Kind.Float64 [ 2000; 1 ] (Rng.ofSeed 6L)

let walked =
    (Integrator.run
        ula
        (Noise.fresh (Rng.ofSeed 7L))
        [| for k in 0..2000 -> 0.01 * float k |]
        right
     |> ok)
        .X

let left (x: Tensor) =
    (Tensor.mean ((Tensor.less x (Tensor.full x.Kind [] -0.5)).To Dtype.Float64))
        .ToFloat()
printfn
    $"weight of the left bump after 2,000 steps: %.3f{left walked}, in truth 0.400"
(*** include-output ***)

(**
A second failing hides behind it: where there are no data, nothing was fitted, and there the score is not even wrong in a known way.

Noise cures both (Song and Ermon 2019). Blurred at a large enough scale the law has one mode, whose score is easy to learn everywhere and easy to follow. So: walk at a large noise level until the blurred law is reached, lower the level a little, walk on. This is **annealed Langevin dynamics**, on the path $x_0 + \sigma\varepsilon$:
*)

let smld = Paths.veBetween 0.02 10.0
let blurred = Mixture.model smld Prediction.score law

let annealed perLevel steps =
    let sampler = Samplers.annealedLangevinWith 0.2 perLevel
    let plan = Sampling.plan sampler steps blurred
    left (Sampling.draw plan blurred None [ 1 ] 4000 4000 (Rng.ofSeed 8L) |> ok)

let shares =
    [ for perLevel, levels in [ 1, 20; 5, 20; 20, 40 ] ->
          perLevel, levels, annealed perLevel levels ]

for perLevel, levels, share in shares do
    printfn $"%3d{levels} levels of %3d{perLevel} steps: %.3f{share}"

(*** include-output ***)

(*** hide ***)
expect "plain Langevin stays" 0.0 0.1 (left walked)
let _, _, best = List.last shares
expect "annealed" 0.4 0.06 best

(**
The score at all noise levels is what [chapter 3](03-score.html) learns, with $w = \sigma^2$ so that every level counts the same. With infinitely many levels the annealing is a process of its own, and the walk at each level becomes unnecessary: the [reversed SDE](02-reversal.html). It can still be put in between: a step of the reversed SDE, then a few Langevin steps
at the level where it arrived, which pull the sample back to the law that it should have there. That is the *predictor–corrector* of Song et al. (2021), `Samplers.predictorCorrector`.
*)
