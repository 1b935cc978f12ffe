namespace Fokker

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

#nowarn "9" "51" // native structures

/// What the C ABI has no word for and the system's libraries do: how libtorch was built, memory, OpenMP's threads. On Linux with GNU's libraries; elsewhere the
/// answers are poorer.
[<Sealed>]
type internal Surroundings(loaded: OfficialLibtorch.Loaded) =

    static let isGnu = OperatingSystem.IsLinux()

    let export (library: nativeint) (name: string) : nativeint =
        match NativeLibrary.TryGetExport(library, name) with
        | true, address -> address
        | _ -> 0n

    /// What a C++ function that takes nothing and gives a std::string says. GNU's string is an address, a length and 16 bytes of its own.
    let says (name: string) : string =
        match export loaded.Cpu name with
        | 0n -> ""
        | _ when not isGnu -> ""
        | address ->
            let place = Marshal.AllocHGlobal 32

            try
                Marshal.GetDelegateForFunctionPointer<Cpp.OfPointer>(address).Invoke place |> ignore
                // A text of more than 15 letters stays where it is: it is asked for once.
                Marshal.PtrToStringUTF8(Marshal.ReadIntPtr place, int (Marshal.ReadInt64(place, 8)))
            finally
                Marshal.FreeHGlobal place

    let configuration =
        lazy
            (match says "_ZN2at11show_configB5cxx11Ev" + says "_ZN2at17get_parallel_infoB5cxx11Ev" with
             | "" -> $"libtorch {OfficialLibtorch.Release} in {loaded.Folder}"
             | text -> text)

    // A stack of C++ functions tells nobody here anything, and takes milliseconds to find: instead of one, an empty std::string.
    static let noStack =
        Cpp.Make(fun place _ ->
            Marshal.WriteIntPtr(place, 0, place + 16n)
            Marshal.WriteInt64(place, 8, 0L)
            Marshal.WriteByte(place, 16, 0uy)
            place)

    do
        if isGnu then
            let name =
                "_ZN3c1020SetStackTraceFetcherESt8functionIFNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEvEE"

            match export loaded.C10 name, export (NativeLibrary.Load "libc.so.6") "getppid" with
            | 0n, _
            | _, 0n -> ()
            | address, nothing ->
                // A std::function, which is passed by its address: 16 bytes of its own, who copies and frees them (nobody has to), who is called.
                let function' = Marshal.AllocHGlobal 32
                Marshal.WriteInt64(function', 0, 0L)
                Marshal.WriteInt64(function', 8, 0L)
                Marshal.WriteIntPtr(function', 16, nothing)
                Marshal.WriteIntPtr(function', 24, Marshal.GetFunctionPointerForDelegate noStack)
                Marshal.GetDelegateForFunctionPointer<Cpp.OfPointer>(address).Invoke function' |> ignore
                Marshal.FreeHGlobal function'

    let ownThreads =
        lazy
            (match export loaded.Cpu "omp_set_num_threads" with
             | 0n -> null
             | address -> Marshal.GetDelegateForFunctionPointer<Cpp.Count> address)

    /// Where the thread's flags of differentiation are (`c10::AutogradState`), and at which of its bytes: the one whose lowest bit goes with gradients; the third lowest is forward mode's. None where it is not so.
    let flags =
        lazy
            (match
                export loaded.C10 "_ZN3c1013AutogradState13get_tls_stateEv",
                export loaded.Cpu "aoti_torch_grad_mode_set_enabled"
             with
             | 0n, _
             | _, 0n -> None
             | state, switch ->
                 let state = Marshal.GetDelegateForFunctionPointer<Cpp.Number> state
                 let switch = Marshal.GetDelegateForFunctionPointer<Cpp.Count> switch
                 let bytes () = [| for k in 0..31 -> Marshal.ReadByte(nativeint (state.Invoke()), k) |]
                 let before = bytes ()
                 switch.Invoke 0
                 let after = bytes ()
                 switch.Invoke 1

                 match
                     [ for k in 0..31 do
                           if before[k] <> after[k] then
                               k ]
                 with
                 | [ place ] when before[place] = (after[place] ||| 1uy) && before[place] &&& 5uy = 5uy ->
                     Some(state, place)
                 | _ -> None)

    let mutable peak = 0L

    do
        // glibc hands large blocks back to the kernel at every free, and a training step would pay for the same page faults again and again.
        let keep = Startup.cachedBytes ()

        if isGnu && keep > 0L then
            Gnu.keep (min keep (int64 Int32.MaxValue))

    let before = if isGnu then Gnu.inUse () else 0L

    member _.Configuration = configuration.Value

    member _.Capability =
        let label = "CPU capability usage: "
        let text = configuration.Value

        match text.IndexOf label with
        | -1 -> "unknown"
        | at -> text.Substring(at + label.Length).Split(' ', '\n')[0]

    member _.SetOwnThreads(n: int) =
        match ownThreads.Value with
        | null -> ()
        | set -> set.Invoke n

    /// Runs `work` without regard to tangents, which tensors of this thread may still have while another thread is inside forward mode: some backward formulas refuse them.
    member _.WithoutTangents(work: unit -> 'T) : 'T =
        match flags.Value with
        | None -> work ()
        | Some(state, place) ->
            let at = nativeint (state.Invoke()) + nativeint place
            let before = Marshal.ReadByte at
            Marshal.WriteByte(at, before &&& ~~~4uy)

            try
                work ()
            finally
                Marshal.WriteByte(at, before)

    /// What the process holds by malloc beyond what it held when libtorch had been loaded; the peak is the most that was seen when somebody asked.
    member _.Memory() : struct (int64 * int64 * int64) =
        if isGnu then
            let live = max 0L (Gnu.inUse () - before)
            peak <- max peak live
            struct (live, Gnu.kept (), peak)
        else
            struct (0L, 0L, 0L)

    member _.Trim() =
        if isGnu then
            Gnu.trim ()

    /// A tensor over memory of somebody else's, who is told when nothing looks at it any more. No function of the C ABI takes such a word; this is what
    /// `at::for_blob(…).context(…).make_tensor()` does, by the layout of at::TensorMaker in libtorch 2.10 under GNU's C++. Elsewhere the memory is
    /// copied.
    member _.Lend
        (data: nativeint, sizes: nativeint, rank: int, dtype: Dtype, release: nativeint, context: nativeint)
        : nativeint option =
        match export loaded.Cpu "_ZN2at11TensorMaker11make_tensorEv" with
        | 0n -> None
        | _ when not isGnu || RuntimeInformation.ProcessArchitecture <> Architecture.X64 -> None
        | address ->
            let maker = Marshal.AllocHGlobal 136

            try
                for k in 0..16 do
                    Marshal.WriteInt64(maker, 8 * k, 0L)

                Marshal.WriteIntPtr(maker, 0, data)
                // An ArrayRef: address, length.
                Marshal.WriteIntPtr(maker, 8, sizes)
                Marshal.WriteInt64(maker, 16, int64 rank)
                // No strides (24), no offset (48), no std::function (64); a unique_ptr: what frees, what is freed.
                Marshal.WriteIntPtr(maker, 96, release)
                Marshal.WriteIntPtr(maker, 104, context)
                // An optional device, the CPU: type, index, whether there is one.
                Marshal.WriteByte(maker, 113, 0xffuy)
                Marshal.WriteByte(maker, 114, 1uy)
                // TensorOptions: device, element type, layout, memory format, and that the element type is given.
                Marshal.WriteByte(maker, 117, 0xffuy)
                Marshal.WriteInt16(maker, 118, int16 dtype)
                Marshal.WriteByte(maker, 122, 8uy)
                // The tensor is made in the place of an empty handle's.
                let mutable tensor = 0n
                Abi.aoti_torch_new_uninitialized_tensor &tensor |> ignore
                Marshal.GetDelegateForFunctionPointer<Cpp.Make>(address).Invoke(tensor, maker) |> ignore
                Some tensor
            finally
                Marshal.FreeHGlobal maker
