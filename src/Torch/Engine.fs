namespace Fokker

open Microsoft.FSharp.NativeInterop

#nowarn "9" // the engine takes arrays of native values

/// What takes a derivative as soon as it is complete: its input's number, and a tensor that is now the receiver's. It throws nothing.
type internal Receive = delegate of index: int * derivative: byref<NativeValue> -> unit

/// A libtorch in this process and what is asked of it: the one interface under `Tensor`, `Diff` and the scopes. Two stand behind it, the
/// door that was compiled against a libtorch with headers, and the official libtorch by its C ABI.
///
/// A tensor is a number that the engine gives out and takes back (`Free`). What can fail gives a negative number, or zero where a pointer is
/// expected, and `Error` then says why; it throws nothing of its own.
[<AbstractClass>]
type internal Engine() =

    /// `compiled` or `managed`.
    abstract Name: string

    /// libtorch's, for instance `1.13.1`.
    abstract Version: string

    /// libtorch's own account of how it was built and runs.
    abstract Configuration: string

    /// The vector instructions that its kernels use.
    abstract Capability: string

    /// One line: what went wrong last on this thread.
    abstract Error: unit -> string

    /// An operator by its schema name and overload, for `Call`; zero where there is none.
    abstract Find: name: string * overload: string -> nativeint

    /// Calls an operator with `n` arguments; the rest are the schema's defaults. Gives the number of results, of which there is room for `capacity`.
    abstract Call: op: nativeint * args: nativeint * n: int * results: nativeint * capacity: int -> int

    abstract Free: tensor: nativeint -> unit
    abstract FreeMany: tensors: nativeint * n: int -> unit

    /// Sizes and strides into arrays with room for `capacity` numbers each.
    abstract Shape: tensor: nativeint * sizes: nativeint * strides: nativeint * capacity: int -> int

    /// Where the elements of a CPU tensor lie, which has to be contiguous unless `strided`.
    abstract Data: tensor: nativeint * strided: bool -> nativeint

    /// A CPU tensor with a copy of memory that the shape fills exactly; of whatever its own memory holds where `data` is zero.
    abstract FromMemory:
        data: nativeint * bytes: int64 * dtype: int * sizes: nativeint * rank: int * result: byref<NativeValue> -> int

    /// A CPU tensor over that memory. Calls `release` once, when the last tensor that looks at it is freed; never where it fails.
    abstract Lend:
        data: nativeint *
        bytes: int64 *
        dtype: int *
        sizes: nativeint *
        rank: int *
        release: nativeint *
        context: nativeint *
        result: byref<NativeValue> ->
            int

    /// The same value as a new variable to differentiate by. Inside an outer derivative it stays on the outer graph; a dual tensor keeps its tangent.
    abstract Leaf: tensor: nativeint * result: byref<NativeValue> -> int

    /// Whether it is on a graph.
    abstract RequiresGrad: tensor: nativeint -> bool

    /// Whether it is on a graph, or dual.
    abstract IsTracked: tensor: nativeint -> bool

    /// ⟨seed, ∂output/∂xᵢ⟩ for each of the inputs, nothing where the output does not depend on it; a seed of zero stands for 1.
    abstract Pullback:
        output: nativeint *
        seed: nativeint *
        inputs: nativeint *
        n: int *
        create: bool *
        retain: bool *
        forward: bool *
        results: nativeint ->
            int

    /// The same for leaves of a graph that is on none itself and is done with afterwards. Each derivative is handed to `receive` once, by this engine when all of them are there, by one that can tell
    /// earlier while the others are still computed (on another device than the CPU by a thread of libtorch's); none where the output does not depend on the input. A negative number where it fails.
    abstract PullbackEach: output: nativeint * inputs: nativeint * n: int * receive: Receive -> int

    default engine.PullbackEach(output, inputs, n, receive) =
        let results = Array.zeroCreate<NativeValue> n
        use resultsAt = fixed results

        let rc = engine.Pullback(output, 0n, inputs, n, false, false, false, NativePtr.toNativeInt resultsAt)

        if rc >= 0 then
            for k in 0 .. n - 1 do
                if results[k].Tag = 1 then
                    receive.Invoke(k, &results[k])

        rc

    /// Whether others in this process that are on the same libtorch can have its tensors, as they are held in C++: addresses of `at::Tensor`s.
    abstract IsShared: bool

    default _.IsShared = false

    /// The address of a new `at::Tensor` that is this one; whoever gets it deletes it.
    abstract Share: tensor: nativeint -> nativeint

    default _.Share _ = 0n

    /// The tensor at the address of an `at::Tensor`, which stays its owner's.
    abstract Adopt: address: nativeint * result: byref<NativeValue> -> int

    default _.Adopt(_, _) = -1

    /// The outermost reverse derivative on this thread is done.
    abstract Settled: unit -> unit

    /// The forward derivatives' level, which those who ask for it share; each gives it back.
    abstract EnterDual: unit -> int64

    abstract ExitDual: level: int64 -> int

    abstract Threads: int with get, set

    /// The calling thread's alone, without a word to threads that are yet to come.
    abstract SetOwnThreads: n: int -> unit

    abstract CudaDevices: int

    /// Native bytes: in use, kept for reuse, and the most that were in use at once.
    abstract Memory: unit -> struct (int64 * int64 * int64)

    abstract Trim: unit -> unit
