namespace Fokker

open System
open System.Collections.Generic
open System.Threading

/// Frees a native tensor when the collector finds it unreachable. Only tensors that live outside every
/// scope have one: inside a scope the scope frees them, and allocation stays cheap.
[<Sealed>]
type internal Guard(pointer: nativeint) =
    let mutable pointer = pointer
    member _.Point(p: nativeint) = pointer <- p

    /// The pointer, once; zero ever after.
    member _.Take() = Interlocked.Exchange(&pointer, 0n)

    override guard.Finalize() =
        let p = guard.Take()

        if p <> 0n then
            Handle.Released()
            Engines.Current.Free p

/// The ownership of one native tensor: by the scope it was made in, or by the collector where there is none.
and [<AbstractClass>] Handle internal (pointer: nativeint) =
    let mutable pointer = pointer
    let mutable guard: Guard | null = null
    // Twice the native calls under way with it, plus 1 from when it was freed on.
    let mutable state = 0
    static let mutable live = 0L
    static let mutable made = 0
    static let mutable collectAt = 1L <<< 30

    [<ThreadStatic; DefaultValue>]
    static val mutable private current: List<Handle> | null

    /// How many tensors are alive in this process.
    static member Live = Interlocked.Read &live

    static member internal Current
        with get () = Handle.current
        and set (value: List<Handle> | null) = Handle.current <- value

    static member internal Released() = Interlocked.Decrement &live |> ignore

    /// The native pointer, which stays good until `Leave`, whoever frees the tensor meanwhile; a thread that comes after
    /// that finds it freed. Raises ObjectDisposedException after the tensor was freed.
    member internal handle.Use() : nativeint =
        if Interlocked.Add(&state, 2) &&& 1 <> 0 then
            handle.Leave()
            raise (ObjectDisposedException(null, "the tensor was freed: its scope has ended, or Dispose was called"))

        pointer

    /// The end of a `Use`. The last to leave a freed tensor frees its memory.
    member internal _.Leave() : unit =
        if Interlocked.Add(&state, -2) = 1 then
            // A late comer's failed `Use` may pass here a second time.
            let p = Interlocked.Exchange(&pointer, 0n)

            if p <> 0n then
                Engines.Current.Free p

    /// Entered into the current scope, or put under the collector's guard.
    member internal handle.Register() =
        Interlocked.Increment &live |> ignore

        handle.Enter Handle.current

    /// Makes `scope` the owner, or the collector where there is none.
    member internal handle.Enter(scope: List<Handle> | null) =
        match scope with
        | null -> handle.Guard()
        | scope ->
            // A scope that lasts for a whole training run must not remember what was freed in it long ago.
            if scope.Count = scope.Capacity && scope.Count >= 256 then
                scope.RemoveAll(fun h -> h.IsDisposed) |> ignore

            scope.Add handle

    member private handle.Guard() =
        let mine = Guard pointer
        Interlocked.Exchange(&guard, mine) |> ignore

        // Another thread may free the tensor just now, and not have seen the guard.
        if handle.IsDisposed then
            handle.Disarm()

        // The collector cannot see native memory: where much of it waits for finalizers, ask it to look.
        if Interlocked.Increment &made &&& 0xff = 0 then
            let struct (bytes, _, _) = Engines.Current.Memory()

            if bytes > Volatile.Read &collectAt then
                GC.Collect()
                GC.WaitForPendingFinalizers()
                let struct (bytes, _, _) = Engines.Current.Memory()
                Volatile.Write(&collectAt, max (1L <<< 30) (2L * bytes))

    member private _.Disarm() =
        match Volatile.Read &guard with
        | null -> ()
        | g ->
            g.Point 0n
            GC.SuppressFinalize g

    /// Marks the tensor as freed. Gives the pointer, once, to whoever is to free it; zero where it was freed before, or where
    /// the last of those who still use it will.
    member internal handle.Take() : nativeint =
        let before = Interlocked.Or(&state, 1)

        if before &&& 1 <> 0 then
            0n
        else
            Handle.Released()
            handle.Disarm()
            if before = 0 then Interlocked.Exchange(&pointer, 0n) else 0n

    member _.IsDisposed = Volatile.Read &state &&& 1 <> 0

    /// Exchanges what two handles own.
    member internal handle.Swap(other: Handle) =
        let mine, theirs = handle.Use(), other.Use()
        handle.Point theirs
        other.Point mine
        handle.Leave()
        other.Leave()

    member private _.Point(p: nativeint) =
        pointer <- p

        match guard with
        | null -> ()
        | g -> g.Point p

    interface IDisposable with
        /// Frees the native tensor now, or when the calls under way with it on other threads are done. Using it afterwards raises
        /// ObjectDisposedException; disposing it again does nothing.
        member handle.Dispose() =
            let p = handle.Take()

            if p <> 0n then
                Engines.Current.Free p
