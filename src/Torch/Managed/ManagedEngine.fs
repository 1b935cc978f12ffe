namespace Fokker

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

#nowarn "9" "51" // handles are native memory

/// The official libtorch, called by PyTorch's stable C ABI and a handful of C++ names: no compiler, no headers.
///
/// The ABI calls any operator of the dispatcher (`Crossing`), with all its arguments (`Signatures`) and no Scalar among them (`Replacements`).
[<Sealed>]
type internal ManagedEngine(loaded: OfficialLibtorch.Loaded) =
    inherit Engine()

    [<ThreadStatic; DefaultValue>]
    static val mutable private failure: string | null

    [<ThreadStatic; DefaultValue>]
    static val mutable private inner: List<nativeint> | null

    static let gate = obj ()

    let cpp (name: Mangled) : nativeint =
        match NativeLibrary.TryGetExport(loaded.C10, name.Here) with
        | true, address -> address
        | _ -> NativeLibrary.GetExport(loaded.Cpu, name.Here)

    let mutableGrad = Marshal.GetDelegateForFunctionPointer<Cpp.OfPointer>(cpp Cpp.mutableGrad)
    let requiresGrad = Marshal.GetDelegateForFunctionPointer<Cpp.Flag>(cpp Cpp.requiresGrad)
    let tangent = Marshal.GetDelegateForFunctionPointer<Cpp.OfLevel>(cpp Cpp.tangent)
    let openLevel = Marshal.GetDelegateForFunctionPointer<Cpp.Number>(cpp Cpp.openLevel)
    let closeLevel = Marshal.GetDelegateForFunctionPointer<Cpp.Level>(cpp Cpp.closeLevel)
    let setThreads = Marshal.GetDelegateForFunctionPointer<Cpp.Count>(cpp Cpp.setThreads)
    let cudaDevices = Marshal.GetDelegateForFunctionPointer<Cpp.SmallNumber>(cpp Cpp.cudaDevices)
    let surroundings = Surroundings loaded

    let undefined =
        let mutable tensor = 0n
        Abi.aoti_torch_new_uninitialized_tensor &tensor |> ignore
        tensor

    let numbers = Dictionary<string, int>()
    let mutable operators: NativeOperator[] = [||]

    // libtorch has one forward level in a process, and throws where a second is opened: those who ask share it.
    let mutable users = 0
    let mutable level = 0UL

    let isOnGraph (tensor: nativeint) = requiresGrad.Invoke(Crossing.implementation tensor) <> 0uy

    let isDual (tensor: nativeint) = Crossing.isDefined (tangent.Invoke(Crossing.implementation tensor, 0UL, tensor))

    /// Runs what may fail: a negative number where it does, the reason kept for `Error`.
    let attempt (f: unit -> int) : int =
        try
            f ()
        with :? TensorException as e ->
            ManagedEngine.failure <- e.Message
            -1

    let plain (name: string) : NativeOperator =
        match Signatures.find name with
        | Some signature -> NativeOperator(name, signature, null)
        | None -> Crossing.fail $"operator {name} has no signature"

    let alias, detach, backward = plain "alias", plain "detach", plain "_backward"

    let clear (gradient: nativeint) = Abi.aoti_torch_assign_tensors (undefined, gradient) |> ignore

    /// The bytes that a shape takes; raises TensorException where it is none.
    let bytesOf (sizes: nativeint) (rank: int) (dtype: int) : int64 =
        if rank < 0 || rank > 64 then
            Crossing.fail $"a tensor of {rank} dimensions; there are 0 to 64"

        if not (Enum.IsDefined(enum<Dtype> dtype)) then
            Crossing.fail $"element type {dtype} is unknown"

        let mutable reach = int64 (Dtype.size (enum<Dtype> dtype))
        let mutable isEmpty = false
        let mutable isTooLarge = false

        for k in 0 .. rank - 1 do
            let size = NativePtr.get (NativePtr.ofNativeInt<int64> sizes) k

            if size < 0L then
                Crossing.fail $"a size of {size}"

            isEmpty <- isEmpty || size = 0L
            isTooLarge <- isTooLarge || reach > Int64.MaxValue / max 1L size
            reach <- if isTooLarge then reach else reach * max 1L size

        if isTooLarge then
            Crossing.fail "a shape that no memory holds"

        if isEmpty then 0L else reach

    let check (sizes: nativeint) (rank: int) (dtype: int) (bytes: int64) =
        let expected = bytesOf sizes rank dtype

        if expected <> bytes then
            Crossing.fail $"a shape that takes {expected} bytes, where {bytes} are there"

    let dataOf (tensor: nativeint) : nativeint =
        let mutable data = 0n
        Abi.aoti_torch_get_data_ptr (tensor, &data) |> ignore
        data

    let copied (data: nativeint) (bytes: int64) (dtype: int) (sizes: nativeint) (rank: int) : nativeint =
        // Not by the dispatcher, which an optimizer's step would pay for once for every parameter.
        let strides = NativePtr.stackalloc<int64>(max 1 rank)
        let mutable stride = 1L

        for k in rank - 1 .. -1 .. 0 do
            NativePtr.set strides k stride
            stride <- stride * max 1L (NativePtr.get (NativePtr.ofNativeInt<int64> sizes) k)

        let mutable tensor = 0n
        Crossing.listen ()

        Crossing.finish (
            Abi.aoti_torch_empty_strided (int64 rank, sizes, NativePtr.toNativeInt strides, dtype, 0, 0, &tensor)
        )

        if bytes > 0L && data <> 0n then
            Buffer.MemoryCopy(data.ToPointer(), (dataOf tensor).ToPointer(), bytes, bytes)

        tensor

    override _.Name = "managed"

    override _.Version =
        let version = Abi.aoti_torch_abi_version ()
        $"{version >>> 56}.{(version >>> 48) &&& 0xffUL}.{(version >>> 40) &&& 0xffUL}"

    override _.Configuration = surroundings.Configuration
    override _.Capability = surroundings.Capability

    override _.Error() =
        match ManagedEngine.failure with
        | null -> ""
        | message -> message

    override _.Find(name, overload) =
        let short = if name.StartsWith "aten::" then name.Substring 6 else name
        let full = if overload = "" then short else $"{short}.{overload}"

        lock gate (fun () ->
            match numbers.TryGetValue full, Signatures.find full with
            | (true, number), _ -> nativeint number
            | _, None ->
                ManagedEngine.failure <-
                    $"libtorch {OfficialLibtorch.Release}: no operator {full} among those that Fokker knows how to call (Signatures.fs)"

                0n
            | _, Some signature ->
                operators <- Array.append operators [| NativeOperator(full, signature, Replacements.find full) |]
                numbers[full] <- operators.Length
                nativeint operators.Length)

    override _.Call(op, args, n, results, capacity) =
        try
            if op <= 0n || int op > operators.Length then
                Crossing.fail "an operator is missing (null)"

            let operator = operators[int op - 1]

            match operator.Replacement with
            | null -> Crossing.invoke operator args n results capacity
            | rule ->
                if n < 0 || n > operator.Signature.Formals.Length then
                    Crossing.fail $"{operator.Name} takes {operator.Signature.Formals.Length} arguments, was given {n}"

                let value = rule.Invoke(args, n)

                if capacity < 1 then
                    Crossing.free (if value.Tag = 1 then nativeint value.Payload else 0n)
                    Crossing.fail $"more than {capacity} results"

                Crossing.write results 0 value
                1
        with :? TensorException as e ->
            ManagedEngine.failure <- e.Message
            -1

    override _.Free tensor = Crossing.free tensor

    override _.FreeMany(tensors, n) =
        let at = NativePtr.ofNativeInt<nativeint> tensors

        for k in 0 .. n - 1 do
            Crossing.free (NativePtr.get at k)

    override _.Shape(tensor, sizes, strides, capacity) =
        attempt (fun () ->
            if tensor = 0n then
                Crossing.fail "a tensor is missing (null)"

            let rank = Crossing.rank tensor

            if rank > capacity then
                Crossing.fail $"a tensor of {rank} dimensions, where there is room for {capacity}"

            let from = NativePtr.ofNativeInt<int64>(Crossing.sizes tensor)
            let mutable steps = 0n
            Abi.aoti_torch_get_strides (tensor, &steps) |> ignore
            let steps = NativePtr.ofNativeInt<int64> steps

            for k in 0 .. rank - 1 do
                NativePtr.set (NativePtr.ofNativeInt<int64> sizes) k (NativePtr.get from k)
                NativePtr.set (NativePtr.ofNativeInt<int64> strides) k (NativePtr.get steps k)

            rank)

    override _.Data(tensor, strided) =
        let mutable data = 0n

        let rc =
            attempt (fun () ->
                if tensor = 0n then
                    Crossing.fail "a tensor is missing (null)"

                if Crossing.deviceType tensor <> 0 then
                    Crossing.fail "the tensor is not on the CPU"

                let mutable dense = 0uy
                Abi.aoti_torch_is_contiguous (tensor, &dense) |> ignore

                if not strided && dense = 0uy then
                    Crossing.fail "the tensor is not contiguous"

                0)

        if rc = 0 then
            data <- dataOf tensor

        data

    override _.IsShared = true
    override _.Share tensor = Crossing.copy tensor

    override _.Adopt(address, result) =
        let mutable made = Crossing.none

        let rc =
            try
                made <- Crossing.describe (Crossing.copy address)
                1
            with :? TensorException as e ->
                ManagedEngine.failure <- e.Message
                -1

        result <- made
        rc

    override _.FromMemory(data, bytes, dtype, sizes, rank, result) =
        let mutable made = Crossing.none

        let rc =
            try
                check sizes rank dtype bytes
                made <- Crossing.describe (copied data bytes dtype sizes rank)
                1
            with :? TensorException as e ->
                ManagedEngine.failure <- e.Message
                -1

        result <- made
        rc

    override _.Lend(data, bytes, dtype, sizes, rank, release, context, result) =
        let mutable made = Crossing.none

        let rc =
            try
                check sizes rank dtype bytes

                let tensor =
                    match surroundings.Lend(data, sizes, rank, enum dtype, release, context) with
                    | Some tensor -> tensor
                    | None ->
                        let tensor = copied data bytes dtype sizes rank
                        Marshal.GetDelegateForFunctionPointer<Cpp.OfPointer>(release).Invoke context |> ignore
                        tensor

                made <- Crossing.describe tensor
                1
            with :? TensorException as e ->
                ManagedEngine.failure <- e.Message
                -1

        result <- made
        rc

    override _.Leaf(tensor, result) =
        let mutable made = Crossing.none

        let rc =
            try
                if tensor = 0n then
                    Crossing.fail "a tensor is missing (null)"

                let dtype = Crossing.dtype tensor

                if not (Dtype.isFloating dtype) then
                    Crossing.fail $"cannot differentiate with respect to a tensor of {Dtype.name dtype}"

                let keep = isOnGraph tensor
                let operator = if keep || isDual tensor then alias else detach
                let leaf = Crossing.apply operator [| Crossing.ofTensor tensor |]

                if not (isOnGraph leaf) then
                    Abi.torch_set_requires_grad (leaf, 1uy) |> ignore

                made <- Crossing.describe leaf
                1
            with :? TensorException as e ->
                ManagedEngine.failure <- e.Message
                -1

        result <- made
        rc

    override _.RequiresGrad tensor = tensor <> 0n && isOnGraph tensor
    override _.IsTracked tensor = tensor <> 0n && (isOnGraph tensor || isDual tensor)

    // `_backward` leaves the derivatives in the inputs' `grad`, from where they are taken at once: a derivative that is on a graph and lies in its
    // own variable would be a ring that nothing frees. A variable that is itself on an outer graph goes on to receive a `grad` whenever a later pass
    // comes by; those are cleared when the outermost derivative is done.
    override _.Pullback(output, seed, inputs, n, create, retain, forward, results) =
        attempt (fun () ->
            if n < 0 then
                Crossing.fail $"a derivative by {n} tensors"

            let at = NativePtr.ofNativeInt<nativeint> inputs
            let place k = mutableGrad.Invoke(Crossing.implementation (NativePtr.get at k))

            for k in 0 .. n - 1 do
                clear (place k)

            if Nesting.Reverse > 1 then
                let kept =
                    match ManagedEngine.inner with
                    | null ->
                        let made = List<nativeint>()
                        ManagedEngine.inner <- made
                        made
                    | kept -> kept

                for k in 0 .. n - 1 do
                    kept.Add(Crossing.copy (NativePtr.get at k))

            let values =
                [| Crossing.ofTensor output
                   { Tag = 7; Meta = 0; Count = int64 n; Payload = int64 inputs }
                   (if seed = 0n then Crossing.none else Crossing.ofTensor seed)
                   Crossing.ofFlag retain
                   Crossing.ofFlag create |]

            use valuesAt = fixed values
            let valuesAt = NativePtr.toNativeInt valuesAt
            let pass () = Crossing.invoke backward valuesAt values.Length 0n 0 |> ignore

            try
                if forward then pass () else surroundings.WithoutTangents pass

                for k in 0 .. n - 1 do
                    let grad = place k

                    Crossing.write
                        results
                        k
                        (if Crossing.isDefined grad then Crossing.describe (Crossing.copy grad) else Crossing.none)
            finally
                for k in 0 .. n - 1 do
                    clear (place k)

            n)

    override _.Settled() =
        match ManagedEngine.inner with
        | null -> ()
        | kept ->
            for tensor in kept do
                clear (mutableGrad.Invoke(Crossing.implementation tensor))
                Crossing.free tensor

            kept.Clear()

    override _.EnterDual() =
        lock gate (fun () ->
            if users = 0 then
                level <- openLevel.Invoke()

            users <- users + 1
            int64 level)

    override _.ExitDual _ =
        lock gate (fun () ->
            if users = 0 then
                ManagedEngine.failure <- "nobody is inside the forward-mode level"
                -1
            else
                users <- users - 1

                if users = 0 then
                    closeLevel.Invoke level

                0)

    override _.Threads
        with get () =
            let mutable count = 0u
            Abi.torch_get_num_threads &count |> ignore
            int count
        and set n =
            // Below 1 it throws, and nothing here could catch that.
            if n >= 1 then
                setThreads.Invoke n

    override engine.SetOwnThreads n =
        // The first question makes libtorch give this thread its share, so that it will not do so later.
        engine.Threads |> ignore
        surroundings.SetOwnThreads n

    override _.CudaDevices = int (cudaDevices.Invoke())
    override _.Memory() = surroundings.Memory()
    override _.Trim() = surroundings.Trim()
