(**
---
title: 1 · From data to noise
category: Theory
categoryindex: 2
index: 1
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# From data to noise

After this chapter you can write a noising process as two curves, and read its drift, its diffusion and its marginal laws off them.

A generative model turns a law that is easy to sample into the law of some data. The way there begins by going in the other direction, since to destroy
data is easy. Let a particle start at a data point, be pulled towards the origin, and be shaken:

$$dX_s = -X_s\,ds + \sqrt 2\,dB_s, \qquad X_0 \sim p_0 .$$

This is the Ornstein–Uhlenbeck process. Its drift is linear, so it can be solved: multiply by $e^{s}$ and integrate,

$$X_s = e^{-s} X_0 + \sqrt 2 \int_0^s e^{-(s-u)}\,dB_u .$$

The integral is a Gaussian of variance $2\int_0^s e^{-2(s-u)}du = 1 - e^{-2s}$. So at any time, without simulating anything, 

$$X_s \overset{d}{=} e^{-s} X_0 + \sqrt{1 - e^{-2s}}\;\varepsilon , \qquad \varepsilon \sim N(0, I).$$

The data shrink, the noise grows, and the variance of data that had variance one stays one. Fokker runs every process on $t \in [0, 1]$, **data at 0 and noise at 1**;
here $s = Tt$ with $T = 5$. A path is a value, two curves $\alpha$ and $\sigma$ of $x_t = \alpha(t)\,x_0 + \sigma(t)\,\varepsilon$:
*)

open Fokker

let path = Path.ouTo 5.0

for t in [ 0.0; 0.1; 0.5; 1.0 ] do
    let struct (alpha, sigma) = Path.alphaSigma path t
    printfn $"t = %.1f{t}   α = %.5f{alpha}   σ = %.5f{sigma}"

(*** include-output ***)

(**
## The law on the way

The density of $X_t$ is that of the shrunken data, blurred by a Gaussian. For most laws nobody can write it down. For a mixture of Gaussians one can: each bump
stays a bump. The chapters of this guide use such a law, `law`, with bumps $N(-1.5, 0.25^2)$ and $N(1, 0.4^2)$ of weight 0.4 and 0.6, whenever a statement is to be held
against the truth. Below, the exact $p_t$, and at $t = 0.2$ the end points of 20,000 simulated particles:
*)

let forward = Sde.ofPath path
let times = [| for k in 0..200 -> 0.001 * float k |]

let particles =
    Mixture.sample 20000 (Rng.ofSeed 1L) law
    |> Integrator.run
        (Integrator.eulerMaruyama forward)
        (Noise.fresh (Rng.ofSeed 2L))
        times
    |> ok

(*** hide ***)
let simulated = floats particles.X

figure
    "The law of the Ornstein–Uhlenbeck process at four times. Dots: a histogram of the process simulated to t = 0.2."
    { axes "x" "p_t(x)" with Window = Some((-4.0, 4.0), (0.0, 0.8)) }
    [ Dashed("t = 0", curve (density path 0.0))
      Curve("t = 0.05", curve (density path 0.05))
      Curve("t = 0.2", curve (density path 0.2))
      Curve("t = 1", curve (density path 1.0))
      Dots("", histogram 50 (-4.0, 4.0) simulated) ]

(*** include-it-raw ***)

(**
`Sde.ofPath` found the drift and the diffusion from the two curves. That works for every path: $dX = f(t)\,X\,dt + g(t)\,dB$ has mean $\alpha x_0$ and variance $\sigma^2$ exactly if

$$f = \frac{d}{dt}\log\alpha, \qquad g^2 = \frac{d\sigma^2}{dt} - 2 f \sigma^2 .$$

(The mean obeys $\dot m = f m$; the variance $\dot v = 2 f v + g^2$.) On this path they are constants, $-T$ and $2T$:
*)

printfn
    $"f = %.2f{Curve.eval (Path.driftRate path) 0.3}, g² = %.2f{Curve.eval (Path.diffusionSquared path) 0.3}"
(*** include-output ***)

(*** hide ***)
expect "f" -5.0 1e-12 (Curve.eval (Path.driftRate path) 0.3)
expect "g²" 10.0 1e-12 (Curve.eval (Path.diffusionSquared path) 0.3)
let variance = simulated |> Array.averageBy (fun x -> x * x)
// 1 + 0.621 e^{−2}; twenty thousand draws give a variance of about 1 to ±0.01, and Euler's steps of 0.005 T add as much.
expect "variance at 0.2" (1.0 + 0.621 * exp -2.0) 0.04 variance

(**
## How fast the data are forgotten

At the end of the path sampling will start from $N(0, I)$ in the place of $p_1$. How wrong is that? The relative entropy to the stationary law falls exponentially,

$$\mathrm{KL}(p_s \,\|\, N(0, I)) \le e^{-2s}\,\mathrm{KL}(p_0 \,\|\, N(0, I)),$$

which is the logarithmic Sobolev inequality of the Gaussian (Gross 1975; Bakry, Émery 1985). For centred data it is faster still: the slowest mode that is left is the
variance, which moves as $e^{-2s}$, and the divergence is of second order in it, $\tfrac14 (\operatorname{var} p_0 - 1)^2\, e^{-4s}$. Our law has mean 0 and variance 1.621:
*)

let divergence s =
    let t = s / 5.0

    integral (fun x ->
        let logP = Mixture.logDensity path law (at t) x
        exp logP * (logP - Likelihood.gaussian 1.0 x))

for s in [ 0.5; 1.0; 2.0; 3.0 ] do
    printfn
        $"s = %.1f{s}   KL = {short (divergence s)}   ¼ · 0.621² · e^(−4s) = {short (0.25 * 0.621 ** 2.0 * exp (-4.0 * s))}"

(*** include-output ***)

(*** hide ***)
expect "the rate" 1.0 0.01 (divergence 3.0 / (0.25 * 0.621 ** 2.0 * exp -12.0))

(**
At $s = 5$ it is below $10^{-9}$ nats: nothing. The other half of the trade is that a long path spends most of its time where nothing happens, which is what the
schedules of the literature are about. All are paths in the same sense, two curves and the rest follows:

- `Path.vp` (Song et al. 2021): the same process on a clock that runs slowly first, $f = -\tfrac12\beta(t)$ with $\beta$ from 0.1 to 20;
- `Paths.ve`: the data stay where they are, $\alpha = 1$, and noise is heaped on them;
- `Path.condOT`: $x_t = (1-t)\,x_0 + t\,\varepsilon$, straight lines, which leave no data at all at $t = 1$ (chapter 6).

Nothing in what follows depends on which one it is.
*)
