namespace Fokker

open System
open System.Collections.Concurrent
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Runtime.Intrinsics.X86

/// What libtorch and its OpenMP read of their surroundings, once, with getenv, while they load.
module internal Startup =

    [<DllImport("libc")>]
    extern int private setenv(string name, string value, int overwrite)

    [<DllImport("ucrtbase")>]
    extern int private _putenv_s(string name, string value)

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

    /// .NET's own environment is a copy that native code never sees. What the user has set stays.
    let private set (name: string) (value: string) =
        if not (OperatingSystem.IsWindows()) then
            setenv (name, value, 0) |> ignore
        elif Option.isNone (variable name) then
            _putenv_s (name, value) |> ignore

    /// OpenBLAS's name for the kernels that suit this processor, of those that every build for x86-64 has; none where it has better ones than it can be told of.
    let private openBlasCore () : string option =
        let hasAvx512 = Avx512F.VL.IsSupported && Avx512BW.VL.IsSupported && Avx512DQ.VL.IsSupported

        if hasAvx512 then Some "SkylakeX"
        elif Avx2.IsSupported && Fma.IsSupported then Some "Haswell"
        else None

    /// Before libtorch is loaded.
    let prepare () =
        if Avx512F.IsSupported then
            // libtorch stops at AVX2 unless asked, also where AVX-512 is there.
            set "ATEN_CPU_CAPABILITY" "avx512"

        // An OpenBLAS that is older than the processor does not know it, and takes kernels of twenty years ago (docs/performance.md).
        match openBlasCore () with
        | Some core -> set "OPENBLAS_CORETYPE" core
        | None -> ()

        // Its own count of threads is 1 on processors that its cpuinfo does not know. Told after loading, it would start
        // a second pool of threads, for mobile kernels, that nobody here uses.
        set "OMP_NUM_THREADS" (string (cores ()))

        // A thread that waits for the others spins: some milliseconds by libgomp's default, which on a machine with other
        // work to do keeps the very processor that the others wait for. A compromise between such a machine and an idle one (docs/performance.md).
        if Option.isNone (variable "OMP_WAIT_POLICY") then
            set "GOMP_SPINCOUNT" "10000"

    /// How much memory that was given back may wait for reuse, by FOKKER_CACHE_MB.
    let cachedBytes () : int64 =
        match variable "FOKKER_CACHE_MB" with
        | Some text ->
            match Int64.TryParse text with
            | true, value when value >= 0L && value <= (1L <<< 32) -> value <<< 20
            | _ ->
                raise (
                    EnvironmentException
                        $"FOKKER_CACHE_MB is '{text}': expected a number of megabytes from 0 to {1L <<< 32}"
                )
        | None -> 1024L <<< 20

/// The native libraries that this assembly calls by names of its own.
module internal Libraries =

    let private known = ConcurrentDictionary<string, nativeint>()

    // .NET takes one resolver for each assembly.
    let private resolver =
        lazy
            (NativeLibrary.SetDllImportResolver(
                Assembly.GetExecutingAssembly(),
                fun name _ _ ->
                    match known.TryGetValue name with
                    | true, handle -> handle
                    | _ -> 0n
            ))

    /// From now on `name` stands for this loaded library.
    let provide (name: string) (handle: nativeint) =
        known[name] <- handle
        resolver.Force()
