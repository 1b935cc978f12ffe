(**
---
title: 8 · The discrete chain
category: Theory
categoryindex: 2
index: 8
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# The discrete chain

After this chapter you can read a chain of a thousand steps, its bound and its samplers as the same calculus at discrete times.

Diffusion models came into use as a chain of a thousand small steps (Sohl-Dickstein et al. 2015; Ho, Jain and Abbeel 2020), trained as a variational autoencoder whose encoder is fixed. The chain is a [path](01-noise.html) seen at the times $k/N$; this chapter says what it adds: a bound on the likelihood that needs no flow.

$$x_k = \sqrt{1 - \beta_k}\;x_{k-1} + \sqrt{\beta_k}\;z_k, \qquad x_k = \sqrt{\bar\alpha_k}\,x_0 + \sqrt{1 - \bar\alpha_k}\;\varepsilon, \qquad \bar\alpha_k = \prod_{i \le k}(1 - \beta_i).$$

## One step back, knowing the end

Given $x_0$, everything is Gaussian and Bayes' rule is completing a square. For any two times $s < t$ of a Gaussian path, with $\alpha_{t|s} = \alpha_t/\alpha_s$ and $\sigma^2_{t|s} = \sigma_t^2 - \alpha_{t|s}^2\sigma_s^2$,

$$q(x_s \mid x_t, x_0) = N\Big(\frac{\alpha_{t|s}\,\sigma_s^2}{\sigma_t^2}\,x_t + \frac{\alpha_s\,\sigma^2_{t|s}}{\sigma_t^2}\,x_0,\;\; \frac{\sigma_s^2\,\sigma^2_{t|s}}{\sigma_t^2}\,I\Big).$$

On the grid of the chain, $\sigma^2_{t|s} = \beta_k$, and this is

$$\tilde\mu_k = \frac{\sqrt{1-\beta_k}\,(1 - \bar\alpha_{k-1})}{1 - \bar\alpha_k}\,x_k + \frac{\sqrt{\bar\alpha_{k-1}}\,\beta_k}{1 - \bar\alpha_k}\,x_0, \qquad \tilde\beta_k = \frac{1 - \bar\alpha_{k-1}}{1 - \bar\alpha_k}\,\beta_k .$$

At $k = 500$ of the usual schedule, from the list of the $\beta$ and from the path:
*)

open Fokker

let betas = Paths.ddpmBetas 1000
let bars = Paths.logAlphaBars betas |> Array.map exp
let k = 500
let beta, before, after = betas[k - 1], bars[k - 1], bars[k]
let posterior = Variational.posterior Paths.ddpm 0.499 0.5

printfn
    $"of x_k   %.8f{sqrt (1.0 - beta) * (1.0 - before) / (1.0 - after)}   %.8f{posterior.State}"
printfn $"of x_0   %.8f{sqrt before * beta / (1.0 - after)}   %.8f{posterior.Data}"
printfn
    $"variance %.8f{(1.0 - before) / (1.0 - after) * beta}   %.8f{posterior.Variance}"
(*** include-output ***)

(*** hide ***)
expect
    "of x_k"
    (sqrt (1.0 - beta) * (1.0 - before) / (1.0 - after))
    1e-9
    posterior.State
expect "of x_0" (sqrt before * beta / (1.0 - after)) 1e-9 posterior.Data
expect "variance" ((1.0 - before) / (1.0 - after) * beta) 1e-9 posterior.Variance

(**
## A model and its bound

The model walks back from $N(0, I)$ with Gaussian steps $p_\theta(x_s \mid x_t)$ whose mean is the posterior's at a guess $\hat x_0(t, x_t)$. Jensen's inequality bounds the likelihood term by term:

$$-\log p_\theta(x_0) \le \underbrace{\mathrm{KL}\big(q(x_1|x_0)\,\|\,N(0, I)\big)}_{L_T} + \sum_{k \ge 2} \underbrace{\mathbb E\;\mathrm{KL}\big(q(x_s|x_t, x_0)\,\|\,p_\theta(x_s|x_t)\big)}_{L_{k-1}} + \underbrace{\mathbb E\big[-\log p_\theta(x_0 \mid x_{1/N})\big]}_{L_0} .$$

Each term compares Gaussians, and is a squared error with a weight. With variance $\tilde\beta$,

$$L_{k-1} = \tfrac12\Big(\frac{\alpha_s^2}{\sigma_s^2} - \frac{\alpha_t^2}{\sigma_t^2}\Big)\,\mathbb E\,\|x_0 - \hat x_0\|^2 ,$$

half the drop of the signal-to-noise ratio. In the limit of many steps the sum is an integral over $\lambda$ alone, the schedule is gone, and with the exact denoiser the bound is an equality: the reverse of the continuous chain *is* Gaussian in each small step. The exact denoiser of our law, whose $-\mathbb E\log p$ is known, shows how fast:
*)

let path = Path.vp
let denoiser = Mixture.denoiser path law
let data = Mixture.sample 20000 (Rng.ofSeed 1L) law
let entropy = -(Tensor.mean (Mixture.logDensityOfData law data)).ToFloat()

let bound variance n =
    let times = Grid.times Grid.lambda path (1.0, 1e-3) n |> Array.rev
    (Tensor.mean (
        Variational.discreteBound
            variance
            path
            times
            1.0
            denoiser
            (Rng.ofSeed 2L)
            data
    ))
        .ToFloat()

let table =
    [ for n in [ 10; 30; 100; 300 ] ->
          n, bound Variational.small n, bound Variational.large n ]

printfn $"−E log p of the same data: %.3f{entropy} nats"
for n, small, large in table do
    printfn $"%4d{n} steps: %.3f{small} with variance β̃,  %.3f{large} with β"

(*** include-output ***)

(*** hide ***)
let _, small300, large300 = List.last table
// One draw a term: 20,000 samples leave about 0.02.
expect "the bound" entropy 0.06 large300
expect "the bound, small" entropy 0.12 small300
let _, small10, large10 = table.Head
expect "β is the better one at few steps" 0.0 small10 large10

(**
$\tilde\beta$ is the right variance if the data are one point, $\beta$ if they are $N(0, I)$; the truth lies between, and the fewer the steps the more it matters. A network may learn where (`Samplers.ancestralLearned`; Nichol and Dhariwal 2021).

## The loss that is used

Written for the noise, $L_{k-1} = w_k\,\mathbb E\|\varepsilon - \hat\varepsilon\|^2$ with

$$w_k = \frac{\beta_k^2}{2\,\tilde\beta_k\,(1 - \beta_k)(1 - \bar\alpha_k)} ,$$

large at the last steps before the data, where it pays for detail that nobody sees. Ho, Jain and Abbeel set $w_k = 1$:

$$L_{\text{simple}} = \mathbb E\,\|\varepsilon - \hat\varepsilon(x_t, t)\|^2 .$$

It is no bound on anything, and in their Table 2 it gives the better pictures by far. [Studies](../studies.html) makes the comparison in the plane, where the learned variance is what matters.
*)

let weight k =
    let tilde = (1.0 - bars[k - 1]) / (1.0 - bars[k]) * betas[k - 1]
    betas[k - 1] ** 2.0 / (2.0 * tilde * (1.0 - betas[k - 1]) * (1.0 - bars[k]))

printfn
    "w_k at k = %s"
    (String.concat ", " [ for k in [ 2; 10; 100; 1000 ] -> $"{k}: %.4f{weight k}" ])
(*** include-output ***)

(*** hide ***)
expect "the weight falls" 0.0 (weight 2 / 10.0) (weight 100)

(**
## Sampling

One step of the chain back, $x_s = \tilde\mu(x_t, \hat x_0) + \sqrt{\text{variance}}\;z$, is *ancestral sampling*. To first order in the step it is the Euler–Maruyama step of the [reversed SDE](02-reversal.html), and as $N \to \infty$ it is the reversed SDE. At few steps the two variances show at once in what comes out. The law's second moment is 1.621:
*)

let noisePredicting = Mixture.model path Prediction.noise law

let secondMoment (sampler: Sampler) steps =
    let plan = Sampling.plan sampler steps noisePredicting
    let x =
        Sampling.draw plan noisePredicting None [ 1 ] 20000 5000 (Rng.ofSeed 3L)
        |> ok
    (Tensor.mean (Tensor.square x)).ToFloat()

for steps in [ 5; 20; 100 ] do
    printfn
        $"%4d{steps} steps: β̃ %.3f{secondMoment Samplers.ancestral steps}, β %.3f{secondMoment Samplers.ancestralLarge steps}"

(*** include-output ***)

(*** hide ***)
expect "a hundred steps" 1.621 0.08 (secondMoment Samplers.ancestralLarge 100)
