(**
---
title: 7 · Design choices
category: Theory
categoryindex: 2
index: 7
---
*)

(*** hide ***)
#r "../../src/bin/Release/net10.0/Fokker.dll"
#load "../Figures.fs"
#load "../Guide.fs"

open Figures
open Guide

(**
# Design choices

After this chapter you can say what a prediction, a weight, a preconditioning and a clock change in a model, and what they leave as it is.

Noise or data or velocity, this schedule or that, one weight or another: papers differ in a dozen ways and most of them are the same model, trained on other parts of the noise. This chapter takes the choices apart.

## What is predicted

Every prediction in use is a combination $y = A\,x_0 + B\,\varepsilon$ with curves $A(t)$, $B(t)$. Together with $x_t = \alpha x_0 + \sigma\varepsilon$ that is two equations for two unknowns, so each converts into each other wherever the determinant $\alpha B - \sigma A$ is not zero. A conditional mean is linear, and the conversion holds for
what the network says as well.
*)

open Fokker

let path = Path.vp

for p in Prediction.all do
    let struct (a, b) = p.Coefficients path
    let determinant = path.Alpha * b - path.Sigma * a
    let at t = Curve.eval determinant t
    printfn
        $"%-9s{p.Name} y = %-15s{p.Equation} αB − σA: %7.3f{at 1e-3} at t = 0.001, %7.3f{at 0.5}, %7.3f{at 1.0} at 1"

(*** include-output ***)

(**
The determinant says where a prediction is no use. The data can be read off the noise except where $\alpha = 0$, and noise off the data except where $\sigma = 0$: near the data an error of the denoiser is a huge error of the noise, and near the noise the reverse. $v = \alpha\varepsilon - \sigma x_0$ has $\alpha^2 + \sigma^2$, which on this path is 1 throughout. Converting in a circle through all five gives back what it started from:
*)

let x = points [ -2.0 .. 0.5..2.0 ]

let circle t =
    let around = Prediction.all @ [ Prediction.all.Head ]
    let start = Mixture.network path Prediction.all.Head law (at t) x

    let back =
        Seq.pairwise around
        |> Seq.fold
            (fun y (from, into) ->
                let struct (cx, cy) = Prediction.conversion path from into (at t)
                Coefficient.combine [ cx, x; cy, y ])
            start

    (Tensor.max (abs (back - start))).ToFloat()

printfn
    $"largest difference {short (List.max [ for t in [ 0.05; 0.5; 0.95 ] -> circle t ])}"
(*** include-output ***)

(*** hide ***)
expect "circle" 0.0 1e-9 (circle 0.5)

(**
## What is weighted

If they are the same quantity, they are not the same loss. An error $e$ of the noise is an error $(\sigma/\alpha)\,e$ of the data, so

$$\|\hat\varepsilon - \varepsilon\|^2 = \frac{\alpha^2}{\sigma^2}\,\|\hat x_0 - x_0\|^2 .$$

Uniformly weighted noise prediction is data prediction weighted by the signal-to-noise ratio. The distribution of training times is a weight as well. Put both together and change variables to $\lambda = \log(\alpha/\sigma)$, and the loss is

$$\int w(\lambda)\;\mathbb E\,\|\hat\varepsilon_\lambda - \varepsilon\|^2\,d\lambda$$

in which the schedule does not occur, but for the range of $\lambda$ (Kingma et al. 2021; Kingma and Gao 2023). All that distinguishes these methods in expectation is one curve $w$. For flow matching on the straight path, times uniform, it is $w = e^{-\lambda}$. From the library's own conversions:
*)

/// The weight on the squared error of the noise, per unit of λ, of a regression whose times have the density p.
let effective (r: Regression) (p: float -> float) (lambda: float) =
    let t = Path.timeOfLambda r.Path lambda
    let struct (_, c) = Prediction.coefficients r.Path r.Prediction Prediction.noise
    let weight =
        Curve.eval (r.Weight.Of r.Path r.Prediction) t / Curve.eval c t ** 2.0
    weight * p t / abs (Curve.eval (Curve.derivative r.Path.Lambda) t)

let flowMatching = effective (Loss.cfm Path.condOT) (fun _ -> 1.0)

for lambda in [ -1.0; 0.0; 2.0 ] do
    printfn
        $"λ = %4.1f{lambda}: w = %.4f{flowMatching lambda},  e^(−λ) = %.4f{exp -lambda}"

(*** include-output ***)

(*** hide ***)
for lambda in [ -1.0; 0.0; 2.0 ] do
    expect "w" (exp -lambda) 1e-9 (flowMatching lambda)

let gaussian m s x =
    exp (-0.5 * ((x - m) / s) ** 2.0) / (s * sqrt (2.0 * System.Math.PI))
let logit t = log (t / (1.0 - t))

let shown =
    [ "simple, VP", effective (Loss.simple Path.vp) (fun _ -> 1.0)
      "flow matching", flowMatching
      "… logit-normal",
      effective (Loss.cfm Path.condOT) (fun t ->
          gaussian 0.0 1.0 (logit t) / (t * (1.0 - t)))
      // EDM draws log σ ~ N(−1.2, 1.2²), which is −λ on its path, and weights the data's error.
      "EDM",
      (fun l -> let s = exp -l in (s * s + 0.25) / (0.25) * gaussian -1.2 1.2 -l) ]

let places = [ -4.0 .. 0.05..5.0 ]

figure
    "The weight that four losses put on the error of the noise at each λ, each with its largest value in the window as one. Data are to the right, noise to the left."
    { axes "λ = log(α/σ)" "w(λ)" with Window = Some((-4.0, 5.0), (0.0, 1.05)) }
    [ for name, w in shown ->
          let values =
              [ for l in places -> l, w l ]
              |> List.filter (fun (_, w) -> System.Double.IsFinite w)
          let top = values |> List.map snd |> List.max
          Curve(name, [ for l, w in values -> l, w / top ]) ]

(*** include-it-raw ***)

(**
Uniform flow matching spends itself on the noisy end, which is easy; drawing times from a logit-normal takes that back and gives nearly the curve of EDM. In the library the two are parts of a value, `Loss.weighted` and `Loss.timesFrom`, and what a weight is *stated for* is part of the weight: min-SNR, stated for the data's error, gives the same loss on a network that predicts noise. Which to draw and which to
weight matters for variance only.

## How the network is wrapped

A network works best on inputs and targets of size one. With data of standard deviation $s$ let $D = c_{skip}\,x + c_{out}\,F(c_{in}\,x)$. The input has variance $\alpha^2 s^2 + \sigma^2$, which gives $c_{in}$. The target of $F$ is $(x_0 - c_{skip}\,x)/c_{out}$; ask for variance one, and among those for the smallest $c_{out}$, so that errors of $F$ are amplified
least. That is linear regression of $x_0$ on $x$ (Karras et al. 2022):

$$c_{skip} = \frac{\alpha s^2}{\alpha^2 s^2 + \sigma^2}, \qquad c_{out} = \frac{\sigma s}{\sqrt{\alpha^2 s^2 + \sigma^2}}, \qquad c_{in} = \frac{1}{\sqrt{\alpha^2 s^2 + \sigma^2}} .$$

On our law, whose mean is 0 and variance 1.621:
*)

let wrapped = Preconditioning.edm (sqrt 1.621) Paths.edm
let data = Mixture.sample 100000 (Rng.ofSeed 1L) law
let noise = Rng.normal Kind.Float64 [ 100000; 1 ] (Rng.ofSeed 2L)

let variances =
    [ for sigma in [ 0.05; 1.0; 20.0 ] do
          let t = Path.timeOfLambda Paths.edm (-(log sigma))
          let e curve = Curve.eval curve t
          let x = data + sigma * noise
          let target = (data - e wrapped.Skip * x) / e wrapped.Out
          let variance (y: Tensor) = (Tensor.mean (Tensor.square y)).ToFloat()
          let input = e wrapped.In * x
          printfn
              $"σ = %5.2f{sigma}: input %.3f{variance input}, target %.3f{variance target}, c_skip %.4f{e wrapped.Skip}"
          variance input
          variance target ]

(*** include-output ***)

(*** hide ***)
// A variance over 100,000 draws has a standard error of about 0.005.
for v in variances do
    expect "unit variance" 1.0 0.02 v

(**
At small noise the network is asked for the noise, at large noise for the data, and between for a mixture: what $v$-prediction does too. On a variance-preserving path with $s = 1$ the two are the same up to sign.

## The clock

A path may be read on another clock, $t \mapsto \tau(t)$, and has the same laws at other times: `Path.retime`. Training depends on it only through the law of times, and solvers that see only $\alpha$ and $\sigma$ at their nodes not at all, if the nodes move along. Runge–Kutta methods in $t$ do depend on it. Where the nodes should be is a question of the [sampler](../samplers.html).
*)
