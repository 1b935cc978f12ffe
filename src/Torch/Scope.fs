namespace Fokker

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Reflection
open FSharp.Reflection

#nowarn "9" // freed in one native call

/// Finds the tensors inside a value: tensors, arrays, lists, maps, options, tuples, records and unions of them, and
/// anything that implements `IHoldTensors`. A function is refused where it may hide a tensor.
type IHoldTensors =
    /// Calls `visit` on every tensor that this value holds.
    abstract Visit: visit: (Tensor -> unit) -> unit

module internal Holding =

    type private Walk = delegate of obj | null * (Tensor -> unit) -> unit

    let private nothing = Walk(fun _ _ -> ())
    let private walks = ConcurrentDictionary<Type, Walk>()

    let private isLeaf (t: Type) =
        t.IsPrimitive
        || t.IsEnum
        || t = typeof<string>
        || t = typeof<decimal>
        || t = typeof<unit>
        || t = typeof<TimeSpan>
        || t = typeof<DateTime>
        || t = typeof<DateTimeOffset>
        || t = typeof<Kind>
        || t = typeof<Device>
        || (t.IsArray
            && (match t.GetElementType() with
                | null -> false
                | e -> e.IsPrimitive || e = typeof<string>))

    /// The fields that a tuple, a record or a union case (a class of its own, or a struct with all cases' fields) consists
    /// of, less those that cannot hold a tensor. F#'s own readers compile expressions, which takes longer than a run's first step.
    let private fieldsOf (t: Type) : FieldInfo[] =
        let rec declared (t: Type | null) =
            match t with
            | null -> []
            | t ->
                let own =
                    BindingFlags.Instance
                    ||| BindingFlags.Public
                    ||| BindingFlags.NonPublic
                    ||| BindingFlags.DeclaredOnly
                List.ofArray (t.GetFields own) @ declared t.BaseType

        declared t |> List.filter (fun field -> not (isLeaf field.FieldType)) |> Array.ofList

    /// How to walk a value of exactly this type. A union's fields, and anything declared as an interface or `obj`, are
    /// walked by what they are at run time.
    let rec private walkOf (t: Type) : Walk =
        match walks.TryGetValue t with
        | true, w -> w
        | _ ->
            let w = build t
            walks[t] <- w
            w

    and private visit (value: obj | null) (found: Tensor -> unit) =
        match value with
        | null -> ()
        | :? Tensor as tensor -> found tensor
        | value -> (walkOf (value.GetType())).Invoke(value, found)

    and private build (t: Type) : Walk =
        if isLeaf t then
            nothing
        elif typeof<IHoldTensors>.IsAssignableFrom t then
            Walk(fun value found ->
                match value with
                | :? IHoldTensors as holder -> holder.Visit found
                | _ -> ())
        elif FSharpType.IsFunction t || typeof<Delegate>.IsAssignableFrom t then
            raise (
                InvalidOperationException
                    $"a scope cannot see which tensors a function ({t.Name}) holds: return the tensors themselves, or implement IHoldTensors"
            )
        elif typeof<System.Collections.IEnumerable>.IsAssignableFrom t then
            Walk(fun value found ->
                match value with
                | :? System.Collections.IEnumerable as items ->
                    for item in items do
                        visit item found
                | _ -> ())
        elif
            FSharpType.IsTuple t
            || FSharpType.IsRecord(t, true)
            || FSharpType.IsUnion(t, true)
            || (t.IsGenericType && t.GetGenericTypeDefinition() = typedefof<KeyValuePair<_, _>>)
        then
            match fieldsOf t with
            | [||] -> nothing
            | fields ->
                Walk(fun value found ->
                    for field in fields do
                        visit (field.GetValue value) found)
        else
            raise (
                InvalidOperationException
                    $"a scope cannot see which tensors a {t.FullName} holds: return a record, or implement IHoldTensors"
            )

    /// Every tensor inside `value`.
    let iter (found: Tensor -> unit) (value: 'T) = visit (box value) found

/// Deterministic memory: what is made inside a scope is freed at its end, except what the scope returns.
///
/// A scope belongs to the thread that opened it and must not span a `yield` or an `await`. Outside every scope a
/// tensor is freed when the collector finds it unreachable, or by Dispose.
[<RequireQualifiedAccess>]
module Scope =

    let private close (scope: List<Handle>) (outer: List<Handle> | null) (kept: HashSet<Handle>) =
        Handle.Current <- outer
        let pointers = Array.zeroCreate<nativeint> scope.Count
        let mutable n = 0

        for handle in scope do
            if kept.Contains handle then
                handle.Enter outer
            else
                let p = handle.Take()

                if p <> 0n then
                    pointers[n] <- p
                    n <- n + 1

        if n > 0 then
            use first = fixed pointers
            Engines.Current.FreeMany(NativeInterop.NativePtr.toNativeInt first, n)

    /// Runs `f`; frees every tensor made meanwhile on this thread but those found in its result, which pass to the
    /// enclosing scope. Raises InvalidOperationException where the result hides tensors in a function or a foreign type.
    let run (f: unit -> 'T) : 'T =
        let outer = Handle.Current
        let scope = List<Handle>()
        let kept = HashSet<Handle>(HashIdentity.Reference)
        Handle.Current <- scope

        try
            let result = f ()
            Holding.iter (fun t -> kept.Add t |> ignore) result
            close scope outer kept
            result
        with _ ->
            kept.Clear()
            close scope outer kept
            reraise ()

    /// Runs `f` for its effect and frees every tensor made meanwhile.
    let run0 (f: unit -> unit) : unit = run f

    /// Runs `f` as if outside of every scope, for what is made once, wherever that is, and kept: it is freed when the collector finds it unreachable.
    let internal outside (f: unit -> 'T) : 'T =
        let outer = Handle.Current
        Handle.Current <- null

        try
            run f
        finally
            Handle.Current <- outer

    /// Bytes of the tensors that `f` makes on this thread, all counted as if they lived on and none shared: the most that a graph of them
    /// can hold, on any device. They are freed. What an inner scope frees is not seen.
    let bytesMade (f: unit -> unit) : int64 =
        run (fun () ->
            f ()

            match Handle.Current with
            | null -> 0L
            | made ->
                made
                |> Seq.sumBy (function
                    | :? Tensor as t -> t.Count * int64 (Dtype.size t.Dtype)
                    | _ -> 0L))

    /// Frees every tensor inside `value` now.
    let free (value: 'T) : unit = Holding.iter (fun t -> t.Dispose()) value

    /// state ↦ f state in a scope, then frees what the old state held and the new one does not: the step of a loop that runs for days in constant memory.
    let next (f: 'S -> 'S) (state: 'S) : 'S =
        let result = run (fun () -> f state)
        let kept = HashSet<Tensor>(HashIdentity.Reference)
        Holding.iter (fun t -> kept.Add t |> ignore) result

        Holding.iter
            (fun t ->
                if not (kept.Contains t) then
                    t.Dispose())
            state

        result

    /// How many tensors are alive in this process.
    let live () = Handle.Live
