(**
---
title: 11 · Guidance
category: Theory
categoryindex: 2
index: 11
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Guidance

After this chapter you can steer samples towards a class, and say which law they are then drawn from.

A model of $p(x)$ and someone who wants a sample with a property $c$. By Bayes' rule $p_t(x \mid c) \propto p_t(x)\,p_t(c \mid x)$ at every time of the path, and in terms of scores the constant is gone:

$$\nabla\log p_t(x\mid c) = \nabla\log p_t(x) + \nabla\log p_t(c \mid x) .$$

So a classifier that was trained on noisy samples steers a model that never heard of classes (Sohl-Dickstein et al. 2015; Dhariwal and Nichol 2021). People found that the result looks better if the classifier is taken too seriously, with a factor $s > 1$.

If one network knows the class and can also be told none, no classifier is needed, since $\nabla \log p_t(c|x)$ is the difference of its two scores (Ho and Salimans 2022):

$$\nabla\log p_t(x) + s\,\big(\nabla\log p_t(x\mid c) - \nabla\log p_t(x)\big).$$

The weights add up to one and every prediction is an affine function of the score, so guiding the noise, the data or the velocity is one and the same. On a mixture whose components are classes both are exact. Two bumps that overlap:
*)

open Fokker

let bumps =
    Mixture.ofStds
        [| 0.5; 0.5 |]
        (Tensor.ofArray [ 2; 1 ] [| -0.7; 0.7 |])
        (Tensor.ofArray [ 2; 1 ] [| 0.6; 0.6 |])

let path = Path.condOT
let model = Mixture.model path Prediction.velocity bumps
let labels n = Tensor.ofArray [ n ] (Array.create n 1L)
let x = points [ -2.0 .. 0.5..2.0 ]
let right = Some(labels x.Shape[0])

let byClassifier = Guidance.byClassifier 3.0 (Mixture.logClass path bumps) model
let free = Guidance.model (Guidance.scaled 3.0) model
let difference =
    (Tensor.max (
        abs (byClassifier.Network right (at 0.4) x - free.Network right (at 0.4) x)
    ))
        .ToFloat()
printfn $"by the classifier and without one: largest difference {short difference}"
(*** include-output ***)

(*** hide ***)
expect "two kinds of guidance" 0.0 1e-9 difference

(**
## What it samples

It is tempting to say that guidance at scale $s$ samples the law $\propto p_0(x)\,p_0(c|x)^s$. At $t = 0$ the guided score is indeed that law's. But a [reversed process](02-reversal.html) needs the scores of one and the same process at *all* times, and the laws $p_t(x)\,p_t(c|x)^s$ are not those of any data with noise added. So guided samples have another law, which depends on the path and even on whether one follows the flow or the diffusion. For the right bump and $s = 3$:
*)

let n = 20000
let condition = Some(labels n)

let guided (guidance: Guidance) (sampler: Sampler) =
    let model = Guidance.model guidance model
    let plan = { Sampling.plan sampler 60 model with Kind = Kind.Float64 }
    floats (Sampling.draw plan model condition [ 1 ] n n (Rng.ofSeed 1L) |> ok)

let summary (xs: float[]) =
    let mean = Array.average xs
    mean, sqrt (Array.averageBy (fun x -> (x - mean) ** 2.0) xs)

/// log of p₀ p₀(c | x)^s, up to a constant.
let logTilted (s: float) (x: Tensor) =
    Mixture.logDensityOfData bumps x
    + s * Mixture.logClass path bumps (labels x.Shape[0]) (at 0.0) x

let tilted s =
    let z = integral (fun x -> exp (logTilted s x))
    let moment f =
        integral (fun x -> f (Tensor.flatten x) * exp (logTilted s x)) / z
    let mean = moment id
    mean, sqrt (moment Tensor.square - mean * mean)

let flow = guided (Guidance.scaled 3.0) Samplers.heun
let diffusion = guided (Guidance.scaled 3.0) Samplers.stochasticHeun

for name, (mean, std) in
    [ "the bump itself", (0.7, 0.6)
      "∝ p₀ p₀(c|x)³", tilted 3.0
      "guided flow", summary flow
      "guided diffusion", summary diffusion ] do
    printfn $"%-18s{name} mean %.3f{mean}, deviation %.3f{std}"

(*** include-output ***)

(*** hide ***)
let constant = integral (fun x -> exp (logTilted 3.0 x))

figure
    "The bump that was asked for, the law that guidance of scale 3 is often said to sample, and the one that the guided flow samples."
    { axes "x" "density" with Window = Some((-2.0, 4.0), (0.0, 1.1)) }
    [ Dashed("p₀(x|c)", curve (fun x -> exp (Likelihood.gaussian 0.6 (x - 0.7))))
      Curve("∝ p₀ p₀(c|x)³", curve (fun x -> exp (logTilted 3.0 x) / constant))
      Dots("guided flow", histogram 60 (-2.0, 4.0) flow) ]

(*** include-it-raw ***)

(*** hide ***)
let tiltedMean, tiltedStd = tilted 3.0
let flowMean, flowStd = summary flow
expect
    "the guided flow is further off"
    0.0
    0.0
    (if flowMean > tiltedMean + 0.05 then 0.0 else 1.0)

(**
The guided flow goes further than the tilted law. There is one case in which the two agree, Gaussians of one covariance for both $p$ and $p(\cdot|c)$, and a test holds every sampler to it.

## When

At high noise levels guidance decides where a sample goes; at low ones there is nothing left to decide, and pushing only distorts. Guiding in an interval of levels, $\varsigma = \sigma/\alpha$ from 0.25 to 4, keeps most of what it is for (Kynkäänniemi et al. 2024):
*)

let within =
    guided { Guidance.scaled 3.0 with Interval = Some(0.25, 4.0) } Samplers.heun
let mean, std = summary within
printfn $"guided in an interval: mean %.3f{mean}, deviation %.3f{std}"
(*** include-output ***)

(*** hide ***)
expect
    "between the two"
    0.0
    0.0
    (if mean < flowMean && mean > 0.7 then 0.0 else 1.0)

(**
Guidance in the library is a field made of fields, so it goes with every sampler, grid and path: [guidance](../guidance.html) has the options, what other libraries call the scale, and what it does to pictures of garments. In place of the unconditional network there may be a worse one of the same condition (autoguidance: Karras et al. 2024), and several conditions may be composed.

Steering by a reward at sampling time, with many particles that are weighed and resampled on the way, is another matter; the toolkit does not have it.
*)
