namespace Fokker

open System
open System.Collections.Generic
open System.Runtime.ExceptionServices

#nowarn "9" // the engine takes arrays of native pointers

/// Derivatives of pure functions of tensors.
///
/// There is no mode to switch: a function is differentiated where `Diff` is asked to, at the point it is given, and the
/// results are plain tensors (unless an enclosing `Diff` is differentiating them in turn). Reverse mode is libtorch's
/// autograd engine, forward mode its dual numbers; they nest except forward in forward, which libtorch has no level for.
[<RequireQualifiedAccess>]
module Diff =

    let private makeDual = Ops.op "_make_dual"
    let private unpackDual = Ops.op "_unpack_dual"

    let internal leaf (x: Tensor) =
        let mutable value = Unchecked.defaultof<NativeValue>

        let pointer = x.Use()

        try
            if Engines.Current.Leaf(pointer, &value) < 0 then
                raise (TensorException $"Diff: {x.Describe()}: {Engines.Current.Error()}")
        finally
            x.Leave()

        Door.accept value

    let internal onGraph (y: Tensor) =
        let pointer = y.Use()

        try
            Engines.Current.RequiresGrad pointer
        finally
            y.Leave()

    /// Whether an enclosing computation differentiates in this tensor.
    let internal isTracked (t: Tensor) =
        let pointer = t.Use()

        try
            Engines.Current.IsTracked pointer
        finally
            t.Leave()

    /// ⟨v, ∂y/∂xᵢ⟩ for every i, v = 1 where it is null; none where y does not depend on xᵢ.
    let internal pullbackWhere (y: Tensor) (xs: Tensor[]) (v: Tensor | null) (retain: bool) : Tensor option[] =
        if not (onGraph y) then
            xs |> Array.map (fun _ -> None)
        else
            let used = List<Tensor>()

            // In use until the engine is done, whoever frees them meanwhile.
            let pointer (t: Tensor | null) =
                match t with
                | null -> 0n
                | t ->
                    let pointer = t.Use()
                    used.Add t
                    pointer

            // The derivative is itself differentiated when another Diff is at work around this one.
            let create = Nesting.Reverse > 1 || Nesting.Forward
            let results = Array.zeroCreate<NativeValue> xs.Length

            let rc =
                try
                    let output, seed = pointer y, pointer v
                    let inputs = [| for x in xs -> pointer x |]
                    use inputsAt = fixed inputs
                    use resultsAt = fixed results

                    Engines.Current.Pullback(
                        output,
                        seed,
                        NativeInterop.NativePtr.toNativeInt inputsAt,
                        inputs.Length,
                        create,
                        (retain || create),
                        Nesting.Forward,
                        NativeInterop.NativePtr.toNativeInt resultsAt
                    )
                finally
                    for t in used do
                        t.Leave()

            if rc < 0 then
                raise (TensorException $"Diff: {y.Describe()}: {Engines.Current.Error()}")

            results |> Array.map (fun (r: NativeValue) -> if r.Tag = 1 then Some(Door.accept r) else None)

    /// The same with zeros where y does not depend on xᵢ.
    let private pullback (y: Tensor) (xs: Tensor[]) (v: Tensor | null) (retain: bool) : Tensor[] =
        Array.map2
            (fun (x: Tensor) derivative -> derivative |> Option.defaultWith (fun () -> Tensor.zerosLike x))
            xs
            (pullbackWhere y xs v retain)

    /// ∂y/∂xᵢ, each given to `receive` when it is complete, and freed afterwards; none where y does not depend on xᵢ. The first that `receive` raises is raised when all is done.
    let private pullbackEach (y: Tensor) (xs: Tensor[]) (receive: int -> Tensor -> unit) : unit =
        let failed: ExceptionDispatchInfo list ref = ref []

        let take =
            Receive(fun k derivative ->
                let value = derivative

                // Nothing may leave by way of the engine, whose frames are C++.
                try
                    Scope.run0 (fun () ->
                        let own = Door.accept value

                        if failed.Value.IsEmpty then
                            receive k own)
                with error ->
                    failed.Value <- [ ExceptionDispatchInfo.Capture error ])

        let used = List<Tensor>()

        let pointer (t: Tensor) =
            let pointer = t.Use()
            used.Add t
            pointer

        let rc =
            try
                let output = pointer y
                let inputs = [| for x in xs -> pointer x |]
                use inputsAt = fixed inputs

                Engines.Current.PullbackEach(output, NativeInterop.NativePtr.toNativeInt inputsAt, inputs.Length, take)
            finally
                for t in used do
                    t.Leave()

        failed.Value |> List.iter _.Throw()

        if rc < 0 then
            raise (TensorException $"Diff: {y.Describe()}: {Engines.Current.Error()}")

    /// The same value, and the same tangent inside a forward derivative, on no graph.
    let private offGraph (t: Tensor) =
        if not Nesting.Forward then
            Tensor.detach t
        else
            match Door.many unpackDual [| Arg.tensor t; Arg.int64 Nesting.Level |] with
            | [| primal; tangent |] ->
                Door.one
                    makeDual
                    [| Arg.tensor (Tensor.detach primal); Arg.tensor (Tensor.detach tangent); Arg.int64 Nesting.Level |]
            | _ -> Tensor.detach t

    /// Takes what a reverse derivative hands out off its graph, where no enclosing one needs it there: a tensor on a graph
    /// holds everything the graph was made from. In place, because `value` may be of any type that holds tensors.
    let private settle (value: 'T) : 'T =
        if Nesting.Reverse = 0 then
            Holding.iter
                (fun t ->
                    if onGraph t then
                        use fresh = offGraph t
                        t.Swap fresh)
                value

        value

    /// Runs `f`, which takes a reverse derivative, and settles its results.
    let internal reversing (f: unit -> 'T) : 'T =
        try
            settle (Nesting.Reversing f)
        finally
            if Nesting.Reverse = 0 then
                Engines.Current.Settled()

    let internal requireScalar what (y: Tensor) =
        if y.Count <> 1L then
            raise (
                TensorException
                    $"{what}: the function gave {y.Describe()}: a gradient is of a single number; sum it, or use vjp"
            )

    /// f(xs) and ∂f/∂xs for a scalar function of several tensors; the value comes with whatever else the function reports
    /// (anything that `Scope` finds tensors in). Raises TensorException where f gives more than one number.
    let valueAndGrads (f: Tensor[] -> Tensor * 'A) (xs: Tensor[]) : Tensor * Tensor[] * 'A =
        reversing (fun () ->
            let leaves = xs |> Array.map leaf
            let y, aux = f leaves
            requireScalar "grad" y
            y, pullback y leaves null false, aux)

    /// As `valueAndGrads`, for gradients that are of use one by one: each ∂f/∂xᵢ is given to `receive` with its number once, as soon as it is complete where the engine can tell (the compiled one), in
    /// whatever order, and freed when `receive` returns; what f does not depend on comes last, as zeros. What `receive` raises is raised when the backward pass is done, and nothing is received after it.
    /// On a GPU the calls come from a thread of libtorch's.
    let internal valueAndGradsEach
        (receive: int -> Tensor -> unit)
        (f: Tensor[] -> Tensor * 'A)
        (xs: Tensor[])
        : Tensor * 'A =
        reversing (fun () ->
            let leaves = xs |> Array.map leaf
            let y, aux = f leaves
            requireScalar "grad" y
            let given = Array.zeroCreate<bool> xs.Length

            let give k derivative =
                given[k] <- true
                receive k derivative

            if Nesting.Reverse > 1 || Nesting.Forward || Array.exists onGraph xs then
                pullback y leaves null false |> Array.iteri give
            elif onGraph y then
                pullbackEach y leaves give

            for k in 0 .. xs.Length - 1 do
                if not given[k] then
                    Scope.run0 (fun () -> give k (Tensor.zerosLike xs[k]))

            y, aux)

    /// f(x) and ∇f(x) for scalar f.
    let valueAndGrad (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
        let y, grads, () = valueAndGrads (fun xs -> f xs[0], ()) [| x |]
        y, grads[0]

    /// ∇f(x) for scalar f; the shape of x.
    let grad (f: Tensor -> Tensor) (x: Tensor) : Tensor = snd (valueAndGrad f x)

    /// ∂f/∂xᵢ for a scalar function of several tensors.
    let grads (f: Tensor[] -> Tensor) (xs: Tensor[]) : Tensor[] =
        let _, g, () = valueAndGrads (fun xs -> f xs, ()) xs
        g

    /// f(x) and vᵀ J(x), by reverse mode; v has the shape of f(x).
    let vjp (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor =
        reversing (fun () ->
            let leaf = leaf x
            let y = f leaf

            if v.Shape <> y.Shape then
                raise (
                    TensorException $"vjp: the function gave {y.Describe()}, but v is {v.Describe()}: they must agree"
                )

            y, (pullback y [| leaf |] v false)[0])

    /// Work with f(x) and v ↦ vᵀ J(x), which may be asked as often as it needs: f is evaluated once. The map is of no use after the work. Raises
    /// TensorException where v has not the shape of f(x).
    let pulling (f: Tensor -> Tensor) (x: Tensor) (work: Tensor -> (Tensor -> Tensor) -> 'T) : 'T =
        reversing (fun () ->
            let leaf = leaf x
            let y = f leaf

            let pull (v: Tensor) =
                if v.Shape <> y.Shape then
                    raise (
                        TensorException
                            $"pulling: the function gave {y.Describe()}, but v is {v.Describe()}: they must agree"
                    )

                (pullback y [| leaf |] v true)[0]

            // What the work makes of the value is on no graph, unless an enclosing derivative needs it there.
            work (if Nesting.Reverse > 1 || Nesting.Forward then y else Tensor.detach y) pull)

    /// f(xs) and Σᵢ Jᵢ vᵢ, by forward mode (one pass, no graph); vᵢ has the shape of xᵢ.
    /// Raises TensorException inside another forward derivative.
    let jvps (f: Tensor[] -> Tensor) (xs: Tensor[]) (vs: Tensor[]) : Tensor * Tensor =
        if Nesting.Forward then
            raise (
                TensorException
                    "Diff.jvp: a forward derivative inside a forward derivative; take the outer or the inner one by grad or vjp"
            )

        if xs.Length <> vs.Length then
            raise (TensorException $"jvp: {xs.Length} tensors, but {vs.Length} directions")

        for x, v in Array.zip xs vs do
            if x.Shape <> v.Shape || x.Dtype <> v.Dtype then
                raise (TensorException $"jvp: {x.Describe()} in the direction {v.Describe()}: they must agree")

        let level = Engines.Current.EnterDual()

        if level < 0L then
            raise (TensorException(Engines.Current.Error()))

        try
            Nesting.Forwarding(
                level,
                fun () ->
                    let duals =
                        Array.map2
                            (fun x v -> Door.one makeDual [| Arg.tensor x; Arg.tensor v; Arg.int64 level |])
                            xs
                            vs

                    let y = f duals
                    // Both without the tangent: what leaves must not carry it into another derivative.
                    match Door.many unpackDual [| Arg.tensor y; Arg.int64 level |] with
                    | [| primal; tangent |] -> primal, tangent
                    | unmoved -> unmoved[0], Tensor.zerosLike y
            )
        finally
            Engines.Current.ExitDual level |> ignore

    /// f(x) and J(x) v, by forward mode; v has the shape of x. DiffSharp's `fgradv`/`jacobianv`.
    let jvp (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor * Tensor = jvps (fun xs -> f xs[0]) [| x |] [| v |]

    /// The directional derivative of f at x along v: J(x) v.
    let gradv (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) : Tensor = snd (jvp f x v)

    /// J(x) of f: ℝⁿ → ℝᵐ as [m; n] (shapes flattened), one backward pass a row.
    let jacobian (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        reversing (fun () ->
            let leaf = leaf x
            let y = Tensor.flatten (f leaf)
            let m = int y.Count

            if m = 0 then
                Tensor.zeros x.Kind [ 0; int x.Count ]
            else
                let basis = Tensor.eye y.Kind m

                [ for i in 0 .. m - 1 -> (pullback y [| leaf |] basis[i] (i < m - 1))[0] |> Tensor.flatten ]
                |> Tensor.stack 0)

    /// ∇²f(x) of scalar f as [n; n].
    let hessian (f: Tensor -> Tensor) (x: Tensor) : Tensor = jacobian (grad f) x

    /// f(x) and vₖᵀ J(x) vₖ at each sample for k below `count`. What a direction needs is freed before the next one is made.
    let private quadratics
        (f: Tensor -> Tensor)
        (x: Tensor)
        (count: int)
        (direction: int -> Tensor)
        : Tensor * Tensor[] =
        let check (y: Tensor) =
            if y.Shape <> x.Shape then
                raise (TensorException $"divergence: the field took {x.Describe()} to {y.Describe()}: they must agree")

            y

        if count = 0 then
            check (f x), [||]
        elif Nesting.Reverse > 0 && not Nesting.Forward then
            let pass k =
                Scope.run (fun () ->
                    let v = direction k
                    let value, along = jvp (f >> check) x v
                    value, Tensor.sumRows (v * along))

            let passes = Array.init count pass
            fst passes[0], Array.map snd passes
        else
            reversing (fun () ->
                let leaf = leaf x
                let y = check (f leaf)

                let pass k =
                    Scope.run (fun () ->
                        let v = direction k
                        Tensor.sumRows (v * (pullback y [| leaf |] v true)[0]))

                y, Array.init count pass)

    /// f(x) and vₖᵀ J(x) vₖ at each sample, [B], for directions vₖ in the shape of x [B; …] and a field that acts on each sample by itself.
    /// One evaluation and one backward pass a direction; where an enclosing reverse derivative goes through it, one forward pass a direction, which
    /// leaves a smaller graph.
    let valueAndQuadratics (f: Tensor -> Tensor) (x: Tensor) (directions: Tensor seq) : Tensor * Tensor[] =
        let directions = Array.ofSeq directions
        quadratics f x directions.Length (fun k -> directions[k])

    /// f(x) and ∇·f for a field that acts on each sample by itself: x [B; …], any rank, f(x) of the same shape ↦ [B]. Exact, by one graph of the field
    /// and one coordinate after the other: memory does not grow with their number.
    let valueAndDivergence (f: Tensor -> Tensor) (x: Tensor) : Tensor * Tensor =
        if x.Rank = 0 then
            raise (TensorException $"divergence: {x.Describe()} has no batch dimension: expected [B; …]")

        let n = Array.fold (*) 1 x.Shape[1..]

        // The unit vectors of one sample's space, each repeated over the batch.
        let places = Tensor.range (Kind.Int64.On x.Device) 0 n |> Tensor.reshape [ yield 1; yield! x.Shape[1..] ]
        let direction k = Tensor.expand x.Shape ((Tensor.equalTo (float k) places).To x.Dtype)

        match quadratics f x n direction with
        | value, [||] -> value, Tensor.zeros x.Kind [ x.Shape[0] ]
        | value, each -> value, Array.reduce (+) each

    /// Bytes of the graph that a derivative of f at x goes through, at most: every tensor that f makes is counted, whether the graph keeps it or not.
    let graphBytes (f: Tensor -> Tensor) (x: Tensor) : int64 =
        reversing (fun () ->
            let leaf = leaf x
            Scope.bytesMade (fun () -> f leaf |> ignore))

    /// ∇·f at each sample: x [B; …] ↦ [B].
    let divergence (f: Tensor -> Tensor) (x: Tensor) : Tensor = snd (valueAndDivergence f x)

    /// Δf at each sample, for f: [B; …] ↦ [B] that acts on each sample by itself: the divergence of its gradient.
    let laplacian (f: Tensor -> Tensor) (x: Tensor) : Tensor = divergence (grad (f >> Tensor.sum)) x
