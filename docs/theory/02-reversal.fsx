(**
---
title: 2 · Time reversed
category: Theory
categoryindex: 2
index: 2
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Time reversed

After this chapter you can run a diffusion backwards, from noise to data, once its score is known.

Film the process of the [last chapter](01-noise.html) and run the film backwards: noise gathers itself into data. The theorem that makes generative models out of diffusions says
that the film shows a diffusion again, and which one (Anderson 1982; Haussmann and Pardoux 1986). If

$$dX = f(t, X)\,dt + g(t)\,dB$$

has the density $p_t$, then its reversal, run from $t = 1$ down to $t = 0$, is

$$dX = \big(f(t, X) - g(t)^2\,\nabla\log p_t(X)\big)\,dt + g(t)\,d\bar B ,$$

with $dt$ negative and $\bar B$ a Brownian motion in reversed time. The noise is as strong as before. What is new in the drift is the **score** $\nabla\log p_t$, which points to where the density rises.

*Why.* The density obeys the Fokker–Planck equation $\partial_t p = -\nabla\!\cdot(f p) + \tfrac12 g^2 \Delta p$. In reversed time, $\tau = 1 - t$, that is
$\partial_\tau p = \nabla\!\cdot(f p) - \tfrac12 g^2\Delta p$: a diffusion with the wrong sign, which no process has. But $\Delta p = \nabla\!\cdot(p\,\nabla\log p)$, so that

$$\partial_\tau p = -\nabla\!\cdot\big((-f + g^2\,\nabla\log p)\,p\big) + \tfrac12 g^2 \Delta p ,$$

and this is the Fokker–Planck equation of a diffusion with drift $-f + g^2\nabla\log p$. (It shows that the marginals agree. That the whole law of the paths does is the theorem.)

## With the exact score

In the library that is one function of a process and a score:
*)

open Fokker

let path = Path.ouTo 5.0
let backward = Sde.reverse (Mixture.score path law) (Sde.ofPath path)

(**
Start 20,000 particles from $N(0, 1)$ and follow them down with Euler–Maruyama steps, smaller towards the data, where the score changes fast.
*)

let times = Grid.times Grid.lambda path (1.0, 1e-3) 400

let sample score =
    Rng.normal Kind.Float64 [ 20000; 1 ] (Rng.ofSeed 3L)
    |> Integrator.run
        (Integrator.eulerMaruyama (Sde.reverse score (Sde.ofPath path)))
        (Noise.fresh (Rng.ofSeed 4L))
        times
    |> ok

let found = floats (sample (Mixture.score path law)).X
let left = found |> Array.filter (fun x -> x < -0.4) |> Array.length |> float
printfn $"weight of the left bump %.3f{left / 20000.0}, in truth 0.4"
(*** include-output ***)

(*** hide ***)
// Two standard errors of a share of 0.4 in 20,000 are 0.007; the method's own bias adds a little.
expect "the left bump" 0.4 0.012 (left / 20000.0)

let first = Rng.normal Kind.Float64 [ 12; 1 ] (Rng.ofSeed 8L)

let trajectories =
    let states =
        Integrator.states
            (Integrator.eulerMaruyama backward)
            (Noise.fresh (Rng.ofSeed 9L))
            times
            first
        |> Seq.map (fun s -> let s = ok s in s.Time, floats s.X)
        |> List.ofSeq

    [ for i in 0..11 -> Trace [ for t, x in states -> t, x[i] ] ]

panels
    "Left: twelve paths of the reversed process, from noise at t = 1 to data at t = 0. Right: where 20,000 of them end (dots), and the law of the data."
    [ { axes "t" "x" with Window = Some((0.0, 1.0), (-3.2, 3.2)) }, trajectories
      { axes "x" "density" with Window = Some((-3.0, 3.0), (0.0, 0.8)) },
      [ Curve("p₀", curve (density path 1e-3))
        Dots("", histogram 60 (-3.0, 3.0) found) ] ]

(*** include-it-raw ***)

(**
Reversing twice gives the process back, term by term, and this is one of the laws that `./fokker verify` holds the library to.

## With a score that is off

A trained score is never exact. Girsanov's theorem says what an error costs. Two processes with the same diffusion $g$ and drifts $a$ and $b$ have laws $\mathbb P$ and $\mathbb Q$ on whole trajectories with

$$\mathrm{KL}(\mathbb P\,\|\,\mathbb Q) = \mathrm{KL}(P_{\text{start}}\,\|\,Q_{\text{start}}) + \tfrac12\int \frac{\mathbb E_{\mathbb P}\|a - b\|^2}{g^2}\,dt .$$

Both reversals share $f$ and $g$, so their drifts differ by $g^2$ times the error of the score $e_t$, and

$$\mathrm{KL}(\mathbb P\,\|\,\mathbb Q) = \mathrm{KL}(p_1\,\|\,N(0, I)) + \tfrac12\int_0^1 g(t)^2\;\mathbb E_{p_t}\|e_t\|^2\,dt .$$

What comes out at $t = 0$ is a function of the trajectory, so its law is no further off than that (data processing). The weighted error of the score, which is what training makes small, bounds the error of the samples. Take the exact score
times 0.9. Then $e = 0.1\,\nabla\log p$, and the bound can be computed by integrating over $t$ and $x$:
*)

let spoiled: Field = fun t x -> 0.9 * Mixture.score path law t x
let low = 1e-2

let bound =
    let g2 = Path.diffusionSquared path

    Curve.integral 20 (low, 1.0) (fun t ->
        let fisher =
            integral (fun x ->
                density path t x
                * Tensor.sumOver
                    [ -1 ]
                    (Tensor.square (Mixture.score path law (at t) x)))

        0.5 * Curve.eval g2 t * 0.01 * fisher)

(**
The library's `Girsanov.bySimulation` finds the same number along simulated trajectories. And the law that the spoiled process truly ends in, by a histogram of its end points:
*)

let exact = Sde.reverse (Mixture.score path law) (Sde.ofPath path)
let wrong = Sde.reverse spoiled (Sde.ofPath path)
let down = Grid.times Grid.lambda path (1.0, low) 400
let start = Mixture.sampleAt path 1.0 4000 (Rng.ofSeed 5L) law
let simulated = Girsanov.bySimulation exact wrong down (Rng.ofSeed 6L) start

let ended =
    Rng.normal Kind.Float64 [ 40000; 1 ] (Rng.ofSeed 7L)
    |> Integrator.run
        (Integrator.eulerMaruyama wrong)
        (Noise.fresh (Rng.ofSeed 8L))
        down
    |> ok

let reached =
    let cells = histogram 60 (-4.0, 4.0) (floats ended.X)

    Seq.zip cells (floats (density path low (points (List.map fst cells))))
    |> Seq.sumBy (fun ((_, q), p) ->
        if q > 0.0 then (8.0 / 60.0) * p * log (p / q) else 0.0)

printfn
    $"bound %.4f{bound} nats, along trajectories %.4f{simulated.Mean} ± %.4f{simulated.StandardError}"
printfn $"error of the samples' law: about %.4f{reached}"
(*** include-output ***)

(*** hide ***)
expect
    "Girsanov"
    bound
    (4.0 * simulated.StandardError + 0.05 * bound)
    simulated.Mean
expect "the bound is one" 0.0 bound (max 0.0 reached)
