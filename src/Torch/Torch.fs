namespace Fokker

open System

/// Which engine this process runs on: chosen at the first use of libtorch, the same until the end.
[<AbstractClass; Sealed>]
type internal Engines private () =
    static let mutable current: Engine | null = null
    static let mutable prefersManaged = false

    static let through (door: Result<unit, string>) : Result<Engine, string> =
        door |> Result.map (fun () -> CompiledEngine())
    static let compiled () : Result<Engine, string> = through (Native.load ())

    static let managed () : Result<Engine, string> =
        Startup.prepare ()

        OfficialLibtorch.load Machine.here
        |> Result.map (fun loaded ->
            Libraries.provide Abi.Library loaded.Cpu
            ManagedEngine loaded)

    static let demand (engine: Result<Engine, string>) : Engine =
        match engine with
        | Ok engine -> engine
        | Error reason -> raise (EnvironmentException reason)

    /// Whoever names a libtorch wants that one.
    static let isNamed =
        [ "Torch_DIR"; "FOKKER_TORCH_LIBRARY" ]
        |> List.exists (fun name -> Option.isSome (Machine.here.Variable name))

    /// Nothing is compiled where an engine that needs no compiler is there.
    static let first () : Engine =
        match through (Native.loadReady ()), lazy (managed ()) with
        | Ok engine, _
        | Error _, Lazy(Ok engine) -> engine
        | Error _, Lazy(Error alternative) ->
            match compiled () with
            | Ok engine -> engine
            | Error reason -> raise (EnvironmentException $"{reason}; or, without a compiler: {alternative}")

    static let chosen =
        lazy
            (match Machine.here.Variable "FOKKER_ENGINE" with
             | Some "compiled" -> demand (compiled ())
             | Some "managed" -> demand (managed ())
             | Some other -> raise (EnvironmentException $"FOKKER_ENGINE is '{other}': expected compiled or managed")
             | None when isNamed -> demand (compiled ())
             | None when prefersManaged ->
                 match managed () with
                 | Ok engine -> engine
                 | Error _ -> first ()
             | None -> first ())

    /// Where nobody has named an engine or a libtorch, the managed one, if it is there. Once one is chosen it stays.
    static member PreferManaged() = prefersManaged <- true

    static member Current: Engine =
        match current with
        | null ->
            let engine = chosen.Force()
            current <- engine
            engine
        | engine -> engine

/// An operator of libtorch's dispatcher, found by its schema name at its first use (`aten::sum`, `dim_IntList`).
[<Sealed>]
type internal Op(name: string, overload: string) =
    let mutable handle = 0n
    member _.Name = if name.StartsWith "aten::" then name.Substring 6 else name
    /// The name with its overload: `sum.dim_IntList`.
    member op.Schema = if overload = "" then op.Name else $"{op.Name}.{overload}"

    member _.Handle =
        if handle = 0n then
            let found = Engines.Current.Find(name, overload)

            if found = 0n then
                raise (TensorException(Engines.Current.Error()))

            handle <- found

        handle

/// libtorch as a whole: version, settings, devices, threads, memory.
[<RequireQualifiedAccess>]
module Torch =

    /// The engine in use: `compiled`, a door built against a libtorch with headers, or `managed`, the official libtorch by its C ABI.
    let engine () = Engines.Current.Name

    /// The version of the libtorch in use, for instance `1.13.1`.
    let version () = Engines.Current.Version

    /// libtorch's own account of how it was built and runs (BLAS, oneDNN, OpenMP).
    let configuration () = Engines.Current.Configuration

    /// The vector instructions that libtorch's kernels use: `AVX512`, `AVX2` or `DEFAULT`.
    let cpuCapability () = Engines.Current.Capability

    /// Threads inside one operator.
    let threads () = Engines.Current.Threads

    // OpenMP ends the process where the system gives it no more threads.
    let private checkThreads n =
        if n < 1 || n > 1024 then
            invalidArg (nameof n) $"threads = {n}: from 1 to 1024"

    /// Sets the threads inside one operator, for the calling thread's operators from now on.
    let setThreads n =
        checkThreads n
        Engines.Current.Threads <- n

    /// The same without a word to threads that are yet to come: for a thread that works beside another.
    let setOwnThreads n =
        checkThreads n
        Engines.Current.SetOwnThreads n

    /// How many CUDA devices this libtorch can use (0 where it was built without CUDA).
    let cudaDevices () = Engines.Current.CudaDevices

    /// Native bytes on the CPU: in use, kept for reuse, and the most that were in use at once.
    let memory () =
        let struct (live, cached, peak) = Engines.Current.Memory()
        {| Live = live; Cached = cached; Peak = peak |}

    /// Whether networks can compute in bfloat16 here: by the processor's own instructions for it, AVX-512's or AMX's, and the managed engine's
    /// libtorch, which uses them; else why not.
    let bfloat16 (device: Device) : Result<unit, string> =
        if not device.IsCpu then
            Error "it is for processors; nobody has tried it on a GPU"
        elif engine () <> "managed" then
            Error $"it takes the managed engine (FOKKER_ENGINE=managed), and this is the {engine ()} one"
        elif not (Machine.multipliesBFloat16 ()) then
            Error "this processor has no instructions for it (AVX512_BF16 or AMX_BF16)"
        else
            Ok()

    /// Of the engines the one that computes in bfloat16, where this processor does and nobody has named an engine or a libtorch
    /// (FOKKER_ENGINE, Torch_DIR, FOKKER_TORCH_LIBRARY). To be said before the first use of libtorch, after which the engine stays what it is.
    let preferBFloat16 () : unit =
        if Machine.multipliesBFloat16 () then
            Engines.PreferManaged()

    /// Gives the memory that waits for reuse back to the system.
    let trim () = Engines.Current.Trim()

    /// `cpu`, `cuda` or `cuda:N`. Raises EnvironmentException where that device is not there.
    let device (text: string) =
        let cuda index =
            let count = cudaDevices ()

            if index < count then
                Device.Cuda index
            elif count = 0 then
                raise (
                    EnvironmentException
                        $"device '{text}' is not there: this libtorch ({version ()}) sees no CUDA device; use cpu, or build against a CUDA libtorch with Torch_DIR"
                )
            else
                raise (EnvironmentException $"device '{text}' is not there: the CUDA devices are 0 to {count - 1}")

        match text.Split ':' with
        | [| "cpu" |] -> Device.Cpu
        | [| "cuda" |] -> cuda 0
        | [| "cuda"; index |] when fst (Int32.TryParse index) && Int32.Parse index >= 0 -> cuda (Int32.Parse index)
        | _ -> raise (EnvironmentException $"device '{text}' is not known: expected cpu, cuda or cuda:N")
