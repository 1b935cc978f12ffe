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

    /// Checks that `length` elements fill `shape`, and gives the sizes as libtorch wants them.
    let sizes (shape: seq<int>) (length: int64) =
        let sizes = [| for s in shape -> int64 s |]
        let expected = Array.fold (*) 1L sizes

        if expected <> length || Array.exists (fun s -> s < 0L) sizes then
            let text = String.Join("; ", shape)
            raise (TensorException $"ofArray: {length} elements do not fill [{text}], which takes {expected}")

        sizes

    let private filled (rc: int) (value: NativeValue) =
        if rc < 0 then
            raise (TensorException(Native.error ()))

        Door.accept value

    /// A CPU tensor with a copy of `data`, `bytes` read as elements of `dtype`.
    let ofMemory (dtype: Dtype) (shape: int64[]) (data: nativeint) =
        Native.ensure ()
        let mutable value = Unchecked.defaultof<NativeValue>
        use sizes = fixed shape

        let rc =
            Native.fk_from_memory (data, int dtype, NativeInterop.NativePtr.toNativeInt sizes, shape.Length, &value)

        filled rc value

    let ofSpan<'T when 'T: unmanaged> (shape: seq<int>) (data: ReadOnlySpan<'T>) =
        let sizes = sizes shape (int64 data.Length)
        use pointer = fixed data
        ofMemory (dtypeOf<'T>()) sizes (NativeInterop.NativePtr.toNativeInt pointer)

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

    /// A CPU tensor over pinned memory, which is unpinned when the last tensor that looks at it is freed.
    let lendPinned<'T when 'T: unmanaged> (shape: int64[]) (pinned: Buffers.MemoryHandle) =
        Native.ensure ()
        let dtype = dtypeOf<'T>()
        let holder = GCHandle.Alloc(box pinned)
        let mutable value = Unchecked.defaultof<NativeValue>
        use sizes = fixed shape

        let rc =
            Native.fk_wrap (
                NativeInterop.NativePtr.toNativeInt (NativeInterop.NativePtr.ofVoidPtr<byte> pinned.Pointer),
                int dtype,
                NativeInterop.NativePtr.toNativeInt sizes,
                shape.Length,
                releasePointer,
                GCHandle.ToIntPtr holder,
                &value
            )

        if rc < 0 then
            pinned.Dispose()
            holder.Free()

        filled rc value

    /// A CPU tensor over the array's own memory, which stays pinned until the tensor is freed. Writing to the array writes to the tensor.
    let lend<'T when 'T: unmanaged> (shape: seq<int>) (data: 'T[]) =
        let shape = sizes shape (int64 data.Length)
        lendPinned<'T> shape (Memory<'T>(data).Pin())

    /// Runs `read` over the elements of a contiguous CPU tensor where they lie.
    let inPlace<'T, 'R when 'T: unmanaged> (t: Tensor) (read: nativeint -> int -> 'R) : 'R =
        if t.Dtype <> dtypeOf<'T>() then
            raise (TensorException $"read: {t.Describe()} is not made of {typeof<'T>.Name}; convert it with .To")

        if t.Count > int64 Int32.MaxValue then
            raise (TensorException $"read: {t.Describe()} has more elements than a span can hold")

        if t.Count = 0L then
            read 0n 0
        else
            let data = Native.fk_data (t.Pointer, 0)

            if data = 0n then
                raise (TensorException $"read: {t.Describe()}: {Native.error ()}")

            let result = read data (int t.Count)
            GC.KeepAlive t
            result

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
        let bytes = Array.zeroCreate<byte>(int (local.Count * int64 (Dtype.size local.Dtype)))

        if bytes.Length > 0 then
            let data = Native.fk_data (local.Pointer, 0)

            if data = 0n then
                raise (TensorException $"read: {t.Describe()}: {Native.error ()}")

            Marshal.Copy(data, bytes, 0, bytes.Length)
            GC.KeepAlive local

        bytes

    /// The inverse of `toBytes`. Raises TensorException where the bytes do not fill the shape.
    let ofBytes (dtype: Dtype) (shape: seq<int>) (bytes: ReadOnlySpan<byte>) =
        let sizes = sizes shape (int64 bytes.Length / int64 (Dtype.size dtype))
        use pointer = fixed bytes
        ofMemory dtype sizes (NativeInterop.NativePtr.toNativeInt pointer)

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

    let private dataOf (t: Tensor) =
        let data = Native.fk_data (t.Pointer, 0)

        if data = 0n then
            raise (TensorException $"read: {t.Describe()}: {Native.error ()}")

        data

    type Piece = delegate of Span<byte> -> unit
    let asStored = Piece(fun _ -> ())

    let private empty = Op("aten::empty", "memory_format")

    /// A CPU tensor whose bytes come from a stream, straight into its memory; `adjust` sees every piece of them on the
    /// way (pieces end between elements). Raises EndOfStreamException where the stream is too short.
    let ofStream (dtype: Dtype) (shape: int64[]) (stream: IO.Stream) (adjust: Piece) : Tensor =
        // A bool of libtorch is 0 or 1; a file's may be anything.
        let stored = if dtype = Dtype.Bool then Dtype.UInt8 else dtype

        let t = Door.one empty [| { Tag = 5; Bits = 0L; Ref = shape }; Arg.dtype stored |]

        if t.Count > 0L then
            pieces (dataOf t) (t.Count * int64 (Dtype.size stored)) (fun data length ->
                let piece = bytesAt data length
                stream.ReadExactly piece
                adjust.Invoke piece)

        GC.KeepAlive t
        t.To dtype

    /// The raw bytes of a tensor in row-major order, little-endian, straight from its memory where it is contiguous.
    let toStream (t: Tensor) (stream: IO.Stream) : unit =
        let local = Ops.unary Ops.contiguous (t.To Device.Cpu)

        if local.Count > 0L then
            pieces (dataOf local) (local.Count * int64 (Dtype.size local.Dtype)) (fun data length ->
                stream.Write(Span<byte>.op_Implicit(bytesAt data length): ReadOnlySpan<byte>))

        GC.KeepAlive local

    /// Runs `read` over the elements of a CPU tensor where they lie: address, how many elements the strides reach over, strides.
    let strided<'T, 'R when 'T: unmanaged> (t: Tensor) (read: nativeint -> nativeint -> nativeint[] -> 'R) : 'R =
        if t.Dtype <> dtypeOf<'T>() then
            raise (TensorException $"read: {t.Describe()} is not made of {typeof<'T>.Name}; convert it with .To")

        let local = t.To Device.Cpu
        let rank = local.Rank
        let layout = Array.zeroCreate<int64>(2 * rank + 1)
        use at = fixed layout
        let sizes = NativeInterop.NativePtr.toNativeInt at

        if Native.fk_shape (local.Pointer, sizes, sizes + nativeint (8 * rank)) < 0 then
            raise (TensorException(Native.error ()))

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

        let data = if local.Count = 0L then 0n else Native.fk_data (local.Pointer, 1)

        if data = 0n && local.Count > 0L then
            raise (TensorException $"read: {t.Describe()}: {Native.error ()}")

        let result = read data length strides
        GC.KeepAlive local
        result
