(**
---
title: 12 · Jumps to the data
category: Theory
categoryindex: 2
index: 12
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Jumps to the data

After this chapter you can learn maps that jump along a flow, and sample in one evaluation or a few.

The flow is a map: from any point $(t, x)$ it leads to one point of the data. Solvers find it in steps. Why not learn the map?

A **consistency function** (Song, Dhariwal, Chen and Sutskever 2023) is $f(t, x)$ = the data's end of the trajectory through $x$ at time $t$. Two properties say all about it:

$$f(0, x) = x, \qquad f(t, x_t) = f(s, x_s) \;\text{ along each trajectory of the flow.}$$

On our law it can be computed by following the flow, and compared with its relative, the denoiser. Both answer "which data point?", the one with where this trajectory ends, the other with the mean of all that it could be:
*)

open Fokker

let path = Path.condOT
let ode = Ode.ofModel None (Mixture.model path Prediction.velocity law)
let low = fst path.Interior

/// f(t, x): from t down to the clean end of the interior by forty steps of the classical method.
let f: Field =
    fun t x ->
        let first = (Tensor.max t).ToFloat()
        let times =
            [| for k in 0..40 -> low + (first - low) * (1.0 - float k / 40.0) |]
        (Latents.carry Fixed Tableau.rk4 (fun _ -> ode) None times x |> ok).X

(*** hide ***)
let denoiser = Mixture.denoiser path law
let shown t =
    [ Curve("f", curve (f (at t))); Curve("E[x₀|x]", curve (denoiser (at t))) ]
let window = Some((-3.0, 3.0), (-2.8, 2.8))

panels
    "The consistency function and the denoiser at t = 0.5 (left) and at t = 0.999 (right), where the state says nothing of the data: the denoiser gives their mean, the consistency function still a data point."
    [ { axes "x" "" with Window = window }, shown 0.5
      { axes "x" "" with Window = window }, shown 0.999 ]

(*** include-it-raw ***)

(**
At $t = 1$ the denoiser is constant, the mean of the data, which is no sample at all. The consistency function at $t = 1$ turns noise into samples in one evaluation:
*)

let z = Rng.normal Kind.Float64 [ 20000; 1 ] (Rng.ofSeed 1L)
let truth = Tensor.flatten (Mixture.sample 20000 (Rng.ofSeed 2L) law)
let distance x = Wasserstein.onLine 1.0 (Tensor.flatten x) truth

printfn $"1-Wasserstein distance of one jump %.3f{distance (f (at 1.0) z)}"
printfn $"of the denoiser                    %.3f{distance (denoiser (at 1.0) z)}"
printfn
    $"of other data                      %.3f{distance (Mixture.sample 20000 (Rng.ofSeed 3L) law)}"
(*** include-output ***)

(*** hide ***)
expect "one jump" 0.0 0.05 (distance (f (at 1.0) z))

(**
## From a teacher

Consistency **distillation** needs a model of the flow. Take a point $x_{t'}$, let one step of a solver lead it to $\hat x_t$ at the next smaller time, and ask the network for the same answer at both, with the cleaner one held fixed:

$$d\big(f_\theta(t', x_{t'}),\; f_{\theta^-}(t, \hat x_t)\big) .$$

The boundary condition holds the chain at its clean end. For the exact $f$ what is left is the solver's error. Squared, it falls with the fourth power of the step for Euler's method, and with the sixth for Heun's:
*)

let data = Mixture.sample 4000 (Rng.ofSeed 4L) law
let noise = Rng.normal Kind.Float64 [ 4000; 1 ] (Rng.ofSeed 5L)
let times t = Tensor.full Kind.Float64 [ 4000 ] t
let mean (x: Tensor) = (Tensor.mean x).ToFloat()
let later = 0.6

let distilled tableau step =
    let x = Path.sample path (at later) data noise
    let solver = Consistency.solverOf tableau ode
    mean (
        Consistency.distillationAt
            solver
            Distance.squared
            f
            f
            (times (later - step))
            (times later)
            x
    )

let trained step =
    mean (
        Consistency.trainingAt
            path
            Distance.squared
            f
            f
            (times (later - step))
            (times later)
            data
            noise
    )

let table =
    [ for step in [ 0.02; 0.01; 0.005 ] ->
          step,
          distilled Tableau.euler step,
          distilled Tableau.heun step,
          trained step ]

for step, euler, heun, pair in table do
    printfn
        $"step %.3f{step}:  Euler {short euler}   Heun {short heun}   without a teacher {short pair}"

(*** include-output ***)

(*** hide ***)
let _, e1, h1, t1 = table[0]
let _, e3, h3, t3 = table[2]
// Two halvings: 2⁻⁸ and 2⁻¹² to a factor of two, and between 2⁻² and 2⁻⁴ for the pair.
expect "Euler's order" 8.0 1.0 (log (e1 / e3) / log 2.0)
expect "Heun's order" 12.0 1.0 (log (h1 / h3) / log 2.0)
expect "the pair's order" 3.0 1.0 (log (t1 / t3) / log 2.0)

(**
## From data

Consistency **training** has no teacher. It takes both points from one pair, $x_{t'} = \alpha_{t'}x_0 + \sigma_{t'}\varepsilon$ and $x_t = \alpha_t x_0 + \sigma_t\varepsilon$ with the same $\varepsilon$. That moves along the pair's own velocity instead of the flow's, and as the last column shows, even the exact $f$ has a loss then, which falls with the square of the step at best (and more slowly until the step is short beside the steep places of $f$). It works all the same: the target is held fixed, so the
gradient is $2\,\mathbb E\big[(f(t', x_{t'}) - f(t, x_t))\,\partial f(t', x_{t'})\big]$, in which only the *mean* of $f(t, x_t)$ given $x_{t'}$ counts; and the mean of the pair's velocity given the point is the flow's. The noise of single pairs stays in the value of the loss and leaves the gradient, but for terms of the step's second order.

The number of times $N$ grows during training: few at first, whose large steps carry the boundary's news quickly, and many at last, whose bias is small (`Consistency.growing`, `Consistency.doubling`).

## Several jumps

A jump may be followed by a step back: put the noise of a smaller time on the estimate and jump again. Each round corrects what the network got wrong at high noise, at the price of an evaluation. `./fokker sample` does it with `--steps 2`.

## From any time to any other

A consistency function is one column of a larger table, the **flow map**: $X_{t,s}(x)$ is where the trajectory through $x$ at time $t$ is at time $s$ (Boffi, Albergo and Vanden-Eijnden 2024). Written by the mean velocity on the way,

$$X_{t,s}(x) = x + (s - t)\,u_{t,s}(x), \qquad u_{t,t}(x) = v(t, x),$$

a network for $u$ needs both times, and no care at $s = t$, where the map is the identity whatever it says. On our law, from noise to four times on the way:
*)

/// u by so many steps of the classical method; times [B; 2].
let mean' steps : Field =
    fun times x ->
        let t = Tensor.flatten (Tensor.narrow 1 0 1 times)
        let s = Tensor.flatten (Tensor.narrow 1 1 1 times)
        let node k = t + (float k / float steps) * (s - t)
        let go y k =
            Integrator.rungeKuttaBetween Tableau.rk4 ode (node k) (node (k + 1)) y
        (Seq.fold go x [ 0 .. steps - 1 ] - x) / Tensor.perSample x (s - t)

let arrive s x =
    let all (t: float) =
        Tensor.full Kind.Float64 [ x |> Tensor.flatten |> _.Shape[0] ] t
    FlowMap.jump (mean' 40) (all 1.0) (all s) x

(*** hide ***)
figure
    "Where x at t = 1 is at the time s: the map steepens until it tells the two bumps apart."
    { axes "x at t = 1" "x at s" with Window = Some((-3.0, 3.0), (-3.0, 3.0)) }
    [ for s in [ 0.75; 0.5; 0.25; 0.0 ] -> Curve($"s = {s}", curve (arrive s)) ]

(*** include-it-raw ***)

(**
Three identities hold for it, and with $u_{t,t} = v$ each of them for nothing else. It moves with the flow where it arrives (**Lagrangian**), it does not care where on a trajectory it starts (**Eulerian**), and two jumps make one (**semigroup**):

$$\partial_s X_{t,s} = v(s, X_{t,s}), \qquad \partial_t X_{t,s} + \nabla X_{t,s}\,v(t, \cdot) = 0, \qquad X_{t,s} = X_{m,s}\circ X_{t,m} .$$

`MapMatching.sides` gives both sides of each, in terms of $u$. By forty steps and by eighty the largest difference at 256 points is the solver's error, which falls with the fourth power of the step; the derivatives are exact, by forward mode through all of the solver:
*)

let apart steps identity =
    let all (t: float) = Tensor.full Kind.Float64 [ 256 ] t
    let x =
        Path.sample
            path
            (at 0.9)
            (Mixture.sample 256 (Rng.ofSeed 6L) law)
            (Tensor.narrow 0 0 256 noise)
    let u = mean' steps
    let struct (said, wanted) =
        MapMatching.sides identity ode.Velocity u u (all 0.9) (all 0.5) (all 0.2) x
    (Tensor.max (abs (said - wanted))).ToFloat()

for identity in [ Identity.Lagrangian; Identity.Eulerian; Identity.Semigroup ] do
    printfn
        $"%-11O{identity} {short (apart 40 identity)}   {short (apart 80 identity)}"

(*** include-output ***)

(*** hide ***)
for identity in [ Identity.Lagrangian; Identity.Eulerian; Identity.Semigroup ] do
    expect
        $"{identity}"
        4.0
        1.0
        (log (apart 40 identity / apart 80 identity) / log 2.0)

(**
Each is a loss: a part of the batch learns $u_{t,t}$, the velocity, by flow matching or from a teacher, and the rest the difference of the two sides at drawn $t > s$, the right one held fixed. With a teacher's $v$ these are Lagrangian and Eulerian map **distillation** (`lmd`, `emd`), with the map's own $u_{s,s}$ in its place **self-distillation** (`lsd`, and by the semigroup `psd`, which needs no derivative; at steps of powers of two it is a shortcut model, Frans et al. 2025).

The Eulerian right side, $u_{t,s} = v + (s-t)(\partial_t u + \nabla u\,v)$, is linear in $v$. So each sample's own velocity $\dot\alpha x_0 + \dot\sigma\varepsilon$ may stand for $v$ in it, as it does in flow matching: what counts is its mean given $x_t$. That is **MeanFlow** (Geng et al. 2025), `meanflow`, and a law of the library.

A sample is then one evaluation, or a few jumps over a grid, without noise in between. Progressive distillation, which learns two steps of a solver as one, again and again (Salimans and Ho 2022), and the other ways to few steps are in [few steps](../few-steps.html). How far few jumps are from a sampler of 25 steps on real runs is in [which loss](../combinations.html).
*)
