namespace Fokker

open System

/// What a sampler did: every state, what the network took the data for, and when the network was asked. All in the network's units.
type Trajectory() =

    // A sampler's scopes free what is made inside them: numbers stay.
    let pieces = Collections.Generic.List<(int[] * float[]) list>()
    let denoised = Collections.Generic.List<(int[] * float[]) list>()
    let mutable times: float list = []
    let mutable calls: float list = []

    // The batch that is being drawn; times and calls are those of the first.
    let mutable states: (int[] * float[]) list = []
    let mutable estimates: (int[] * float[]) list = []

    let numbers (x: Tensor) = x.Shape, Tensor.toFloats x

    /// The networks of what was learned, each call noted. A call is at one time for the whole batch.
    member _.Watching(dynamics: Dynamics) : Dynamics =
        dynamics
        |> Dynamics.map (fun network condition ->
            let field = network condition

            fun t x ->
                if pieces.Count = 0 then
                    calls <- (Tensor.mean t).ToFloat() :: calls

                field t x)

    /// A state on the way.
    member _.See(state: State) =
        if pieces.Count = 0 then
            times <- state.Time :: times

        states <- numbers state.X :: states
        state.Denoised |> Option.iter (fun x -> estimates <- numbers x :: estimates)

    /// The end of a batch.
    member _.EndBatch() =
        pieces.Add(List.rev states)
        denoised.Add(List.rev estimates)
        states <- []
        estimates <- []

    /// As an npz file: `x` [states; n; …], `denoised` [steps; n; …], `t` and `sigma` = σ/α of the states, `call_t` and `call_sigma` of the
    /// network's calls in their order. No `denoised` where the network does not say x₀.
    member _.Write(path: GaussianPath, file: string) =
        let level t = Math.Exp(-(Curve.eval path.Lambda t))

        let whole (batches: (int[] * float[]) list seq) =
            batches
            |> List.ofSeq
            |> List.transpose
            |> List.map (List.map (fun (shape, x) -> Tensor.ofArray shape x) >> Tensor.cat 0)
            |> Tensor.stack 0

        let column (values: float list) = Tensor.ofArray [ values.Length ] (Array.ofList values)
        let t, called = List.rev times, List.rev calls

        Scope.run0 (fun () ->
            Npz.write
                file
                [ "x", whole pieces
                  if denoised |> Seq.forall (fun part -> not part.IsEmpty) then
                      "denoised", whole denoised
                  "t", column t
                  "sigma", column (List.map level t)
                  "call_t", column called
                  "call_sigma", column (List.map level called) ])
