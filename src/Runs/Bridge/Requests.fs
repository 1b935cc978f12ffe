/// What C# asks for, in words that it has: no value, null and delegates in the place of options and functions. The façade is made of these, and of nothing
/// else of the library's; here is only translation.
namespace Fokker.Bridge

open System
open Fokker

[<AutoOpen>]
module internal Translation =

    let orElse (other: 'T) (value: Nullable<'T>) : 'T = if value.HasValue then value.Value else other
    let toOption (value: Nullable<'T>) : 'T option = if value.HasValue then Some value.Value else None

/// What a training is asked to be; no value means what suits the data.
type internal TrainingRequest() =
    member val Loss: string | null = null with get, set
    member val Path: string | null = null with get, set
    member val Prediction: string | null = null with get, set
    member val Weight: string | null = null with get, set
    member val Times: string | null = null with get, set
    member val Coupling: string | null = null with get, set
    member val Source: string | null = null with get, set
    member val Preconditioning: string | null = null with get, set
    member val Teacher: string | null = null with get, set
    member val Network: string | null = null with get, set
    member val Width = Nullable<int>() with get, set
    member val Depth = Nullable<int>() with get, set
    member val Labels = Nullable<bool>() with get, set
    member val LabelDropout = Nullable<float>() with get, set
    member val Seed = 0L with get, set
    member val Steps = Nullable<int64>() with get, set
    member val Batch = Nullable<int>() with get, set
    member val LearningRate = Nullable<float>() with get, set
    member val WarmUp = Nullable<int64>() with get, set
    member val WeightDecay = Nullable<float>() with get, set
    member val Clip = Nullable<float>() with get, set
    member val Ema = Nullable<float>() with get, set
    member val Device = "cpu" with get, set
    member val Dtype = Dtype.Float32 with get, set

/// How samples are asked for; no value means what suits the model.
type internal SamplingRequest() =
    member val Sampler: Sampler | null = null with get, set
    member val Grid: Grid | null = null with get, set
    member val Steps = Nullable<int>() with get, set
    member val Batch = Nullable<int>() with get, set
    member val Label = Nullable<int>() with get, set
    member val Relative = Nullable<float>() with get, set
    member val Absolute = Nullable<float>() with get, set
    member val From = Nullable<float>() with get, set
    member val To = Nullable<float>() with get, set
    member val Brownian = false with get, set
    member val Start: Tensor | null = null with get, set
    member val Noise: Tensor | null = null with get, set
    member val Replay: Tensor | null = null with get, set
    member val Window = Nullable<int>() with get, set
    member val WindowTolerance = 0.1 with get, set
    member val Guidance = Nullable<float>() with get, set
    member val GuidanceLow = Nullable<float>() with get, set
    member val GuidanceHigh = Nullable<float>() with get, set
    member val GuidanceRescale = Nullable<float>() with get, set
    /// The folder of a classifier's run, or `exact`.
    member val Classifier: string | null = null with get, set
    /// CLASS:WEIGHT,… of a composition.
    member val Composition: string | null = null with get, set
