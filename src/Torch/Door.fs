namespace Fokker

open System
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Runtime.Intrinsics.X86
open System.Text

/// Element types, numbered as libtorch numbers them.
type Dtype =
    | UInt8 = 0
    | Int8 = 1
    | Int16 = 2
    | Int32 = 3
    | Int64 = 4
    | Float16 = 5
    | Float32 = 6
    | Float64 = 7
    | Bool = 11
    | BFloat16 = 15

/// What a tensor operation could not do: the operation, the shapes it was given and the reason, on one line.
type TensorException(message: string) =
    inherit Exception(message)

/// What is wrong with the machine rather than with the program: no libtorch, no such device. One line, with the remedy.
type EnvironmentException(message: string, inner: exn | null) =
    inherit Exception(message, inner)
    new(message) = EnvironmentException(message, null)

/// Where a tensor lives.
[<Struct>]
type Device =
    internal
        { Type: int
          Index: int }

    static member Cpu = { Type = 0; Index = 0 }
    static member Cuda(index: int) = { Type = 1; Index = index }
    member d.IsCpu = (d.Type = 0)
    member d.IsCuda = (d.Type = 1)

    override d.ToString() =
        match d.Type with
        | 0 -> "cpu"
        | 1 -> $"cuda:{d.Index}"
        | other -> $"device-{other}:{d.Index}"

/// Element type and device: what a new tensor needs to be told, and what `x.Kind` says of an old one.
[<Struct>]
type Kind =
    { Dtype: Dtype
      Device: Device }

    static member Float32 = { Dtype = Dtype.Float32; Device = Device.Cpu }

    static member Float64 = { Dtype = Dtype.Float64; Device = Device.Cpu }

    static member Int64 = { Dtype = Dtype.Int64; Device = Device.Cpu }

    static member Bool = { Dtype = Dtype.Bool; Device = Device.Cpu }

    member k.On(device: Device) : Kind = { Dtype = k.Dtype; Device = device }
    member k.As(dtype: Dtype) : Kind = { Dtype = dtype; Device = k.Device }

module Dtype =

    /// The name people know: `float32`, `int64`, `bool`, …
    let name (dtype: Dtype) =
        match dtype with
        | Dtype.UInt8 -> "uint8"
        | Dtype.Int8 -> "int8"
        | Dtype.Int16 -> "int16"
        | Dtype.Int32 -> "int32"
        | Dtype.Int64 -> "int64"
        | Dtype.Float16 -> "float16"
        | Dtype.Float32 -> "float32"
        | Dtype.Float64 -> "float64"
        | Dtype.Bool -> "bool"
        | Dtype.BFloat16 -> "bfloat16"
        | other -> $"dtype-{int other}"

    let isFloating (dtype: Dtype) =
        match dtype with
        | Dtype.Float16
        | Dtype.Float32
        | Dtype.Float64
        | Dtype.BFloat16 -> true
        | _ -> false

    /// Bytes an element.
    let size (dtype: Dtype) =
        match dtype with
        | Dtype.UInt8
        | Dtype.Int8
        | Dtype.Bool -> 1
        | Dtype.Int16
        | Dtype.Float16
        | Dtype.BFloat16 -> 2
        | Dtype.Int32
        | Dtype.Float32 -> 4
        | _ -> 8

/// One value on its way through the door; the layout is `fk_value` of native/door.h.
[<Struct; StructLayout(LayoutKind.Sequential)>]
type internal NativeValue = { mutable Tag: int; mutable Meta: int; mutable Count: int64; mutable Payload: int64 }

/// The C functions of native/door.h; DoorLibrary finds their library.
module internal Native =

    [<Literal>]
    let Library = "fokker_torch"

    [<DllImport(Library)>]
    extern nativeint fk_error()

    [<DllImport(Library)>]
    extern nativeint fk_version()

    [<DllImport(Library)>]
    extern nativeint fk_config()

    [<DllImport(Library)>]
    extern nativeint fk_capability()

    [<DllImport(Library)>]
    extern nativeint fk_find(byte[] name, byte[] overload)

    [<DllImport(Library)>]
    extern int fk_call(nativeint op, nativeint args, int n, nativeint results, int capacity)

    [<DllImport(Library)>]
    extern void fk_free(nativeint tensor)

    [<DllImport(Library)>]
    extern void fk_free_many(nativeint tensors, int n)

    [<DllImport(Library)>]
    extern int fk_shape(nativeint tensor, nativeint sizes, nativeint strides, int capacity)

    [<DllImport(Library)>]
    extern nativeint fk_data(nativeint tensor, int strided)

    [<DllImport(Library)>]
    extern int fk_from_memory(nativeint data, int64 bytes, int dtype, nativeint sizes, int rank, NativeValue& result)

    [<DllImport(Library)>]
    extern int fk_wrap(
        nativeint data,
        int64 bytes,
        int dtype,
        nativeint sizes,
        int rank,
        nativeint release,
        nativeint context,
        NativeValue& result
    )

    [<DllImport(Library)>]
    extern int fk_leaf(nativeint tensor, NativeValue& result)

    [<DllImport(Library)>]
    extern int fk_requires_grad(nativeint tensor)

    [<DllImport(Library)>]
    extern int fk_is_tracked(nativeint tensor)

    [<DllImport(Library)>]
    extern int fk_grad(
        nativeint outputs,
        int n_outputs,
        nativeint inputs,
        int n_inputs,
        nativeint grad_outputs,
        int create_graph,
        int retain_graph,
        int forward_mode,
        nativeint results
    )

    [<DllImport(Library)>]
    extern int64 fk_dual_enter()

    [<DllImport(Library)>]
    extern int fk_dual_exit(int64 level)

    [<DllImport(Library)>]
    extern int fk_get_threads()

    [<DllImport(Library)>]
    extern void fk_set_threads(int n)

    [<DllImport(Library)>]
    extern void fk_own_threads(int n)

    [<DllImport(Library)>]
    extern int fk_device_count()

    [<DllImport(Library)>]
    extern void fk_memory(int64& live, int64& cached, int64& peak)

    [<DllImport(Library)>]
    extern int fk_keep_memory(int64 cap)

    [<DllImport(Library)>]
    extern void fk_trim()

    [<DllImport(Library)>]
    extern void fk_philox(uint64 key, uint64 counterLow, uint64 counterHigh, nativeint out4)

    [<DllImport("libc")>]
    extern int private setenv(string name, string value, int overwrite)

    let private variable = Machine.here.Variable

    /// Processors for this process, those that share a core counted once: arithmetic gains nothing from the second.
    let private cores () =
        let siblings =
            try
                Directory.GetDirectories("/sys/devices/system/cpu", "cpu*")
                |> Array.map (fun folder -> Path.Combine(folder, "topology", "thread_siblings_list"))
                |> Array.filter File.Exists
                |> Array.map (fun file -> File.ReadAllText(file).Trim())
                |> Array.distinct
                |> Array.length
            with
            | :? IOException
            | :? UnauthorizedAccessException -> 0

        if siblings = 0 then Environment.ProcessorCount else min siblings Environment.ProcessorCount

    /// libtorch and its OpenMP read their settings once, with getenv, while they load; .NET's own environment is a copy
    /// that they never see. What the user has set stays.
    let private prepare () =
        if Avx512F.IsSupported then
            // libtorch stops at AVX2 unless asked, also where AVX-512 is there.
            setenv ("ATEN_CPU_CAPABILITY", "avx512", 0) |> ignore

        // Its own count of threads is 1 on processors that its cpuinfo does not know. Told after loading, it would start
        // a second pool of threads, for mobile kernels, that nobody here uses.
        setenv ("OMP_NUM_THREADS", string (cores ()), 0) |> ignore

        // A thread that waits for the others spins: some milliseconds by libgomp's default, which on a machine with other
        // work to do keeps the very processor that the others wait for. A compromise between such a machine and an idle one (docs/performance.md).
        if Option.isNone (variable "OMP_WAIT_POLICY") then
            setenv ("GOMP_SPINCOUNT", "10000", 0) |> ignore

    let private load () =
        prepare ()

        match DoorLibrary.obtain Machine.here with
        | Ok handle -> handle
        | Error reason -> raise (EnvironmentException reason)

    let private library =
        lazy
            (let handle = load ()

             if NativeLibrary.GetExport(handle, "fk_call") = 0n then
                 raise (
                     EnvironmentException
                         "libfokker_torch.so is not the door that this Fokker was built with: ./build.sh Build"
                 )

             handle)

    /// Installs the resolver once; runs before the first native call because every caller goes through `Door`.
    let private resolver =
        lazy
            (NativeLibrary.SetDllImportResolver(
                Assembly.GetExecutingAssembly(),
                fun name _ _ -> if name = Library then library.Value else 0n
             )

             let megabytes =
                 match variable "FOKKER_CACHE_MB" with
                 | Some text ->
                     match Int64.TryParse text with
                     | true, value when value >= 0L && value <= (1L <<< 32) -> value
                     | _ ->
                         raise (
                             EnvironmentException
                                 $"FOKKER_CACHE_MB is '{text}': expected a number of megabytes from 0 to {1L <<< 32}"
                         )
                 | None -> 1024L

             if megabytes > 0L then
                 fk_keep_memory (megabytes <<< 20) |> ignore)

    let ensure () = resolver.Force()

    let text (pointer: nativeint) =
        match Marshal.PtrToStringUTF8 pointer with
        | null -> ""
        | value -> value

    /// The first line of the last native error on this thread.
    let error () =
        let message = text (fk_error ())

        match message.IndexOf '\n' with
        | -1 -> message
        | at -> message.Substring(0, at)

/// An operator of libtorch's dispatcher, found by its schema name at its first use (`aten::sum`, `dim_IntList`).
[<Sealed>]
type internal Op(name: string, overload: string) =
    let mutable handle = 0n
    member _.Name = if name.StartsWith "aten::" then name.Substring 6 else name

    member _.Handle =
        if handle = 0n then
            Native.ensure ()
            let zero (s: string) = Encoding.UTF8.GetBytes(s + "\000")
            let found = Native.fk_find (zero name, zero overload)

            if found = 0n then
                raise (TensorException(Native.error ()))

            handle <- found

        handle

/// libtorch as a whole: version, settings, devices, threads, memory.
[<RequireQualifiedAccess>]
module Torch =

    let private ready () = Native.ensure ()

    /// The version of the libtorch in use, for instance `1.13.1`.
    let version () =
        ready ()
        Native.text (Native.fk_version ())

    /// libtorch's own account of how it was built and runs (BLAS, oneDNN, OpenMP).
    let configuration () =
        ready ()
        Native.text (Native.fk_config ())

    /// The vector instructions that libtorch's kernels use: `AVX512`, `AVX2` or `DEFAULT`.
    let cpuCapability () =
        ready ()
        Native.text (Native.fk_capability ())

    /// Threads inside one operator.
    let threads () =
        ready ()
        Native.fk_get_threads ()

    // OpenMP ends the process where the system gives it no more threads.
    let private checkThreads n =
        if n < 1 || n > 1024 then
            invalidArg (nameof n) $"threads = {n}: from 1 to 1024"

    /// Sets the threads inside one operator, for the calling thread's operators from now on.
    let setThreads n =
        ready ()
        checkThreads n
        Native.fk_set_threads n

    /// The same without a word to threads that are yet to come: for a thread that works beside another.
    let setOwnThreads n =
        ready ()
        checkThreads n
        Native.fk_own_threads n

    /// How many CUDA devices this libtorch can use (0 where it was built without CUDA).
    let cudaDevices () =
        ready ()
        Native.fk_device_count ()

    /// Native bytes on the CPU: in use, kept for reuse, and the most that were in use at once.
    let memory () =
        ready ()
        let mutable live = 0L
        let mutable cached = 0L
        let mutable peak = 0L
        Native.fk_memory (&live, &cached, &peak)

        {| Live = live; Cached = cached; Peak = peak |}

    /// Gives the memory that waits for reuse back to the system.
    let trim () =
        ready ()
        Native.fk_trim ()

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
