namespace Fokker.Tool

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Runtime.Intrinsics.X86
open Fokker

/// The linear algebra under libtorch: which library the dynamic linker has really loaded.
type Blas =
    {
        /// Its file, links resolved.
        Path: string
        /// Netlib's reference implementation: correct, and some eighty times slower than the machine.
        IsReference: bool
    }

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type internal CoreName = delegate of unit -> nativeint

/// What the machine and its libraries bring.
module Diagnosis =

    let remedy =
        "libtorch runs on reference BLAS, which is some eighty times slower than OpenBLAS: apt-get install libopenblas0-openmp"

    /// The real files that this process has mapped and whose name holds one of the words.
    let private mapped (words: string list) =
        File.ReadLines "/proc/self/maps"
        |> Seq.choose (fun line ->
            match line.IndexOf '/' with
            | -1 -> None
            | at -> Some(line.Substring at))
        |> Seq.distinct
        |> Seq.filter (fun path ->
            let name = path.Substring(path.LastIndexOf '/' + 1)
            words |> List.exists name.Contains)
        |> Seq.map (fun path ->
            match File.ResolveLinkTarget(path, true) with
            | null -> path
            | target -> target.FullName)
        |> Seq.distinct
        |> List.ofSeq

    /// What the file of a BLAS says about it: Debian keeps the reference one in `blas/`, others in folders of their own.
    let blasAt (path: string) : Blas =
        let name = path.Substring(path.LastIndexOf '/' + 1)
        let isFast = [ "openblas"; "mkl"; "blis"; "atlas"; "Accelerate" ] |> List.exists path.Contains

        { Path = path; IsReference = not isFast && name.StartsWith "libblas" }

    /// The BLAS in force, where it can be told; libtorch must be loaded.
    let blas () : Blas option =
        try
            mapped [ "libblas"; "openblas"; "libmkl_"; "blis" ]
            |> List.map blasAt
            |> List.sortBy _.IsReference
            |> List.tryHead
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None

    /// The linear algebra that is part of libtorch itself, as it tells.
    let builtIn () : string option =
        Torch.configuration().Split '\n'
        |> Array.map _.Trim().TrimStart('-').Trim()
        |> Array.tryFind (fun line -> line.Contains "Math Kernel Library Version" || line.StartsWith "OpenBLAS")
        |> Option.map (fun line -> line + ", in libtorch")

    /// The instruction sets that OpenBLAS has kernels for on x86-64, weakest first, and the core types that stand for them.
    let private coreTypes =
        [ "SSE",
          [ "Generic"
            "Prescott"
            "Core2"
            "Penryn"
            "Dunnington"
            "Nehalem"
            "Atom"
            "Athlon"
            "Opteron"
            "Opteron_SSE3" ]
          @ [ "Barcelona"; "Bobcat"; "Nano"; "Banias"; "Katmai"; "Coppermine"; "Northwood" ]
          "AVX", [ "Sandybridge"; "Bulldozer"; "Piledriver"; "Steamroller"; "Excavator" ]
          "AVX2", [ "Haswell"; "Zen" ]
          "AVX-512", [ "SkylakeX"; "Cooperlake"; "SapphireRapids" ] ]

    /// The widest of those sets that this processor has; none where it is no x86.
    let instructions () : string option =
        if Avx512F.IsSupported then Some "AVX-512"
        elif Avx2.IsSupported then Some "AVX2"
        elif Avx.IsSupported then Some "AVX"
        elif X86Base.IsSupported then Some "SSE"
        else None

    /// What to do where OPENBLAS_CORETYPE, if it is set, holds OpenBLAS to less than the processor offers; none where all is well.
    /// A core type that OpenBLAS does not know it ignores.
    let heldBack (offered: string) (coreType: string | null) : string option =
        let level isIt = coreTypes |> List.tryFindIndex isIt

        let isNamed (name: string) = String.Equals(name, coreType, StringComparison.OrdinalIgnoreCase)

        match level (fun (_, names) -> List.exists isNamed names), level (fun (set, _) -> set = offered) with
        | Some given, Some most when given < most ->
            let best = coreTypes[most] |> snd |> List.head

            Some
                $"OPENBLAS_CORETYPE={coreType} holds OpenBLAS to {fst coreTypes[given]} on a processor with {offered}: unset it, or set it to {best}"
        | _ -> None

    /// OpenBLAS's name for the kernels that it has chosen; none where the BLAS in force is another.
    let core () : string option =
        let named (path: string) =
            match NativeLibrary.TryLoad path with
            | true, library ->
                match NativeLibrary.TryGetExport(library, "openblas_get_corename") with
                | true, place ->
                    let said = Marshal.GetDelegateForFunctionPointer<CoreName>(place).Invoke()
                    Option.ofObj (Marshal.PtrToStringUTF8 said)
                | _ -> None
            | _ -> None

        match blas () with
        | Some _ -> mapped [ "openblas" ] |> List.tryPick named
        | None -> None

    /// What is wrong with the linear algebra in force, one line with its remedy each.
    let faults () : string list =
        match blas () with
        | Some blas when blas.IsReference -> [ remedy ]
        | Some blas when blas.Path.Contains "openblas" ->
            instructions ()
            |> Option.bind (fun offered -> heldBack offered (Environment.GetEnvironmentVariable "OPENBLAS_CORETYPE"))
            |> Option.toList
        | _ -> []

    /// One line on the error stream where work is about to start on reference BLAS.
    let warnIfSlow (terminal: Terminal) =
        Torch.version () |> ignore

        if blas () |> Option.exists _.IsReference then
            Terminal.warn terminal remedy

    /// GFLOP/s of a product of two 1024 × 1024 matrices, the best of a few: 2 n³ operations each.
    let gigaflops () : float =
        let n = 1024

        Scope.run (fun () ->
            let rng = Rng.ofSeed 0L
            let a = Rng.normal Kind.Float32 [ n; n ] rng

            let seconds () =
                let clock = Stopwatch.StartNew()
                let product = Linalg.matmul a a
                // Reading one element waits for the work on a device that runs behind.
                product[0, 0].ToFloat() |> ignore
                clock.Elapsed.TotalSeconds

            // On reference BLAS one product takes a second, and one is enough to know.
            let first = seconds ()
            let best = if first > 0.3 then first else List.min [ for _ in 1..8 -> seconds () ]
            2.0 * float n ** 3.0 / best / 1e9)

    /// A line of /proc/meminfo in bytes.
    let private memory (field: string) =
        try
            File.ReadLines "/proc/meminfo"
            |> Seq.tryFind (fun line -> line.StartsWith(field + ":"))
            |> Option.map (fun line ->
                let words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                1024L * Int64.Parse words[1])
        with :? IOException ->
            None

    let memoryTotal () = memory "MemTotal"
    let memoryAvailable () = memory "MemAvailable"

    /// The processor by its own name.
    let processor () =
        try
            File.ReadLines "/proc/cpuinfo"
            |> Seq.tryFind (fun line -> line.StartsWith "model name")
            |> Option.map (fun line -> line.Substring(line.IndexOf ':' + 1).Trim())
            |> Option.defaultValue "unknown"
        with :? IOException ->
            "unknown"
