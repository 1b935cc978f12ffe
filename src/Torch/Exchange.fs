namespace Fokker

open System
open System.Runtime.InteropServices

#nowarn "9" // native pointers: this file and Tensor.fs are where they stop

/// Memory in and out. Reading a contiguous CPU tensor in place and lending a pinned array copy nothing; everything else is one block copy.
module internal Exchange =

    /// The element type that a .NET type has in libtorch.
    let dtypeOf<'T> () =
        let known =
            [ typeof<float32>, Dtype.Float32
              typeof<float>, Dtype.Float64
              typeof<int64>, Dtype.Int64
              typeof<int>, Dtype.Int32
              typeof<int16>, Dtype.Int16
              typeof<sbyte>, Dtype.Int8
              typeof<byte>, Dtype.UInt8
              typeof<bool>, Dtype.Bool
              typeof<Half>, Dtype.Float16 ]

        match known |> List.tryFind (fun (t, _) -> t = typeof<'T>) with
        | Some(_, dtype) -> dtype
        | None -> raise (TensorException $"no element type stands for .NET's {typeof<'T>.Name}")

    /// FK_MAX_RANK of native/door.h: ATen's iterators have no more dimensions, and the door keeps the rank in 8 bits.
    [<Literal>]
    let MaxRank = 64

    /// How many elements a shape holds, or why it is none that a tensor can have. An empty dimension does not excuse the
    /// others: strides are made of their product, which 64 bits have to hold in bytes.
    let elements (shape: int64[]) : Result<int64, string> =
        if shape.Length > MaxRank then
            Error $"{shape.Length} dimensions are too many: expected at most {MaxRank}"
        else
            match shape |> Array.tryFind (fun n -> n < 0L || n > int64 Int32.MaxValue) with
            | Some n when n < 0L -> Error $"a size is negative ({n})"
            | Some n -> Error $"{n} is no size: expected 0 to {Int32.MaxValue}"
            | None ->
                let reach = shape |> Array.fold (fun total n -> total * bigint (max 1L n)) 8I

                if reach > bigint Int64.MaxValue then
                    Error "no memory holds so many elements"
                else
                    Ok(Array.fold (*) 1L shape)

    /// Checks that `length` elements fill `shape`, and gives the sizes as libtorch wants them.
    let sizes (shape: seq<int>) (length: int64) =
        let sizes = [| for s in shape -> int64 s |]
        let text = String.Join("; ", sizes)

        match elements sizes with
        | Error reason -> raise (TensorException $"ofArray: [{text}]: {reason}")
        | Ok expected when expected <> length ->
            raise (TensorException $"ofArray: {length} elements do not fill [{text}], which takes {expected}")
        | Ok _ -> sizes

    let private filled (rc: int) (value: NativeValue) =
        if rc < 0 then
            raise (TensorException(Engines.Current.Error()))

        Door.accept value

    /// A CPU tensor with a copy of `data`, `bytes` read as elements of `dtype`.
    let ofMemory (dtype: Dtype) (shape: int64[]) (data: nativeint) (bytes: int64) =
        let mutable value = Unchecked.defaultof<NativeValue>
        use sizes = fixed shape

        let rc =
            Engines.Current.FromMemory(
                data,
                bytes,
                int dtype,
                NativeInterop.NativePtr.toNativeInt sizes,
                shape.Length,
                &value
            )

        filled rc value

    let ofSpan<'T when 'T: unmanaged> (shape: seq<int>) (data: ReadOnlySpan<'T>) =
        let sizes = sizes shape (int64 data.Length)
        use pointer = fixed data
        let bytes = int64 data.Length * int64 sizeof<'T>
        ofMemory (dtypeOf<'T>()) sizes (NativeInterop.NativePtr.toNativeInt pointer) bytes

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type private Release = delegate of nativeint -> unit

    // One delegate for all loans, alive as long as the process.
    let private release =
        Release(fun context ->
            let holder = GCHandle.FromIntPtr context

            match holder.Target with
            | :? IDisposable as pin -> pin.Dispose()
            | _ -> ()

            holder.Free())

    let private releasePointer = Marshal.GetFunctionPointerForDelegate release

    /// A CPU tensor over memory that `holder` keeps where it is, and is disposed of when the last tensor that looks at it is freed.
    let lendForeign (dtype: Dtype) (shape: int64[]) (data: nativeint) (bytes: int64) (holder: IDisposable) : Tensor =
        let handle = GCHandle.Alloc(box holder)
        let mutable value = Unchecked.defaultof<NativeValue>
        use sizes = fixed shape

        let rc =
            Engines.Current.Lend(
                data,
                bytes,
                int dtype,
                NativeInterop.NativePtr.toNativeInt sizes,
                shape.Length,
                releasePointer,
                GCHandle.ToIntPtr handle,
                &value
            )

        if rc < 0 then
            holder.Dispose()
            handle.Free()

        filled rc value

    /// A CPU tensor over `length` elements of pinned memory, which is unpinned when the last tensor that looks at it is freed.
    let lendPinned<'T when 'T: unmanaged> (shape: int64[]) (length: int64) (pinned: Buffers.MemoryHandle) =
        let data = NativeInterop.NativePtr.toNativeInt (NativeInterop.NativePtr.ofVoidPtr<byte> pinned.Pointer)
        lendForeign (dtypeOf<'T>()) shape data (length * int64 sizeof<'T>) pinned

    /// A CPU tensor over the array's own memory, which stays pinned until the tensor is freed. Writing to the array writes to the tensor.
    let lend<'T when 'T: unmanaged> (shape: seq<int>) (data: 'T[]) =
        let shape = sizes shape (int64 data.Length)
        lendPinned<'T> shape (int64 data.Length) (Memory<'T>(data).Pin())

    /// Runs `read` over the memory of a contiguous CPU tensor, which stays as long as it runs.
    let whereItLies (t: Tensor) (read: nativeint -> 'R) : 'R =
        Calls.Read t
        let pointer = t.Use()

        try
            let data = Engines.Current.Data(pointer, false)

            if data = 0n then
                raise (TensorException $"read: {t.Describe()}: {Engines.Current.Error()}")

            read data
        finally
            t.Leave()

    /// Runs `read` over the elements of a contiguous CPU tensor where they lie.
    let inPlace<'T, 'R when 'T: unmanaged> (t: Tensor) (read: nativeint -> int -> 'R) : 'R =
        if t.Dtype <> dtypeOf<'T>() then
            raise (TensorException $"read: {t.Describe()} is not made of {typeof<'T>.Name}; convert it with .To")

        if t.Count > int64 Int32.MaxValue then
            raise (TensorException $"read: {t.Describe()} has more elements than a span can hold")

        if t.Count = 0L then read 0n 0 else whereItLies t (fun data -> read data (int t.Count))

    let toArray<'T when 'T: unmanaged> (t: Tensor) : 'T[] =
        let local = Ops.unary Ops.contiguous (t.To Device.Cpu)

        inPlace<'T, _> local (fun data length ->
            Span<'T>(NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<'T> data), length)
                .ToArray())

    /// Copies the elements into `target`.
    let copyTo<'T when 'T: unmanaged> (t: Tensor) (target: Memory<'T>) =
        let local = Ops.unary Ops.contiguous (t.To Device.Cpu)

        if int64 target.Length <> t.Count then
            raise (TensorException $"copyTo: {t.Describe()} does not fit a span of {target.Length}")

        inPlace<'T, _> local (fun data length ->
            Span<'T>(NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<'T> data), length)
                .CopyTo(target.Span))

    /// The raw bytes of a tensor, little-endian, whatever its element type.
    let toBytes (t: Tensor) : byte[] =
        let local = Ops.unary Ops.contiguous (t.To Device.Cpu)
        let length = local.Count * int64 (Dtype.size local.Dtype)

        if length > int64 Array.MaxLength then
            raise (TensorException $"read: {t.Describe()} has more bytes than an array can hold")

        let bytes = Array.zeroCreate<byte>(int length)

        if bytes.Length > 0 then
            whereItLies local (fun data -> Marshal.Copy(data, bytes, 0, bytes.Length))

        bytes

    /// The inverse of `toBytes`. Raises TensorException where the bytes do not fill the shape.
    let ofBytes (dtype: Dtype) (shape: seq<int>) (bytes: ReadOnlySpan<byte>) =
        let sizes = sizes shape (int64 bytes.Length / int64 (Dtype.size dtype))
        use pointer = fixed bytes
        ofMemory dtype sizes (NativeInterop.NativePtr.toNativeInt pointer) (int64 bytes.Length)

    let private chunk = 1 <<< 24

    /// Hands a block of native memory to `use` in pieces that a span can hold.
    let private pieces (data: nativeint) (bytes: int64) (onPiece: nativeint -> int -> unit) =
        let mutable at = 0L

        while at < bytes do
            let length = int (min (int64 chunk) (bytes - at))
            onPiece (data + nativeint at) length
            at <- at + int64 length

    let private bytesAt (data: nativeint) length =
        Span<byte>(NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<byte> data), length)

    type Piece = delegate of Span<byte> -> unit
    let asStored = Piece(fun _ -> ())

    /// A CPU tensor of whatever its memory holds. Raises TensorException where no memory holds the shape.
    let empty (dtype: Dtype) (shape: int64[]) : Tensor =
        let bytes =
            try
                Array.fold Checked.(*) (int64 (Dtype.size dtype)) shape
            with :? OverflowException ->
                let sizes = String.Join("; ", shape)
                raise (TensorException $"[{sizes}] {Dtype.name dtype}: no memory holds so many elements")

        ofMemory dtype shape 0n bytes

    /// A CPU tensor whose bytes come from a stream, straight into its memory; `adjust` sees every piece of them on the
    /// way (pieces end between elements). Raises EndOfStreamException where the stream is too short.
    let ofStream (dtype: Dtype) (shape: int64[]) (stream: IO.Stream) (adjust: Piece) : Tensor =
        // A bool of libtorch is 0 or 1; a file's may be anything.
        let stored = if dtype = Dtype.Bool then Dtype.UInt8 else dtype

        let t = empty stored shape

        if t.Count > 0L then
            whereItLies t (fun start ->
                pieces start (t.Count * int64 (Dtype.size stored)) (fun data length ->
                    let piece = bytesAt data length
                    stream.ReadExactly piece
                    adjust.Invoke piece))

        t.To dtype

    /// The raw bytes of a tensor in row-major order, little-endian, straight from its memory where it is contiguous.
    let toStream (t: Tensor) (stream: IO.Stream) : unit =
        let local = Ops.unary Ops.contiguous (t.To Device.Cpu)

        if local.Count > 0L then
            whereItLies local (fun start ->
                pieces start (local.Count * int64 (Dtype.size local.Dtype)) (fun data length ->
                    stream.Write(Span<byte>.op_Implicit(bytesAt data length): ReadOnlySpan<byte>)))

    /// Runs `read` over the elements of a CPU tensor where they lie: address, how many elements the strides reach over, strides.
    let strided<'T, 'R when 'T: unmanaged> (t: Tensor) (read: nativeint -> nativeint -> nativeint[] -> 'R) : 'R =
        if t.Dtype <> dtypeOf<'T>() then
            raise (TensorException $"read: {t.Describe()} is not made of {typeof<'T>.Name}; convert it with .To")

        let local = t.To Device.Cpu
        let rank = local.Rank
        let layout = Array.zeroCreate<int64>(2 * rank + 1)
        use at = fixed layout
        let sizes = NativeInterop.NativePtr.toNativeInt at

        let pointer = local.Use()

        try
            if Engines.Current.Shape(pointer, sizes, sizes + nativeint (8 * rank), rank) < 0 then
                raise (TensorException(Engines.Current.Error()))

            // A dimension of one element is never stepped along, and .NET wants to hear it so.
            let strides = Array.init rank (fun k -> if layout[k] <= 1L then 0n else nativeint layout[rank + k])

            let length =
                if local.Count = 0L then
                    0n
                else
                    Array.fold2
                        (fun reach size stride -> reach + nativeint (size - 1L) * stride)
                        1n
                        layout[.. rank - 1]
                        strides

            let data = if local.Count = 0L then 0n else Engines.Current.Data(pointer, true)

            if data = 0n && local.Count > 0L then
                raise (TensorException $"read: {t.Describe()}: {Engines.Current.Error()}")

            read data length strides
        finally
            local.Leave()

    /// Whether a tensor's elements lie in its CPU's memory in row-major order, without gaps.
    let isPlain (t: Tensor) : bool =
        t.Device.IsCpu
        && (let rank = t.Rank
            let layout = NativeInterop.NativePtr.stackalloc<int64>(2 * rank + 1)
            let at = NativeInterop.NativePtr.toNativeInt layout
            let pointer = t.Use()

            try
                if Engines.Current.Shape(pointer, at, at + nativeint (8 * rank), rank) < 0 then
                    raise (TensorException(Engines.Current.Error()))
            finally
                t.Leave()

            let mutable expected = 1L
            let mutable plain = true

            for k in rank - 1 .. -1 .. 0 do
                let size = NativeInterop.NativePtr.get layout k
                plain <- plain && (size = 1L || NativeInterop.NativePtr.get layout (rank + k) = expected)
                expected <- expected * size

            plain || t.Count = 0L)

    /// Runs `read` over the addresses of plain tensors, all of which stay as long as it runs.
    let wherePlain (tensors: Tensor[]) (read: nativeint[] -> 'R) : 'R =
        let addresses = Array.zeroCreate<nativeint> tensors.Length
        let mutable used = 0

        try
            while used < tensors.Length do
                let pointer = tensors[used].Use()
                used <- used + 1

                if tensors[used - 1].Count > 0L then
                    addresses[used - 1] <- Engines.Current.Data(pointer, false)

                    if addresses[used - 1] = 0n then
                        raise (TensorException $"read: {tensors[used - 1].Describe()}: {Engines.Current.Error()}")

            read addresses
        finally
            for k in 0 .. used - 1 do
                tensors[k].Leave()
