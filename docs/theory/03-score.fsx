(**
---
title: 3 · Learning the score
category: Theory
categoryindex: 2
index: 3
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Learning the score

After this chapter you can learn a score from samples, and say what it means for denoising.

To [run time backwards](02-reversal.html) one needs $\nabla\log p_t$, and $p_t$ is the law of the data blurred: the very thing that is not known. What there is are samples. Three facts make that enough.

**The score is a conditional mean.** Given $x_0$ the state $x_t = \alpha x_0 + \sigma\varepsilon$ is Gaussian, with score $-(x_t - \alpha x_0)/\sigma^2 = -\varepsilon/\sigma$. And
$p_t(x) = \int p_t(x\mid x_0)\,p_0(dx_0)$, so

$$\nabla\log p_t(x) = \frac{\int \nabla p_t(x \mid x_0)\,p_0(dx_0)}{p_t(x)} = \mathbb E\big[\nabla \log p_t(x \mid x_0)\,\big|\,x_t = x\big] = -\frac{\mathbb E[\varepsilon \mid x_t = x]}{\sigma} .$$

**A conditional mean is a regression.** Among all functions of $x_t$ the mean squared distance to $-\varepsilon/\sigma$ is least at its conditional mean. So one may fit a network to a target that is
known for every draw:

$$\mathrm{DSM}(s) = \mathbb E\,\big\| s(t, x_t) + \varepsilon/\sigma \big\|^2 .$$

This is denoising score matching (Vincent 2011). By Pythagoras it is the distance that was meant and a constant in which $s$ does not occur:

$$\mathrm{DSM}(s) = \underbrace{\mathbb E\,\|s - \nabla\log p_t\|^2}_{\text{explicit}} \;+\; \underbrace{\tfrac{d}{\sigma^2} - \mathbb E\,\|\nabla \log p_t\|^2}_{\text{what } x_t \text{ leaves open}} .$$

**The denoiser is the same thing.** From $x_t = \alpha x_0 + \sigma\varepsilon$, $\;\mathbb E[x_0\mid x_t] = \big(x_t + \sigma^2\,\nabla\log p_t(x_t)\big)/\alpha$: Tweedie's formula (Robbins 1956; Efron 2011). Whoever can remove noise knows the score.

## Held against the truth

Three "networks" at $t = 0.1$ of the Ornstein–Uhlenbeck path: the exact score, none at all, and the score of $N(0, 1)$. The library has both losses; the difference between them should be the same for the three.
*)

open Fokker

let path = Path.ouTo 5.0
let t = 0.1

/// Every sample at time t.
let times =
    { Times.uniform with Draw = fun _ _ n -> Tensor.full Kind.Float64 [ n ] t }

let truth = Mixture.score path law
let batch: Batch =
    { Data = Mixture.sample 100000 (Rng.ofSeed 1L) law
      Label = None
      Source = None }

let mean (loss: Loss) (score: Field) =
    let context = LossContext.ofNetwork (fun _ -> score)
    (Tensor.mean (loss context (Rng.ofSeed 2L) batch)).ToFloat()

let explicitly = ScoreMatching.explicitly truth Weight.uniform times path
let denoising = ScoreMatching.denoising Weight.uniform times path

let networks: (string * Field) list =
    [ "exact", truth
      "zero", (fun _ x -> Tensor.zerosLike x)
      "−x", (fun _ x -> -x) ]

let differences =
    [ for name, score in networks do
          let e, d = mean explicitly score, mean denoising score
          printfn
              $"%-6s{name} explicit %.4f{e}   denoising %.4f{d}   difference %.4f{d - e}"
          d - e ]

(*** include-output ***)

(**
and the constant, with $\mathbb E\|\nabla\log p_t\|^2$ integrated over the line:
*)

let variance = Curve.eval path.Variance t

let fisher (t: float) =
    integral (fun x ->
        density path t x * Tensor.sumRows (Tensor.square (truth (at t) x)))

printfn $"1/σ² − E‖∇log p‖² = %.4f{1.0 / variance - fisher t}"
(*** include-output ***)

(*** hide ***)
for d in differences do
    // 100,000 draws of differences with a standard deviation below 3.
    expect "DSM − ESM" (1.0 / variance - fisher t) 0.03 d

(**
So a score-matching loss does not go to zero, and how far it stays above says nothing of the network until one knows the constant. In terms of the noise, $\varepsilon$-prediction at its best has the loss
$\mathbb E\|\varepsilon - \mathbb E[\varepsilon\mid x_t]\|^2 = d - \sigma^2\,\mathbb E\|\nabla\log p_t\|^2$. For our law it looks like this; a perfect network's training curve, resolved by $t$, would lie on the line:
*)

(*** hide ***)
let least t = 1.0 - Curve.eval path.Variance t * fisher t

figure
    "The least loss of a network that predicts the noise, at each time. At t = 0 the noise cannot be told from the data's own spread; at t = 1 the state is the noise."
    { axes "t" "E‖ε − E[ε|x]‖²" with Window = Some((0.0, 0.6), (0.0, 1.0)) }
    [ Curve("", sampled 121 (0.002, 0.6) least) ]

(*** include-it-raw ***)

(**
## One network for all times

One network takes $t$ as a second input, and the loss averages over times: $\int w(t)\,\mathrm{DSM}_t\,dt$. The raw score has size $1/\sigma$ and blows up at the data; with $w = \sigma^2$ every time's loss is of order one. That is `Loss.dsm`:
*)

let dsm = Loss.dsm path
printfn
    $"{dsm.Prediction.Equation}, weight {dsm.Weight.Equation}, times {dsm.Times.Equation}"
(*** include-output ***)

(**
It is a value made of parts: what is predicted, on which path, at which times, with which weight. Chapter 7 shows how little these differ, and where they do.

## What it does not say

With finitely many data points $x^1,\dots,x^n$ the loss has an exact minimizer too: the score of $\frac1n\sum_i N(\alpha x^i, \sigma^2 I)$. Running time backwards with it
gives back the data points themselves, and nothing new. That a trained network generalizes is due to what it cannot fit; the theory here has nothing to say on that. The other two ways to fit a
score, without noise at all, are in [chapter 9](09-energies.html).
*)
