/// What the defaults come to on laws that are known: each trains for as long as the command line would.
module Fokker.Tests.Runs.DefaultsTests

open System
open NUnit.Framework
open Fokker

let private trained (name: string) : PlaneLaw * Dataset * GenerativeModel =
    let law = Plane.all |> List.find (fun law -> law.Name = name)
    let data = Datasets.load name
    law, data, Runs.fit (Recipe.standardFor data) data

/// Nats above the entropy, by 4,000 samples that the training has not seen.
let private excess (model: GenerativeModel) (data: Dataset) : float =
    let density = HeldOut.density model data 4000 (Rng.ofSeed 5L) (fun _ _ -> ())
    density.Value.Excess.Value.Mean

[<Test; Category "Full">]
let ``the defaults find the edges of the checkerboard`` () =
    let law, data, model = trained "checkerboard"
    let nats = Tensor.toFloats (law.LogDensity.Value(Samples.ofSeed 1L 20_000 model))
    let on = float (nats |> Array.filter Double.IsFinite |> Array.length) / float nats.Length
    Assert.That(on, Is.GreaterThanOrEqualTo 0.95, "the share of samples on the squares")
    Assert.That(excess model data, Is.LessThanOrEqualTo 0.08, "nats above the entropy")

[<TestCase "moons"; TestCase "eight-gaussians"; Category "Full">]
let ``the defaults come close to a law without edges`` (name: string) =
    let _, data, model = trained name
    Assert.That(excess model data, Is.LessThanOrEqualTo 0.03, "nats above the entropy")
