(**
---
title: 4 · The probability flow
category: Theory
categoryindex: 2
index: 4
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# The probability flow

After this chapter you can turn a diffusion into a flow with the same marginals, and into every process between the two.

The [reversed process](02-reversal.html) does more than it has to. It reproduces the law of whole paths, while only the marginals $p_t$ matter to someone who wants samples of $p_0$. Which other processes have the same marginals?

Write the diffusion term of the Fokker–Planck equation as a transport term. Since $\Delta p = \nabla\!\cdot(p\,\nabla\log p)$,

$$\partial_t p = -\nabla\!\cdot(f p) + \tfrac12 g^2\,\Delta p = -\nabla\!\cdot\big(\underbrace{(f - \tfrac12 g^2\,\nabla\log p)}_{v}\;p\big).$$

The right-hand side is what a density does when every particle moves along $\dot x = v(t, x)$, without any noise. It is called the **probability flow** (Song et al. 2021). A particle that starts with law $p_1$ and
follows it down to $t = 0$ ends with law $p_0$; and up again, it returns to where it was.

There is a second way to the same field. On $x_t = \alpha x_0 + \sigma\varepsilon$ each pair $(x_0, \varepsilon)$ moves with velocity $\dot\alpha x_0 + \dot\sigma\varepsilon$. Where several pairs meet, their mean flow is

$$v(t, x) = \mathbb E\big[\dot\alpha\,x_0 + \dot\sigma\,\varepsilon \,\big|\, x_t = x\big],$$

and it transports $p_t$, as chapter 6 shows. Put in $\mathbb E[\varepsilon|x] = -\sigma\nabla\log p$ and Tweedie's formula, and the two agree. In numbers:
*)

open Fokker

let path = Path.vp
let score = Mixture.score path law
let byScore = (Sde.probabilityFlow score (Sde.ofPath path)).Velocity
let byMean = Mixture.velocity path law
let places = points [ -3.0 .. 0.25..3.0 ]

let apart =
    [ for t in [ 0.05; 0.3; 0.7; 0.95 ] ->
          (Tensor.max (abs (byScore (at t) places - byMean (at t) places)))
              .ToFloat() ]

printfn $"largest difference {short (List.max apart)}"
(*** include-output ***)

(*** hide ***)
expect "two forms of the velocity" 0.0 1e-10 (List.max apart)

let ode: Ode = { Velocity = byMean }
let follow tableau (times: float[]) x =
    (Integrator.run
        (Integrator.rungeKutta tableau ode)
        (Noise.fresh (Rng.ofSeed 0L))
        times
        x
     |> ok)
        .X
let down n = Grid.times Grid.lambda path (1.0, 1e-3) n

let lines =
    let starts = points [ -2.4 .. 0.2..2.4 ]
    let states =
        Integrator.states
            (Integrator.rungeKutta Tableau.rk4 ode)
            (Noise.fresh (Rng.ofSeed 0L))
            (down 80)
            starts
        |> Seq.map (fun s -> let s = ok s in s.Time, floats s.X)
        |> List.ofSeq
    [ for i in 0 .. starts.Shape[0] - 1 -> Trace [ for t, x in states -> t, x[i] ] ]

figure
    "The probability flow of the VP path for the two bumps. On the line trajectories cannot cross: the flow is the increasing map from N(0, 1) to the law of the data."
    { axes "t" "x" with Window = Some((0.0, 1.0), (-2.5, 2.5)) }
    lines

(*** include-it-raw ***)

(**
## A family

Between the flow and the reversed diffusion lies a family, and beyond. For any $c \ge 0$ the backward process

$$dX = \Big(v - \tfrac12 c^2 g^2\,\nabla\log p_t\Big)\,dt + c\,g\,d\bar B$$

has the marginals $p_t$: what the noise spreads, the drift takes back. $c = 0$ is the flow, $c = 1$ the reversal of the forward process (Karras et al. 2022; Zhang and Chen 2023). In exact arithmetic all are alike. With steps of finite length, and with a score that is not exact, they
are not. Below, the 1-Wasserstein distance of 20,000 samples from the law they should have:
*)

let reference = floats (Mixture.sampleAt path 1e-3 20000 (Rng.ofSeed 1L) law)
let start = Rng.normal Kind.Float64 [ 20000; 1 ] (Rng.ofSeed 2L)
let distance x =
    Wasserstein.onLine 1.0 (Tensor.flatten x) (Tensor.ofArray [ 20000 ] reference)

let off churn steps =
    let sde = Sde.withChurn churn path byMean score
    distance
        (Integrator.run
            (Integrator.eulerMaruyama sde)
            (Noise.fresh (Rng.ofSeed 3L))
            (down steps)
            start
         |> ok)
            .X

let table =
    [ for steps in [ 10; 20; 50; 200 ] ->
          steps, [ for c in [ 0.0; 0.5; 1.0; 1.5 ] -> off c steps ] ]

printfn "steps    c = 0   c = ½   c = 1   c = 1½"

for steps, row in table do
    let numbers = row |> List.map (fun w -> $"%.3f{w}") |> String.concat "   "
    printfn $"%5d{steps}    {numbers}"

let floor = distance (Mixture.sampleAt path 1e-3 20000 (Rng.ofSeed 4L) law)
printfn $"two sets of 20,000 draws of the law itself: %.3f{floor}"
(*** include-output ***)

(*** hide ***)
for w in snd (List.last table) do
    // Twenty thousand draws on either side, as the floor, and Euler's bias.
    expect "W₁ at 200 steps" 0.0 (2.0 * floor) w

let ten = snd table.Head
expect "ten steps: c = 1 is as good as the flow" ten[0] 0.03 ten[2]
expect "ten steps: c = 1½ is not" 0.0 (0.5 * ten[3]) ten[0]

(**
At 200 steps all of them have the law. At ten, steps are too long for the strongest noise, whose drift pulls the harder the more there is to take back; the others are alike, first-order
methods with first-order errors. The differences that matter are two. The flow is smooth, so methods of high order can follow it, and ten evaluations are then plenty ([chapter 10](10-fewer.html)). And noise forgets: a
stochastic process loses what went wrong earlier on the way, which no test with an exact score can show. `Samplers.edm` adds noise in a window of middle levels for that reason, and never at the two ends.

## An invertible map

Since nothing is random but the start, the flow is a map, and so is its inverse. Up to the noise and down again, by 200 steps of a fourth-order method each way:
*)

let x = Mixture.sample 1000 (Rng.ofSeed 5L) law
let up = down 200 |> Array.rev
let there = follow Tableau.rk4 up x
let back = follow Tableau.rk4 (down 200) there
printfn
    $"largest error of a round trip {short ((Tensor.max (abs (back - x))).ToFloat())}"
printfn
    $"the latents: mean %.3f{(Tensor.mean there).ToFloat()}, mean square %.3f{(Tensor.mean (Tensor.square there)).ToFloat()}"
(*** include-output ***)

(*** hide ***)
expect "round trip" 0.0 1e-5 ((Tensor.max (abs (back - x))).ToFloat())

(**
A sample has a latent, two latents can be [interpolated](../likelihood.html), and a map has a Jacobian: the next chapter.
*)
