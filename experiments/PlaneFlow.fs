namespace Fokker.Experiments

open System
open Fokker

/// What experiments with flows in the plane share: training on pairs, networks of other papers, following a flow.
module PlaneFlow =

    /// A training on batches of the step alone, and the seconds that it took. Raises UserError where it diverges.
    let train
        (training: TrainSettings)
        (network: Network)
        (loss: Loss)
        (batch: int64 -> Batch)
        (steps: int64)
        (key: Rng)
        : TrainState * float =
        use prefetch = new Prefetch(batch)
        let mutable seconds = 0.0

        let state, ending =
            Trainer.run
                training
                network
                loss
                prefetch.Get
                (Budget.Steps steps)
                0.0
                { Stepped = (fun _ _ now -> seconds <- now); Stop = fun () -> false }
                (Trainer.init Kind.Float32 key network)

        match ending with
        | Ending.Diverged divergence -> raise (UserError divergence.Message)
        | _ -> state, seconds

    /// A fixed rate, and no average: the parameters that a flow has are the last ones.
    let plain (rate: float) (decay: float) : TrainSettings =
        { Optimizer = { Optimizer.adam with Rate = Schedule.Constant rate; Decay = decay; MaxNorm = None }
          Average = Average.constant 0.0
          Powers = []
          Rounds = None
          Memory = None
          Players = []
          Ranks = Ranks.alone
          Parts = 1
          Recompute = false }

    /// Times drawn one by one on all of [0, 1].
    let uniform: Times =
        { Times.uniform with
            Name = "uniform, independent"
            Span = fun _ -> 0.0, 1.0
            Draw = fun _ rng n -> Rng.uniform Kind.Float64 [ n ] rng }

    /// x at t = 0 from x at t = 1 along a velocity, in float64, by so many equal steps.
    let follow (tableau: Tableau) (steps: int) (velocity: Field) (start: Tensor) : Tensor =
        let times = Array.init (steps + 1) (fun k -> 1.0 - float k / float steps)
        let inSingle: Field = fun t x -> (velocity t (x.To Dtype.Float32)).To x.Dtype

        match
            Integrator.run
                (Integrator.rungeKutta tableau { Velocity = inSingle })
                (Noise.fresh (Rng.ofSeed 0L))
                times
                start
        with
        | Ok state -> state.X
        | Error failure -> raise (UserError $"the flow failed at {failure}")

    /// 0 … 1 in n equal steps: where the moons' points lie along their arcs.
    let private even (n: int) = Tensor.linspace Kind.Float64 0.0 1.0 n

    /// Two half circles of n/2 points each, evenly spaced, and the moon of each point.
    let arcs (n: int) : Tensor * Tensor =
        let angle = even (n / 2) * Math.PI
        let first = Tensor.stack 1 [ cos angle; sin angle ]
        let second = Tensor.stack 1 [ 1.0 - cos angle; 0.5 - sin angle ]
        let moon k = Tensor.full Kind.Float64 [ n / 2 ] k
        Tensor.cat 0 [ first; second ], Tensor.cat 0 [ moon 0.0; moon 1.0 ]

    /// Eight centres at a radius, one of them and noise for each of n points.
    let eight (radius: float) (deviation: float) (rng: Rng) (n: int) : Tensor =
        let corner = (Rng.integers 8L [ n ] (Rng.named "corner" rng)).To Dtype.Float64 * (Math.PI / 4.0)
        let centre = Tensor.stack 1 [ cos corner; sin corner ] * radius
        centre + Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "noise" rng) * deviation

    // ---- networks

    let private dense (name: string) inputs outputs : Spec list =
        let bound = 1.0 / sqrt (float inputs)

        [ { Name = name + ".weight"; Shape = [ outputs; inputs ]; Initializer = Initializer.Uniform bound }
          { Name = name + ".bias"; Shape = [ outputs ]; Initializer = Initializer.Uniform bound } ]

    /// One column of times, as many as there are rows.
    let private column (t: Tensor) (x: Tensor) : Tensor =
        (Tensor.expand [ x.Shape[0]; 1 ] (Tensor.reshape [ -1; 1 ] t)).To x.Kind

    let private network name settings (specs: Spec list) (apply: Tensor[] -> Field) : Network =
        { Name = name
          Settings = settings
          Specs = Array.ofList specs
          Apply = fun p _ -> apply p
          Uncertainty = None
          Fitted = None
          Dropping = None }

    /// (t, x) ↦ three layers of 64 units with SELU between them: the network of Tong et al.'s two-dimensional experiments.
    let selu: Network =
        let widths = [ 3; 64; 64; 64; 2 ]
        let layers = List.pairwise widths |> List.mapi (fun k (i, o) -> dense $"layer{k + 1}" i o)

        network "selu" [ "widths", "3 64 64 64 2" ] (List.concat layers) (fun p t x ->
            let layer k h = Nn.linear h p[2 * k] p[2 * k + 1]
            let hidden = Seq.fold (fun h k -> Tensor.selu (layer k h)) (Tensor.cat 1 [ column t x; x ]) (seq { 0..2 })
            layer 3 hidden)

    /// (t, x) or (t, x, c) with one more coordinate c ↦ the sum of a linear layer of each, three residual blocks 128 → 512 → 128 with GELU, and a linear layer: the network
    /// of Cheng and Schwing's experiments in the plane.
    let residual (conditions: int) : Network =
        let inputs =
            [ dense "x" 2 128
              dense "time" 1 128
              for k in 1..conditions do
                  dense $"condition{k}" 1 128 ]

        let blocks = [ for k in 1..3 -> dense $"block{k}.up" 128 512 @ dense $"block{k}.down" 512 128 ]

        network
            "residual"
            [ "conditions", string conditions ]
            (List.concat inputs @ List.concat blocks @ dense "output" 128 2)
            (fun p t x ->
                let layer k h = Nn.linear h p[2 * k] p[2 * k + 1]

                let parts =
                    [ layer 0 (Tensor.narrow 1 0 2 x)
                      layer 1 (column t x)
                      for k in 1..conditions do
                          layer (1 + k) (Tensor.narrow 1 (1 + k) 1 x) ]

                let block h k =
                    let first = 2 + conditions + 2 * k
                    h + layer (first + 1) (Tensor.gelu (layer first h))

                layer (8 + conditions) (Seq.fold block (List.reduce (+) parts) (seq { 0..2 })))
