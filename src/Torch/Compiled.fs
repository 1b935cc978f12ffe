namespace Fokker

open System.Runtime.InteropServices
open System.Text
open Microsoft.FSharp.NativeInterop

#nowarn "9" "51" // lists of one output

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
    extern int fk_grad_each(nativeint output, nativeint grad_output, nativeint inputs, int n_inputs, Receive ready)

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

    let private provide (handle: nativeint) : Result<unit, string> =
        if fst (NativeLibrary.TryGetExport(handle, "fk_call")) then
            Libraries.provide Library handle
            let bytes = Startup.cachedBytes ()

            if bytes > 0L then
                fk_keep_memory bytes |> ignore

            Ok()
        else
            Error "libfokker_torch.so is not the door that this Fokker was built with: ./build.sh Build"

    let private ready =
        lazy
            (Startup.prepare ()
             DoorLibrary.ready Machine.here |> Result.bind provide)

    let private built =
        lazy
            (match ready.Force() with
             | Ok() -> Ok()
             | Error _ -> DoorLibrary.obtain Machine.here |> Result.bind provide)

    /// Loads the door, once, before the first call through it; an error is one line with the remedy.
    let load () : Result<unit, string> = built.Force()

    /// The same where nothing has to be compiled for it.
    let loadReady () : Result<unit, string> = ready.Force()

    let ensure () =
        match load () with
        | Ok() -> ()
        | Error reason -> raise (EnvironmentException reason)

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

/// The door that was compiled against a libtorch with headers (native/door.h).
[<Sealed>]
type internal CompiledEngine() =
    inherit Engine()

    let zero (s: string) = Encoding.UTF8.GetBytes(s + "\000")
    let flag (b: bool) = if b then 1 else 0

    override _.Name = "compiled"
    override _.Version = Native.text (Native.fk_version ())
    override _.Configuration = Native.text (Native.fk_config ())
    override _.Capability = Native.text (Native.fk_capability ())
    override _.Error() = Native.error ()
    override _.Find(name, overload) = Native.fk_find (zero name, zero overload)
    override _.Call(op, args, n, results, capacity) = Native.fk_call (op, args, n, results, capacity)
    override _.Free tensor = Native.fk_free tensor
    override _.FreeMany(tensors, n) = Native.fk_free_many (tensors, n)
    override _.Shape(tensor, sizes, strides, capacity) = Native.fk_shape (tensor, sizes, strides, capacity)
    override _.Data(tensor, strided) = Native.fk_data (tensor, flag strided)

    override _.FromMemory(data, bytes, dtype, sizes, rank, result) =
        Native.fk_from_memory (data, bytes, dtype, sizes, rank, &result)

    override _.Lend(data, bytes, dtype, sizes, rank, release, context, result) =
        Native.fk_wrap (data, bytes, dtype, sizes, rank, release, context, &result)

    override _.Leaf(tensor, result) = Native.fk_leaf (tensor, &result)
    override _.RequiresGrad tensor = Native.fk_requires_grad tensor > 0
    override _.IsTracked tensor = Native.fk_is_tracked tensor > 0

    override _.Pullback(output, seed, inputs, n, create, retain, forward, results) =
        let mutable output = output
        let mutable seed = seed

        Native.fk_grad (
            NativePtr.toNativeInt &&output,
            1,
            inputs,
            n,
            NativePtr.toNativeInt &&seed,
            flag create,
            flag retain,
            flag forward,
            results
        )

    override _.PullbackEach(output, inputs, n, receive) = Native.fk_grad_each (output, 0n, inputs, n, receive)
    override _.Settled() = ()
    override _.EnterDual() = Native.fk_dual_enter ()
    override _.ExitDual level = Native.fk_dual_exit level

    override _.Threads
        with get () = Native.fk_get_threads ()
        and set n = Native.fk_set_threads n

    override _.SetOwnThreads n = Native.fk_own_threads n
    override _.CudaDevices = Native.fk_device_count ()

    override _.Memory() =
        let mutable live = 0L
        let mutable cached = 0L
        let mutable peak = 0L
        Native.fk_memory (&live, &cached, &peak)
        struct (live, cached, peak)

    override _.Trim() = Native.fk_trim ()
