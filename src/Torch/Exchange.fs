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
        ofMemory (dtypeOf<'T> ()) sizes (NativeInterop.NativePtr.toNativeInt pointer)

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type private Release = delegate of nativeint -> unit

    // One delegate for all loans, alive as long as the process.
    let private release =
        Release(fun context -> (GCHandle.FromIntPtr context).Free())

    let private releasePointer = Marshal.GetFunctionPointerForDelegate release

    /// A CPU tensor over the array's own memory, which stays pinned until the tensor is freed. Writing to the array writes to the tensor.
    let lend<'T when 'T: unmanaged> (shape: seq<int>) (data: 'T[]) =
        Native.ensure ()
        let shape = sizes shape (int64 data.Length)
        let handle = GCHandle.Alloc(data, GCHandleType.Pinned)
        let mutable value = Unchecked.defaultof<NativeValue>
        use sizes = fixed shape

        let rc =
            Native.fk_wrap (
                handle.AddrOfPinnedObject(),
                int (dtypeOf<'T> ()),
                NativeInterop.NativePtr.toNativeInt sizes,
                shape.Length,
                releasePointer,
                GCHandle.ToIntPtr handle,
                &value
            )

        if rc < 0 then
            handle.Free()

        filled rc value

    /// Runs `read` over the elements of a contiguous CPU tensor where they lie.
    let inPlace<'T, 'R when 'T: unmanaged> (t: Tensor) (read: nativeint -> int -> 'R) : 'R =
        if t.Dtype <> dtypeOf<'T> () then
            raise (TensorException $"read: {t.Describe()} is not made of {typeof<'T>.Name}; convert it with .To")

        if t.Count > int64 Int32.MaxValue then
            raise (TensorException $"read: {t.Describe()} has more elements than a span can hold")

        if t.Count = 0L then
            read 0n 0
        else
            let data = Native.fk_data t.Pointer

            if data = 0n then
                raise (TensorException $"read: {t.Describe()}: {Native.error ()}")

            let result = read data (int t.Count)
            GC.KeepAlive t
            result

    let toArray<'T when 'T: unmanaged> (t: Tensor) : 'T[] =
        let local = Ops.unary Ops.contiguous (t.To Device.Cpu)

        inPlace<'T, _> local (fun data length ->
            Span<'T>(NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<'T> data), length).ToArray())

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
        let bytes = Array.zeroCreate<byte> (int (local.Count * int64 (Dtype.size local.Dtype)))

        if bytes.Length > 0 then
            let data = Native.fk_data local.Pointer

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
