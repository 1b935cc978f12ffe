namespace Fokker

open System
open System.Diagnostics

/// A network that is trained in turns with the one that a model is of: its architecture, its loss, its optimizer.
[<NoComparison; NoEquality>]
type Player =
    {
        Name: string
        Network: Network
        Loss: Loss
        Optimizer: Optimizer
        /// Its moves before each of the main network's.
        Turns: int
        /// The parameters that it begins at; drawn where there are none.
        Start: (unit -> Tensor[]) option
    }

/// Everything that training carries from one step to the next, and all that a checkpoint holds.
[<NoComparison; ReferenceEquality>]
type TrainState =
    {
        /// Steps made so far.
        Step: int64
        Parameters: Tensor[]
        /// The exponential moving average of the parameters: what samples are drawn with.
        Average: Tensor[]
        FirstMoment: Tensor[]
        SecondMoment: Tensor[]
        /// What the round before ended with, in a training of rounds; empty in any other.
        Teacher: Tensor[]
        /// What the objective keeps from step to step beside the parameters: chains. Empty where it keeps nothing.
        Memory: Tensor[]
        /// The parameters' power-function averages, one for each of `TrainSettings.Powers`; empty where there are none.
        Powers: Tensor[][]
        /// The other players' parameters and what their optimizers keep, in the order of `TrainSettings.Players`; empty where there are none.
        Players: Moments[]
        /// Every random number of the run comes from here; a state never advances it.
        Key: Rng
    }

    interface IHoldTensors with
        member s.Visit visit =
            for tensors in [| s.Parameters; s.Average; s.FirstMoment; s.SecondMoment; s.Teacher; s.Memory |] do
                Array.iter visit tensors

            for average in s.Powers do
                Array.iter visit average

            for player in s.Players do
                for tensors in [| player.Parameters; player.Average; player.First; player.Second |] do
                    Array.iter visit tensors

/// What there is to say about one step.
[<Struct>]
type StepInfo =
    {
        /// The number of this step, the first being 1.
        Step: int64
        /// The mean of the loss over the batch, before the step.
        Loss: float
        /// ‖∇loss‖ over all parameters, before clipping.
        GradientNorm: float
        /// The learning rate.
        Rate: float
    }

/// A step that was not made because its loss, its gradient, or a number of the state that it led to is not finite.
[<Struct>]
type Divergence =
    {
        /// The number of the step that could not be made.
        Step: int64
        Loss: float
        GradientNorm: float
    }

    /// What was not finite.
    member d.Reason =
        if not (Double.IsFinite d.Loss) then
            $"its loss is {d.Loss}"
        elif not (Double.IsFinite d.GradientNorm) then
            $"its gradient is not finite (norm {d.GradientNorm}, loss {d.Loss})"
        else
            $"it led to numbers that are not finite (gradient of norm {d.GradientNorm}, loss {d.Loss})"

    /// One line with the remedy.
    member d.Message = $"training diverged at step {d.Step}: {d.Reason}: {Divergence.Remedy}"

    /// What to do about it.
    static member Remedy = "lower the learning rate, warm it up for longer or clip the gradient"

/// How parameters are learned, whatever the loss.
[<NoComparison; NoEquality>]
type TrainSettings =
    {
        Optimizer: Optimizer
        Average: Average
        /// The exponents of power-function averages that are kept beside (`PowerAverage`).
        Powers: float list
        /// The rounds of the training, whose rates take the place of the optimizer's; none for one that is of one piece.
        Rounds: Rounds option
        /// What the objective keeps from step to step (`Objective.Memory`).
        Memory: (LossContext -> Rng -> Batch -> Tensor[]) option
        /// The networks that are trained in turns with the main one.
        Players: Player list
        /// The processes that train together; `Ranks.alone` where there is one.
        Ranks: IRanks
        /// In how many parts, one after the other, a process computes the gradient of its rows of a batch. The step is the same up to the order of sums; the memory that a step's graph takes is
        /// that of one part.
        Parts: int
        /// Whether the inside of a network's blocks is computed again in the backward pass instead of being kept (`Recomputation`).
        Recompute: bool
    }

/// How long a run goes on.
[<RequireQualifiedAccess>]
type Budget =
    /// Until so many steps have been made, those before a resumption included.
    | Steps of int64
    /// For so many minutes of training, those before a resumption included.
    | Minutes of float

/// Why a run came to its end.
[<RequireQualifiedAccess>]
type Ending =
    | Finished
    | Interrupted
    | Diverged of Divergence

/// What a run tells and asks its owner.
[<NoComparison; NoEquality>]
type Observer =
    {
        /// Called after every step with the state that it started from, whose loss and gradient are now known to be finite (to be
        /// read, not kept: the next step frees it), what there is to say about the step, and the seconds of training so far.
        Stepped: TrainState -> StepInfo -> float -> unit
        /// Asked before every step.
        Stop: unit -> bool
    }

[<RequireQualifiedAccess>]
module Trainer =

    /// Adam at 1e-3 after a warm-up of 100 steps, gradients clipped to norm 1, an average that forgets in a thousand steps.
    let standard: TrainSettings =
        { Optimizer = { Optimizer.adam with Rate = Schedule.WarmUp(100L, Schedule.Constant 1e-3); MaxNorm = Some 1.0 }
          Average = Average.standard
          Powers = []
          Rounds = None
          Memory = None
          Players = []
          Ranks = Ranks.alone
          Parts = 1
          Recompute = false }

    let private ofMoments (step: int64) (key: Rng) (teacher: Tensor[]) (memory: Tensor[]) (m: Moments) : TrainState =
        { Step = step
          Parameters = m.Parameters
          Average = m.Average
          FirstMoment = m.First
          SecondMoment = m.Second
          Teacher = teacher
          Memory = memory
          Powers = [||]
          Players = [||]
          Key = key }

    /// The state before the first step; the same key gives the same parameters.
    let init (kind: Kind) (key: Rng) (network: Network) : TrainState =
        Scope.run (fun () ->
            Network.init kind (Rng.named "parameters" key) network
            |> Optimizer.init
            |> ofMoments 0L key [||] [||])

    /// The state before the first step of a training that begins at given parameters, in the order of the network's specs.
    let initAt (kind: Kind) (key: Rng) (parameters: Tensor[]) : TrainState =
        Scope.run (fun () ->
            parameters
            |> Array.map (fun p -> Tensor.clone (p.To kind))
            |> Optimizer.init
            |> ofMoments 0L key [||] [||])

    /// The same state in another element type or on another device; it shares what needs no conversion.
    let toKind (kind: Kind) (state: TrainState) : TrainState =
        let convert (tensors: Tensor[]) = tensors |> Array.map _.To(kind)

        { state with
            Parameters = convert state.Parameters
            Average = convert state.Average
            FirstMoment = convert state.FirstMoment
            SecondMoment = convert state.SecondMoment
            Teacher = convert state.Teacher
            Memory = convert state.Memory
            Powers = state.Powers |> Array.map convert
            Players =
                state.Players
                |> Array.map (fun player ->
                    { Parameters = convert player.Parameters
                      Average = convert player.Average
                      First = convert player.First
                      Second = convert player.Second }) }

    /// The round that the next step is of, and the steps made in it.
    let private within (settings: TrainSettings) (step: int64) : struct (int * int64) =
        match settings.Rounds with
        | None -> struct (0, step)
        | Some rounds ->
            let struct (round, local, _) = Rounds.at rounds step
            struct (round, local)

    /// The optimizer of the step that follows so many others, and how many it has made itself.
    let private optimizer (settings: TrainSettings) (step: int64) : struct (Optimizer * int64) =
        match settings.Rounds with
        | None -> struct (settings.Optimizer, step)
        | Some rounds ->
            let struct (_, local, length) = Rounds.at rounds step
            struct ({ settings.Optimizer with Rate = rounds.Rate length }, local)

    let private rateAt settings step =
        let struct (optimizer, local) = optimizer settings step
        Schedule.at optimizer.Rate local

    /// The state at the beginning of its next step: where that begins a round, what was trained is the teacher, and the optimizer forgets. The student begins as its teacher.
    let private entered (settings: TrainSettings) (state: TrainState) : TrainState =
        match settings.Rounds, within settings state.Step with
        | Some _, (struct (_, 0L)) ->
            { state with
                Teacher = Array.map Tensor.clone state.Parameters
                Average = state.Parameters
                FirstMoment = Array.map Tensor.zerosLike state.Parameters
                SecondMoment = Array.map Tensor.zerosLike state.Parameters }
        | _ -> state

    let private contextOf
        (settings: TrainSettings)
        (network: Network)
        (state: TrainState)
        (parameters: Tensor[])
        : LossContext =
        { Network = network.Apply parameters
          Frozen = fun condition -> network.Apply state.Parameters condition
          Average = fun condition -> network.Apply state.Average condition
          Teacher = fun condition -> network.Apply state.Teacher condition
          Round =
            (let struct (round, _) = within settings state.Step
             round)
          Memory = state.Memory
          Others =
            Map
                [ for player, moments in Seq.zip settings.Players state.Players ->
                      player.Name, (fun condition -> player.Network.Apply moments.Parameters condition) ]
          Uncertainty = network.Uncertainty |> Option.map (fun u -> u parameters)
          Step = state.Step }

    /// The state with what is kept beside the parameters as its next step needs it.
    let private remembered
        (settings: TrainSettings)
        (network: Network)
        (batch: Batch)
        (state: TrainState)
        : TrainState =
        match settings.Memory with
        | None -> state
        | Some advance ->
            let rng = state.Key |> Rng.named "memory" |> Rng.at state.Step
            { state with Memory = advance (contextOf settings network state state.Parameters) rng batch }

    /// The state with the players that its settings name, before their first step.
    let private joined (settings: TrainSettings) (kind: Kind) (state: TrainState) : TrainState =
        if settings.Players.IsEmpty || state.Players.Length > 0 then
            state
        else
            { state with
                Players =
                    [| for player in settings.Players do
                           match player.Start with
                           | Some start -> start () |> Array.map (fun p -> Tensor.clone (p.To kind)) |> Optimizer.init
                           | None ->
                               Network.init
                                   kind
                                   (Rng.named "parameters" (Rng.named player.Name state.Key))
                                   player.Network
                               |> Optimizer.init |] }

    /// The power-function averages after the step that follows k others, which led to these parameters. After the first they are the parameters themselves.
    let private averaged (settings: TrainSettings) (k: int64) (before: Tensor[][]) (parameters: Tensor[]) : Tensor[][] =
        [| for i, exponent in Seq.indexed settings.Powers ->
               if k = 0L || before.Length = 0 then
                   Array.map Tensor.clone parameters
               else
                   let kept = PowerAverage.decay exponent k
                   Array.map2 (fun (a: Tensor) (p: Tensor) -> a * kept + p * (1.0 - kept)) before[i] parameters |]

    /// The state after the other players' moves, and whether all of their numbers are finite.
    let private played
        (settings: TrainSettings)
        (network: Network)
        (batch: Batch)
        (state: TrainState)
        : struct (TrainState * bool) =
        let turn (index: int) (player: Player) (struct (state: TrainState, isGood: bool)) (k: int) =
            if not isGood then
                struct (state, false)
            else
                let rng = state.Key |> Rng.named player.Name |> Rng.at state.Step |> Rng.at (int64 k)
                let own = state.Players[index]
                let shared = contextOf settings network state state.Parameters

                let objective (parameters: Tensor[]) =
                    let context =
                        { shared with
                            Network = player.Network.Apply parameters
                            Frozen = fun condition -> player.Network.Apply own.Parameters condition
                            Average = fun condition -> player.Network.Apply own.Average condition
                            Uncertainty = None
                            Others = shared.Others |> Map.add LossContext.main shared.Frozen }

                    Tensor.mean (player.Loss context rng batch), ()

                let value, gradients, () = Diff.valueAndGrads objective own.Parameters
                let made = state.Step * int64 player.Turns + int64 k

                // Its moments count its own moves; its rate is that of the training's step, or it would have stopped learning after one in `Turns` of them.
                let optimizer =
                    { player.Optimizer with Rate = Schedule.Constant(Schedule.at player.Optimizer.Rate state.Step) }

                let struct (moments, norm, isFinite) = Optimizer.step optimizer settings.Average made gradients own

                let players = Array.copy state.Players
                players[index] <- moments

                struct ({ state with Players = players },
                        isFinite && Double.IsFinite(value.ToFloat()) && Double.IsFinite(norm.ToFloat()))

        Seq.indexed settings.Players
        |> Seq.fold
            (fun state (index, player) -> Seq.fold (turn index player) state (seq { 0 .. player.Turns - 1 }))
            (struct (state, true))

    /// The mean of the loss over a batch, at the state's key and step and at the given parameters: what a portion of its rows adds to it.
    let private meanLoss
        (settings: TrainSettings)
        (network: Network)
        (loss: Loss)
        (batch: Batch)
        (state: TrainState)
        (portion: Portion)
        (parameters: Tensor[])
        : Tensor =
        let rng = state.Key |> Rng.named "loss" |> Rng.at state.Step
        let whole = batch.Data.Shape[0]
        let rng = Ranks.stream portion whole rng
        let context = contextOf settings network state parameters

        // What learns leaves units out, and so does its target of the same step; an average and a teacher do not.
        let context =
            match network.Dropping with
            | None -> context
            | Some dropping ->
                let learner = dropping (Rng.named "dropout" rng)

                { context with
                    Network = learner.Apply parameters
                    Frozen = fun condition -> learner.Apply state.Parameters condition }

        let each = loss context rng (Ranks.share portion batch)

        if each.Rank <> 1 then
            invalidArg (nameof loss) $"a loss gives one value for each sample, [B]; this one gave {each.Describe()}"

        if portion.Count = 1 then Tensor.mean each else Tensor.sum each / float whole

    /// This process's part of the mean of the loss over a batch, and the gradient of the whole: the sum over its portions, of which one at a time is in memory, and over the processes, whose sums begin
    /// while the gradient of the last portion is computed.
    let private lossAndGradient settings network loss batch (state: TrainState) : struct (float * Tensor[]) =
        let objective (portion: Portion) parameters = meanLoss settings network loss batch state portion parameters, ()

        let valueAndGradients portion =
            if settings.Recompute then
                Recomputation.valueAndGrads (objective portion) state.Parameters
            else
                Diff.valueAndGrads (objective portion) state.Parameters

        let of' (portion: Portion) =
            Scope.run (fun () ->
                let value, gradients, () = valueAndGradients portion
                struct (value.ToFloat(), gradients))

        let add (struct (value: float, gradients)) (portion: Portion) =
            let sums =
                Scope.run (fun () ->
                    let struct (own, more) = of' portion
                    struct (value + own, Array.map2 (fun (a: Tensor) b -> a + b) gradients more))

            Scope.free gradients
            sums

        let ofAll =
            function
            | [] -> invalidArg (nameof settings) $"a batch in {settings.Parts} parts: at least 1"
            | first :: others -> others |> List.fold add (of' first)

        match List.rev (Ranks.portions settings.Ranks settings.Parts) with
        | last :: before when not (Ranks.isAlone settings.Ranks) ->
            let struct (earlier, plus) =
                if before.IsEmpty then
                    struct (0.0, (fun _ gradient -> gradient))
                else
                    let struct (value, gradients) = ofAll (List.rev before)
                    struct (value, (fun k (gradient: Tensor) -> gradients[k] + gradient))

            let struct (value, gradients) =
                Buckets.sumWhile Buckets.Bytes settings.Ranks state.Parameters (fun give ->
                    Scope.run (fun () ->
                        let receive k gradient = give k (plus k gradient)

                        if settings.Recompute then
                            let value, gradients, () = valueAndGradients last
                            Array.iteri receive gradients
                            value.ToFloat()
                        else
                            let value, () = Diff.valueAndGradsEach receive (objective last) state.Parameters
                            value.ToFloat()))

            struct (earlier + value, gradients)
        | _ -> ofAll (Ranks.portions settings.Ranks settings.Parts)

    /// The loss of a state on the draws and the batch of the step that led to it.
    let private valueAfter settings network loss (batches: int64 -> Batch) (state: TrainState) : float =
        let before = { state with Step = state.Step - 1L }

        Scope.run (fun () ->
            let batch = batches before.Step

            let own =
                Ranks.portions settings.Ranks settings.Parts
                |> List.sumBy (fun portion ->
                    Scope.run (fun () ->
                        (meanLoss settings network loss batch before portion state.Parameters).ToFloat()))

            (Ranks.sumNumbers settings.Ranks [| own |])[0])

    /// One step on one batch: state ↦ state. The loss draws from the state's key and step number, so the same batch and state give
    /// the same bytes. Where the loss, its gradient or a number of the new state is not finite there is no new state.
    let step
        (settings: TrainSettings)
        (network: Network)
        (loss: Loss)
        (batch: Batch)
        (state: TrainState)
        : Result<TrainState * StepInfo, Divergence> =
        Scope.run (fun () ->
            let state = joined settings state.Parameters[0].Kind state
            let state = entered settings state |> remembered settings network batch
            let struct (state, areGood) = played settings network batch state
            let struct (own, gradients) = lossAndGradient settings network loss batch state
            let value = (Ranks.sumNumbers settings.Ranks [| own |])[0]

            let struct (optimizer, made) = optimizer settings state.Step

            let struct (moments, norm, isFinite) =
                Optimizer.step
                    optimizer
                    settings.Average
                    made
                    gradients
                    { Parameters = state.Parameters
                      Average = state.Average
                      First = state.FirstMoment
                      Second = state.SecondMoment }

            let norm = norm.ToFloat()

            if Double.IsFinite value && Double.IsFinite norm && isFinite && areGood then
                Ok(
                    { ofMoments (state.Step + 1L) state.Key state.Teacher state.Memory moments with
                        Powers = averaged settings state.Step state.Powers moments.Parameters
                        Players = state.Players },
                    { Step = state.Step + 1L
                      Loss = value
                      GradientNorm = norm
                      Rate = Schedule.at optimizer.Rate made }
                )
            else
                Error { Step = state.Step + 1L; Loss = value; GradientNorm = norm })

    /// What cannot be learned by several processes, each on rows of its own, or in parts one after the other, and why; none where it can.
    let cannotShare (settings: TrainSettings) : string option =
        if settings.Memory.IsSome then
            Some "the objective keeps chains from step to step, which are of the whole batch"
        elif not settings.Players.IsEmpty then
            Some "several networks are trained in turns"
        else
            None

    /// Steps until the budget is spent, someone asks to stop, or a step fails. `batches` gives the batch of every step;
    /// `before` is how many seconds of training the state has behind it.
    ///
    /// A run that diverges gives back its last good state: a finite one whose loss on the batch that it was made from is finite, which may be one step
    /// before the one that the failed step began from.
    ///
    /// The run owns the state it is given and frees it; the one it returns is the caller's. Do not call it inside
    /// `Scope.run`: the scope would remember every state that came and went.
    let run
        (settings: TrainSettings)
        (network: Network)
        (loss: Loss)
        (batches: int64 -> Batch)
        (budget: Budget)
        (before: float)
        (observer: Observer)
        (state: TrainState)
        : TrainState * Ending =
        let clock = Stopwatch.StartNew()
        let seconds () = before + clock.Elapsed.TotalSeconds

        let spent (state: TrainState) =
            match budget with
            | Budget.Steps n -> state.Step >= n
            // No two clocks are the same.
            | Budget.Minutes minutes -> Ranks.any settings.Ranks (seconds () >= 60.0 * minutes)

        /// Frees a state but for the tensors that one of the others has too: a round's teacher is one for all of its steps.
        let free (others: TrainState list) (state: TrainState) =
            let isShared = others |> List.exists (fun other -> obj.ReferenceEquals(other.Teacher, state.Teacher))
            Scope.free (if isShared then { state with Teacher = [||] } else state)

        /// `good` is the state before, where this run has made a step.
        let rec go (good: TrainState option) (state: TrainState) =
            let freeing (other: TrainState option) result =
                Option.iter (free [ fst result ]) other
                result

            /// A state that steps led to is as good as its loss on the batch that it was made from is finite.
            let isGood () = Double.IsFinite(valueAfter settings network loss batches state)

            let diverged (divergence: Divergence) =
                match good with
                | Some good when not (isGood ()) -> freeing (Some state) (good, Ending.Diverged divergence)
                | _ -> freeing good (state, Ending.Diverged divergence)

            // Adam moves no parameter further than some ten times its rate in one step: below 1 the step before has seen what comes.
            let isBold = state.Step > 0L && rateAt settings (state.Step - 1L) > 1.0

            let ended ending =
                if good.IsSome && isBold && not (isGood ()) then
                    diverged
                        { Step = state.Step; Loss = valueAfter settings network loss batches state; GradientNorm = nan }
                else
                    freeing good (state, ending)

            if spent state then
                ended Ending.Finished
            elif Ranks.any settings.Ranks (observer.Stop()) then
                ended Ending.Interrupted
            else
                match Scope.run (fun () -> step settings network loss (batches state.Step) state) with
                | Ok(next, info) ->
                    Option.iter (free [ state; next ]) good
                    observer.Stepped state info (seconds ())
                    go (Some state) next
                | Error divergence -> diverged divergence

        go None state
