namespace Fokker.Interop

open System
open System.Collections.Generic
open Fokker

/// Samples as they are asked for.
[<AbstractClass; Sealed>]
type internal SampleWork =

    /// What a request comes to.
    static member Task(model: GenerativeModel, request: SamplingRequest) : SamplingTask =
        Validation.sampling model request

    /// The same for samples whose steps are to be watched one after the other.
    static member StepsTask(model: GenerativeModel, request: SamplingRequest) : SamplingTask =
        for setting, isGiven in
            [ Setting.RelativeTolerance, request.Generation.RelativeTolerance.IsSome
              Setting.Parallel, request.Parallel.IsSome ] do
            if isGiven then
                refuse
                    setting
                    ""
                    $"the steps that can be watched are those of a grid, one after the other: leave it out"

        let task = Validation.sampling model request

        if (task.Drawing.Steering |> Option.bind _.Particles).IsSome then
            refuse
                Setting.Particles
                ""
                $"particles are drawn anew on their way, and no state is one sample's: leave them out"

        task

    /// The model with a check for cancellation before each call of its network.
    static member Watched(model: GenerativeModel, look: Action) : GenerativeModel =
        { model with
            Dynamics =
                model.Dynamics
                |> Dynamics.map (fun network condition ->
                    let field = network condition

                    fun t x ->
                        look.Invoke()
                        field t x) }

    static member Watched(task: SamplingTask, look: Action) : SamplingTask =
        { task with Model = SampleWork.Watched(task.Model, look) }

    /// The task's samples [n; …] float64 on the CPU in the data's units; the same as the command line's of that seed.
    static member Draw(task: SamplingTask) : Tensor =
        Samples.draw task.Model task.Drawing task.Key task.Count (fun _ _ -> ())

    /// The states of the task's samples as they are reached.
    static member States(task: SamplingTask) : IEnumerable<State> =
        Samples.states task.Model task.Drawing task.Key task.Count
        |> Seq.map (function
            | Ok state -> state
            | Error failure -> raise (UserError $"sampling failed at {failure}"))

    /// A state in the data's units, float64 on the CPU.
    static member Outside(model: GenerativeModel, x: Tensor) : Tensor = GenerativeModel.outside model x

    static member Denoised(state: State) : Tensor | null = Option.toObj state.Denoised

    /// The classes of the task's samples; null where there are none.
    static member Labels(task: SamplingTask) : int[] | null =
        Samples.labels task.Model task.Drawing 0 task.Count |> Option.toObj

    /// The method that samples are made by; null where the model is a map along the flow.
    static member Sampler(task: SamplingTask) : Sampler | null =
        match task.Model.Dynamics with
        | Mapping _ -> null
        | Jumping _
        | Denoising _
        | Landscape _
        | Transport _ -> task.Drawing.Sampler

    /// The steps that samples are made in; none where they are chosen by their error.
    static member Steps(task: SamplingTask) : Nullable<int> =
        match task.Drawing.Control with
        | Fixed -> Nullable task.Drawing.Steps
        | Adaptive _ -> Nullable()
