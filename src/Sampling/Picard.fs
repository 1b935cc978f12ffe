namespace Fokker

open System

/// How a sample is found in parallel in time.
type Picard =
    {
        /// Steps that are taken at once, p: the network's batch is p times the number of samples.
        Window: int
        /// τ: a state stands once it changes by less than τ² σ² in the mean of its squared coordinates, σ² the variance of the ancestral
        /// step that ends there (the paper's rule, also for deterministic samplers). 0 waits until nothing changes at all.
        Tolerance: float
    }

/// Samples found in parallel, and what they took.
[<NoComparison; NoEquality>]
type ParallelSamples =
    {
        /// [B; …], in the network's element type.
        X: Tensor
        /// Calls of the network one after the other: what the time of a sample is counted in where a batch costs no more than one.
        Calls: int
        /// Evaluations for each sample, [B]; a sequential run has as many as steps.
        Evaluations: int[]
        /// How many states of each sample stood after each round, [B] for every call: where its window began.
        Settled: int[] list
    }

/// The states of one sample that are being found: the first is final, those after it are the last iteration's.
[<NoComparison; NoEquality>]
type private Window =
    {
        Row: int
        /// The first state's place among the times.
        First: int
        /// At most p + 1 states, each [1; …], float64.
        States: Tensor list
        Evaluations: int
    }

/// Sampling in parallel in time (Shih, Belkhale, Ermon, Sadigh, Anari 2023, Parallel sampling of diffusion models, algorithm 1): with Φⱼ the sampler's
/// step from time j to the next, all the noise drawn beforehand, Picard's iteration
///     xⁱ ← x⁰ + Σ_{j<i} (Φⱼ(xʲ) − xʲ)
/// runs over a window of states, whose steps are evaluated in one batch. After k rounds the first k states are those of the sequential run; where
/// neighbouring steps are alike many more have settled by then, and the window moves on by those. Every sample has a window of its own: its neighbours change nothing.
[<RequireQualifiedAccess>]
module Picard =

    /// The samplers whose step is one evaluation at the state where it begins and remembers nothing, whatever their η or churn.
    let samplers: string list =
        [ Samplers.euler
          Samplers.ddim
          Samplers.ddimWith 1.0
          Samplers.ancestral
          Samplers.ancestralLarge
          Samplers.ancestralLearned
          Samplers.eulerMaruyama
          Samplers.sdeDpmPp1 ]
        |> List.map _.Name

    let private check (how: Picard) (plan: SamplingPlan) =
        if how.Window < 1 then
            invalidArg (nameof how) $"a window of {how.Window}: at least one step"

        if not (how.Tolerance >= 0.0 && Double.IsFinite how.Tolerance) then
            invalidArg (nameof how) $"tolerance {how.Tolerance}: a number, 0 or more"

        if not (List.contains plan.Sampler.Name samplers) then
            let known = String.Join(", ", samplers)

            invalidArg
                (nameof plan)
                $"{plan.Sampler.Name} cannot be run in parallel in time: its step is more than one evaluation, or remembers others; take one of {known}"

    /// What the network said: its output, and the second one where it learned the variance.
    type private Said = (struct (Tensor * Tensor option))

    /// One evaluation of all the states at once, in as many pieces.
    let private evaluated (model: Model) (condition: Condition) (places: (int * float * Tensor) list) : Said list =
        let rows, times, states = List.unzip3 places
        let n = rows.Length

        let labels =
            condition
            |> Option.map (fun labels ->
                let index = Tensor.ofArray [ n ] (rows |> List.map int64 |> Array.ofList)
                Tensor.indexSelect 0 (index.To labels.Device) labels)

        let t, x = Tensor.ofArray [ n ] (Array.ofList times), Tensor.cat 0 states
        let pieces y = List.ofArray (Tensor.split 1 0 y)

        match model.WithVariance with
        | None -> pieces (model.Network labels t x) |> List.map (fun y -> struct (y, None))
        | Some both ->
            let struct (y, u) = both labels t x
            List.map2 (fun y u -> struct (y, Some u)) (pieces y) (pieces u)

    /// The sampler's steps with the network's word given: place → its noise → what was said → x → Φ(x).
    let private steps (plan: SamplingPlan) (model: Model) : (int -> Noise -> Said -> Tensor -> Tensor) * float[] =
        let mutable said: Said voption = ValueNone
        let word () = ValueOption.get said

        let repeating =
            { model with
                Network = fun _ _ _ -> let struct (y, _) = word () in y
                WithVariance =
                    model.WithVariance
                    |> Option.map (fun _ _ _ _ ->
                        let struct (y, u) = word ()
                        struct (y, Option.get u)) }

        // What was said is in float64 already.
        let step, times = Sampling.programOf { plan with Kind = Kind.Float64 } repeating None

        (fun place noise given x ->
            said <- ValueSome given
            let state: State = { Integrator.start times[place] x with Step = place }
            (step noise times[place + 1] state).X),
        times

    /// A window after one round: the iteration, and then as far on as its states have settled.
    let private moved (size: int) (last: int) phi (settled: int -> Tensor -> Tensor -> bool) (said: Said list) window =
        let next =
            List.zip said (List.take said.Length window.States)
            |> List.indexed
            |> List.scan
                (fun (x: Tensor) (k, (said, before)) -> x + (phi (window.First + k) said before - before))
                window.States.Head

        // The first state that moved too far stands nevertheless: it was made from states that did not.
        let stride =
            List.zip next window.States
            |> List.indexed
            |> List.tryFind (fun (k, (after, before)) -> k > 0 && not (settled (window.First + k) after before))
            |> Option.map fst
            |> Option.defaultValue said.Length

        let first = window.First + stride
        let kept = List.skip stride next
        let missing = min size (last - first) + 1 - kept.Length

        { window with
            First = first
            States = kept @ List.replicate missing (List.last kept)
            Evaluations = window.Evaluations + said.Length }

    let private failure (times: float[]) (window: Window) : Failure =
        { Failure.Step = window.First
          From = times[window.First - 1]
          To = times[window.First]
          Reason = "the state is not finite any more: the field gave NaN or ∞, or the step is too long for it"
          Remedy = "take more steps or another grid, or end at a later time, where the field is tame" }

    /// The samples that the noise x [B; …] turns into: those of `Sampling.run` with the same noise, up to the tolerance. Raises ArgumentException for a
    /// sampler that is not among `samplers`, a window of no steps or a negative tolerance.
    let run
        (how: Picard)
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (noise: Noise)
        (x: Tensor)
        : Result<ParallelSamples, Failure> =
        check how plan

        Scope.run (fun () ->
            // The second output only where it is asked for: behind a network in another's place it may be an evaluation of its own.
            let isLearned = plan.Sampler.Name = Samplers.ancestralLearned.Name
            let model = if isLearned then model else { model with WithVariance = None }
            let real = Sampling.widenedModel plan.Kind model
            let phi, times = steps plan model
            let last = times.Length - 1

            let bounds =
                [| 1..last |]
                |> Array.map (fun k ->
                    how.Tolerance ** 2.0 * (Variational.posterior model.Path times[k] times[k - 1]).Variance)

            // Whatever is not a number has not settled.
            let settled place (after: Tensor) (before: Tensor) =
                (Tensor.mean (Tensor.square (after - before))).ToFloat() <= bounds[place - 1]

            let isDone (window: Window) = window.First = last

            let round (windows: Window list) =
                let asked = windows |> List.filter (isDone >> not)

                let said =
                    evaluated
                        real
                        condition
                        [ for w in asked do
                              for k in 0 .. w.States.Length - 2 -> w.Row, times[w.First + k], w.States[k] ]

                let rec dealt (said: Said list) (windows: Window list) =
                    match windows with
                    | [] -> []
                    | window :: rest when isDone window -> window :: dealt said rest
                    | window :: rest ->
                        let own, others = List.splitAt (window.States.Length - 1) said
                        let phi place = phi place (Noise.rows window.Row 1 noise)
                        moved how.Window last phi settled own window :: dealt others rest

                let next = dealt said windows

                next
                |> List.tryFind (fun w -> not ((Tensor.all (Tensor.isFinite w.States.Head)).ToBool()))
                |> Option.map (failure times >> Error)
                |> Option.defaultValue (Ok next)

            let rec go (settled: int[] list) (windows: Result<Window list, Failure>) =
                match windows with
                | Ok list when not (List.forall isDone list) ->
                    let next = Scope.next (Result.bind round) windows

                    match next with
                    | Ok moved -> go ([| for w in moved -> w.First |] :: settled) next
                    | Error _ -> go settled next
                | _ -> windows |> Result.map (fun list -> List.rev settled, list)

            let begin' row =
                let state = Tensor.narrow 0 row 1 (x.To Dtype.Float64)

                { Row = row; First = 0; States = List.replicate (min how.Window last + 1) state; Evaluations = 0 }

            go [] (Ok(List.init x.Shape[0] begin'))
            |> Result.map (fun (settled, windows) ->
                { X = (windows |> List.map _.States.Head |> Tensor.cat 0).To plan.Kind.Dtype
                  Calls = settled.Length
                  Evaluations = windows |> List.map _.Evaluations |> Array.ofList
                  Settled = settled }))
