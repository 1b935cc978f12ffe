(**
---
title: 5 · Densities
category: Theory
categoryindex: 2
index: 5
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Densities

After this chapter you can find the density of a point by following the flow through it.

A diffusion gives samples. A flow gives more: the density of every point, exactly but for the solver.

A normalizing flow is an invertible map $F$ from data to a law $\pi$ that one can evaluate; then $\log p(x) = \log \pi(F(x)) + \log|\det \partial F(x)|$. The determinant of a $d \times d$ matrix is what limits such models: they are built so that it is triangular. For the map
of an ODE no determinant is needed (Chen et al. 2018). Follow a particle of $\dot x = v(t, x)$ through the density it belongs to:

$$\frac{d}{dt}\log p_t(x_t) = \frac{\partial_t p_t + \dot x\cdot\nabla p_t}{p_t} = \frac{-\nabla\!\cdot(v p_t) + v\cdot\nabla p_t}{p_t} = -\nabla\!\cdot v(t, x_t) .$$

So from a data point up to the noise, where the law is known,

$$\log p_0(x_0) = \log p_1(x_1) + \int_0^1 \nabla\!\cdot v(t, x_t)\,dt .$$

State and integral are one ODE in $d + 1$ unknowns, and every solver does it. For the exact velocity of our law on the straight path, adaptive steps of an eighth-order method:
*)

open Fokker

let path = Path.condOT
let model = Mixture.model path Prediction.velocity law
let plan =
    { Sampling.plan (Samplers.all |> List.find (fun s -> s.Name = "dop853")) 1 model with
        Kind = Kind.Float64 }

let likelihood rtol =
    { Likelihood.make Trace.exact plan path with
        Control = Adaptive(Tolerance.both rtol) }

let data = Mixture.sample 16 (Rng.ofSeed 1L) law

let error rtol =
    let found =
        Likelihood.logDensity (likelihood rtol) model None (Rng.ofSeed 2L) data
        |> ok
    (Tensor.max (abs (found - Mixture.logDensityOfData law data))).ToFloat()

for rtol in [ 1e-3; 1e-6; 1e-9 ] do
    printfn $"tolerance {short (rtol)}: largest error of log p {short (error rtol)}"

(*** include-output ***)

(*** hide ***)
expect "log p at 1e-9" 0.0 1e-7 (error 1e-9)

(**
A density integrates to one. Whatever the field, a bad one or a good one: the flow is a map, so this is a property of the method and no sign that the model is right. Half the velocity, which is a wrong model:
*)

let halved =
    Model.make path Prediction.velocity (fun _ t x ->
        0.5 * Mixture.velocity path law t x)

let mass =
    integral (fun x ->
        exp (
            Likelihood.logDensity (likelihood 1e-6) halved None (Rng.ofSeed 2L) x
            |> ok
        ))

printfn $"∫ p dx = %.6f{mass}"
(*** include-output ***)

(*** hide ***)
expect "the mass" 1.0 1e-4 mass

(**
## The trace

The divergence is the trace of the Jacobian, and costs a derivative for each coordinate: 784 for an image of Fashion-MNIST. Hutchinson's estimate needs one. For any random $z$ with $\mathbb E\,zz^\top = I$,

$$\mathbb E\; z^\top J z = \operatorname{tr} J ,$$

and $z^\top J z$ is one product of the Jacobian with a vector. Drawn once and kept along the trajectory, $z$ makes the estimate of $\log p$ unbiased (Grathwohl et al. 2019). With signs $z_i = \pm1$ its variance is $2(\|S\|_F^2 - \sum_i S_{ii}^2)$, $S$ the symmetric part of $J$; with
Gaussian $z$ it is $2\|S\|_F^2$. Signs are never worse, and exact where $J$ is diagonal. In eight dimensions, for a mixture of three Gaussians with covariances that are not diagonal:
*)

let eight =
    let d, k = 8, 3
    let means = 1.2 * Rng.normal Kind.Float64 [ k; d ] (Rng.ofSeed 3L)
    let a = Rng.normal Kind.Float64 [ k; d; d ] (Rng.ofSeed 4L)
    let spread = 0.15 * Linalg.einsum "kij,klj->kil" [ a; a ]
    Mixture.ofCovariances
        [| 0.2; 0.3; 0.5 |]
        means
        (spread
         + 0.1
           * Linalg.einsum
               "kij,kij->kij"
               [ Tensor.ones Kind.Float64 [ k; d; d ]
                 Tensor.diagEmbed (Tensor.ones Kind.Float64 [ k; d ]) ])

let truth = Mixture.model path Prediction.velocity eight
let one = Mixture.sample 1 (Rng.ofSeed 5L) eight

let estimate (trace: Trace) =
    let likelihood =
        { Likelihood.make trace plan path with
            Control = Adaptive(Tolerance.both 1e-5) }

    let flow condition = Ode.ofModel condition truth
    let found =
        Likelihood.underFlow likelihood path flow None (Rng.ofSeed 6L) one |> ok
    found.LogDensity.ToFloat(),
    (match found.StandardError with
     | Some e -> e.ToFloat()
     | None -> 0.0)

let exactly = (Mixture.logDensityOfData eight one).ToFloat()
printfn $"in closed form     %.4f{exactly}"

let estimates =
    [ for trace in [ Trace.exact; Trace.rademacher 64; Trace.gaussian 64 ] do
          let value, error = estimate trace
          printfn $"%-16s{trace.Name}   %.4f{value} ± %.4f{error}"
          value, error ]

(*** include-output ***)

(*** hide ***)
expect "exact trace" exactly 1e-3 (fst estimates[0])
for value, error in estimates.Tail do
    expect "estimated trace" exactly (4.0 * error) value

(**
## Two cautions

*The prior.* The formula wants $p_1$. On the straight path that is $N(0, I)$. On a variance-preserving path something of the data is left at $t = 1$, and $N(0, I)$ in the place of $p_1$ costs up to $10^{-2}$ nats: it is `Likelihood.costOfPrior`.

*Images.* Pixels are whole numbers, and a density over the reals can put arbitrarily much on them. One adds uniform noise of the width of a step and reports **bits per dimension**, $-\log_2 p / d$: a bound on the bits that a lossless code would need (`Likelihood.dequantized`, `bitsPerDimension`).

What likelihoods of trained models cost and come to is in [likelihood and latents](../likelihood.html).
*)
