(**
---
title: 10 · Fewer evaluations
category: Theory
categoryindex: 2
index: 10
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Fewer evaluations

After this chapter you can say why some samplers need ten evaluations where others need a hundred.

A sample costs as many calls of a network as its solver takes steps. Decades of work on stiff equations apply, once the equation is written so that what is known exactly is not approximated.

Along the [probability flow](04-flow.html) write the velocity by the denoiser $\hat x_0 = \mathbb E[x_0|x_t]$ and $\hat\varepsilon = (x_t - \alpha\hat x_0)/\sigma$. Then $\dot x = \dot\alpha\,\hat x_0 + \dot\sigma\,\hat\varepsilon$, and

$$\frac{d}{dt}\,\frac{x}{\sigma} = \frac{\dot\alpha\hat x_0 + \dot\sigma\hat\varepsilon}{\sigma} - \frac{(\alpha\hat x_0 + \sigma\hat\varepsilon)\,\dot\sigma}{\sigma^2} = \Big(\frac{\alpha}{\sigma}\Big)^{\!\cdot}\;\hat x_0 .$$

The noise has dropped out, and so has the schedule: with $e^\lambda = \alpha/\sigma$ as the clock, from $t$ to an earlier $s$,

$$x_s = \frac{\sigma_s}{\sigma_t}\,x_t + \sigma_s\int_{\lambda_t}^{\lambda_s} e^{\lambda}\,\hat x_0(\lambda)\,d\lambda .$$

This is exact. Only $\hat x_0$ under the integral has to be approximated, and it changes slowly (Lu et al. 2022; Zhang and Chen 2023).

**Constant.** Take $\hat x_0$ as it is at $t$. The integral is $(\alpha_s/\sigma_s - \alpha_t/\sigma_t)\,\hat x_0$, and the step becomes

$$x_s = \alpha_s\,\hat x_0 + \sigma_s\,\hat\varepsilon .$$

That is DDIM (Song, Meng and Ermon 2021), found there by other means: an exponential integrator of first order. If the data were a single point it would be exact in one step.

**A polynomial** through the values of the last steps gives multistep methods of higher order at one evaluation a step: exponential Adams–Bashforth in $\lambda$, DEIS in $t$, DPM-Solver++ and UniPC with rules of their own. All are in the library as a rule for this integral. On our law, with the exact network, the root mean square error of 256 end points:
*)

open Fokker

let path = Path.vp
let model = Mixture.model path Prediction.noise law
let span: Span = { Noisy = 1.0; Clean = 1e-3; Finish = Stop }
let start = Rng.normal Kind.Float64 [ 256; 1 ] (Rng.ofSeed 1L)

let finish (sampler: Sampler) steps =
    let plan =
        { Sampling.plan sampler steps model with
            Grid = Grid.quadratic
            Span = span
            Kind = Kind.Float64 }

    Sampling.run plan model None (Noise.fresh (Rng.ofSeed 2L)) start |> ok,
    Sampling.evaluations plan

/// To eight digits and more.
let exact = fst (finish Samplers.rk4 600)

let methods =
    [ Samplers.euler
      Samplers.heun
      Samplers.ddim
      Samplers.dpmPp2m
      Samplers.unipc Exponential.Bh2 OfData 3 ]

let errors =
    [ for sampler in methods ->
          let perStep = sampler.EvaluationsPerStep

          sampler.Name,
          [ for evaluations in [ 6; 10; 16; 24; 40; 64; 100 ] ->
                let x, used = finish sampler (evaluations / perStep)
                float used,
                sqrt ((Tensor.mean (Tensor.square (x - exact))).ToFloat()) ] ]

(*** hide ***)
figure
    "Error of the end points against evaluations of the network, both logarithmic: the slope is the order."
    { axes "evaluations" "error" with LogX = true; LogY = true }
    [ for name, values in errors -> Curve(name, values) ]

(*** include-it-raw ***)

(*** hide ***)
let at100 name =
    errors |> List.find (fun (n, _) -> n = name) |> snd |> List.last |> snd
expect
    "unipc beats ddim a hundredfold at 100"
    0.0
    (0.01 * at100 "ddim")
    (at100 "unipc-3")
expect "2m beats ddim tenfold at 100" 0.0 (0.1 * at100 "ddim") (at100 "dpmpp-2m")

(**
[Which sampler](../samplers.html) has all of them, on two paths and all grids.

## Noise has its price

DDIM comes as a family, $x_s = \alpha_s\hat x_0 + \sqrt{\sigma_s^2 - \eta^2\tilde\beta}\;\hat\varepsilon + \eta\sqrt{\tilde\beta}\,z$. Each member keeps the marginals if $\hat x_0$ and $\hat\varepsilon$ were all there is to know; $\eta = 1$ is [ancestral sampling](08-chain.html). With few steps they come apart, as they did on images in the paper's Table 1, and most for the larger variance $\hat\sigma$. The 1-Wasserstein distance of
10,000 samples to the data:
*)

let truth = Tensor.flatten (Mixture.sample 10000 (Rng.ofSeed 3L) law)

let distance sampler steps =
    let plan = Sampling.plan sampler steps model
    let x = Sampling.draw plan model None [ 1 ] 10000 5000 (Rng.ofSeed 4L) |> ok
    Wasserstein.onLine 1.0 (Tensor.flatten (x.To Dtype.Float64)) truth

let rows =
    [ "η = 0", Samplers.ddim
      "η = ½", Samplers.ddimWith 0.5
      "η = 1", Samplers.ddimWith 1.0
      "σ̂", Samplers.ancestralLarge ]

printfn "steps        5      10      20     100"

let table =
    [ for name, sampler in rows do
          let row = [ for steps in [ 5; 10; 20; 100 ] -> distance sampler steps ]
          let numbers = row |> List.map (fun d -> $"%.3f{d}") |> String.concat "   "
          printfn $"%-8s{name} {numbers}"
          row ]

(*** include-output ***)

(*** hide ***)
expect "η = 0 is the better at ten steps" 0.0 table[2].[1] table[0].[1]

(**
(On this law $\hat\sigma$ does well, since its noise is what the few steps of $\eta = 1$ lack. On images a little noise too much is seen, and the paper's row is the worst of all. It is a good reason to measure on one's own data.)

## In parallel

Another way to be fast is not to wait. The states of a deterministic run are the fixed point of "every state is the start plus all the steps before it", and Picard's iteration takes all steps of a window at once, in one batch (Shih et al. 2023). The first state of the window is right after one round, the second after two, and usually most of the rest long before:
*)

let plan =
    { Sampling.plan Samplers.ddim 400 model with Span = span; Kind = Kind.Float64 }

let few = start[..15]
let sequential =
    Sampling.run plan model None (Noise.fresh (Rng.ofSeed 2L)) few |> ok

let together =
    Picard.run
        { Window = 64; Tolerance = 0.1 }
        plan
        model
        None
        (Noise.fresh (Rng.ofSeed 2L))
        few
    |> ok

let apart = (Tensor.max (abs (together.X - sequential))).ToFloat()
printfn $"400 steps in %d{together.Calls} rounds; largest difference {short apart}"
(*** include-output ***)

(*** hide ***)
expect "rounds" 0.0 100.0 (float together.Calls)
expect "the same samples" 0.0 0.05 apart

(**
It buys time with evaluations, and pays where a batch of 64 costs as much as one.
*)
