namespace Fokker

open System.ComponentModel
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.Arm
open System.Runtime.Intrinsics.X86

#nowarn "9" // loads and stores by address

/// Vectors of 512, 256 and 128 bits under the same names, so that a loop is written once. Every width gives the same bits: what is not here is
/// IEEE arithmetic, lane by lane, by F#'s own operators. What the processor has no instruction for is done by halves. Public because F# resolves
/// a member by the types of its arguments only where it is; for nobody's use but this library's.
/// <exclude />
[<Sealed; AbstractClass; EditorBrowsable(EditorBrowsableState.Never)>]
type Lanes =

    static member inline Spread(_: Vector128<'T>, x: 'T) : Vector128<'T> = Vector128.Create<'T> x
    static member inline Spread(_: Vector256<'T>, x: 'T) : Vector256<'T> = Vector256.Create<'T> x
    static member inline Spread(_: Vector512<'T>, x: 'T) : Vector512<'T> = Vector512.Create<'T> x

    static member inline Load(_: Vector128<'T>, at: nativeint) : Vector128<'T> =
        Vector128.Load(NativeInterop.NativePtr.ofNativeInt<'T> at)

    static member inline Load(_: Vector256<'T>, at: nativeint) : Vector256<'T> =
        Vector256.Load(NativeInterop.NativePtr.ofNativeInt<'T> at)

    static member inline Load(_: Vector512<'T>, at: nativeint) : Vector512<'T> =
        Vector512.Load(NativeInterop.NativePtr.ofNativeInt<'T> at)


    static member inline Store(v: Vector128<'T>, at: nativeint) : unit =
        Vector128.Store(v, NativeInterop.NativePtr.ofNativeInt<'T> at)

    static member inline Store(v: Vector256<'T>, at: nativeint) : unit =
        Vector256.Store(v, NativeInterop.NativePtr.ofNativeInt<'T> at)

    static member inline Store(v: Vector512<'T>, at: nativeint) : unit =
        Vector512.Store(v, NativeInterop.NativePtr.ofNativeInt<'T> at)


    static member inline UInt32s(v: Vector128<'T>) : Vector128<uint32> = Vector128.AsUInt32 v
    static member inline UInt32s(v: Vector256<'T>) : Vector256<uint32> = Vector256.AsUInt32 v
    static member inline UInt32s(v: Vector512<'T>) : Vector512<uint32> = Vector512.AsUInt32 v

    static member inline Int32s(v: Vector128<'T>) : Vector128<int> = Vector128.AsInt32 v
    static member inline Int32s(v: Vector256<'T>) : Vector256<int> = Vector256.AsInt32 v
    static member inline Int32s(v: Vector512<'T>) : Vector512<int> = Vector512.AsInt32 v

    static member inline UInt64s(v: Vector128<'T>) : Vector128<uint64> = Vector128.AsUInt64 v
    static member inline UInt64s(v: Vector256<'T>) : Vector256<uint64> = Vector256.AsUInt64 v
    static member inline UInt64s(v: Vector512<'T>) : Vector512<uint64> = Vector512.AsUInt64 v

    static member inline Singles(v: Vector128<'T>) : Vector128<float32> = Vector128.AsSingle v
    static member inline Singles(v: Vector256<'T>) : Vector256<float32> = Vector256.AsSingle v
    static member inline Singles(v: Vector512<'T>) : Vector512<float32> = Vector512.AsSingle v

    static member inline Doubles(v: Vector128<'T>) : Vector128<float> = Vector128.AsDouble v
    static member inline Doubles(v: Vector256<'T>) : Vector256<float> = Vector256.AsDouble v
    static member inline Doubles(v: Vector512<'T>) : Vector512<float> = Vector512.AsDouble v

    static member inline ToSingle(v: Vector128<int>) : Vector128<float32> = Vector128.ConvertToSingle v
    static member inline ToSingle(v: Vector256<int>) : Vector256<float32> = Vector256.ConvertToSingle v
    static member inline ToSingle(v: Vector512<int>) : Vector512<float32> = Vector512.ConvertToSingle v

    static member inline Root(v: Vector128<'T>) : Vector128<'T> = Vector128.Sqrt v
    static member inline Root(v: Vector256<'T>) : Vector256<'T> = Vector256.Sqrt v
    static member inline Root(v: Vector512<'T>) : Vector512<'T> = Vector512.Sqrt v

    // All bits of a lane where it holds, none where not.
    static member inline Same(a: Vector128<'T>, b: Vector128<'T>) : Vector128<'T> = Vector128.Equals(a, b)
    static member inline Same(a: Vector256<'T>, b: Vector256<'T>) : Vector256<'T> = Vector256.Equals(a, b)
    static member inline Same(a: Vector512<'T>, b: Vector512<'T>) : Vector512<'T> = Vector512.Equals(a, b)

    static member inline Less(a: Vector128<'T>, b: Vector128<'T>) : Vector128<'T> = Vector128.LessThan(a, b)
    static member inline Less(a: Vector256<'T>, b: Vector256<'T>) : Vector256<'T> = Vector256.LessThan(a, b)
    static member inline Less(a: Vector512<'T>, b: Vector512<'T>) : Vector512<'T> = Vector512.LessThan(a, b)

    static member inline Select(mask: Vector128<'T>, a: Vector128<'T>, b: Vector128<'T>) : Vector128<'T> =
        Vector128.ConditionalSelect(mask, a, b)

    static member inline Select(mask: Vector256<'T>, a: Vector256<'T>, b: Vector256<'T>) : Vector256<'T> =
        Vector256.ConditionalSelect(mask, a, b)

    static member inline Select(mask: Vector512<'T>, a: Vector512<'T>, b: Vector512<'T>) : Vector512<'T> =
        Vector512.ConditionalSelect(mask, a, b)


    // a·b + c, rounded once.
    static member inline Fused
        (a: Vector128<float32>, b: Vector128<float32>, c: Vector128<float32>)
        : Vector128<float32> =
        Vector128.FusedMultiplyAdd(a, b, c)

    static member inline Fused
        (a: Vector256<float32>, b: Vector256<float32>, c: Vector256<float32>)
        : Vector256<float32> =
        Vector256.FusedMultiplyAdd(a, b, c)

    static member inline Fused
        (a: Vector512<float32>, b: Vector512<float32>, c: Vector512<float32>)
        : Vector512<float32> =
        Vector512.FusedMultiplyAdd(a, b, c)


    static member inline Empty(v: Vector128<'T>) : bool = Vector128.EqualsAll(v, Vector128<'T>.Zero)
    static member inline Empty(v: Vector256<'T>) : bool = Vector256.EqualsAll(v, Vector256<'T>.Zero)
    static member inline Empty(v: Vector512<'T>) : bool = Vector512.EqualsAll(v, Vector512<'T>.Zero)

    static member inline Item(v: Vector128<'T>, k: int) : 'T = Vector128.GetElement(v, k)
    static member inline Item(v: Vector256<'T>, k: int) : 'T = Vector256.GetElement(v, k)
    static member inline Item(v: Vector512<'T>, k: int) : 'T = Vector512.GetElement(v, k)

    // The product of the low halves of 64-bit lanes.
    static member inline Product(a: Vector128<uint64>, b: Vector128<uint64>) : Vector128<uint64> =
        if Sse2.IsSupported then
            Sse2.Multiply(Vector128.AsUInt32 a, Vector128.AsUInt32 b)
        elif AdvSimd.Arm64.IsSupported then
            AdvSimd.MultiplyWideningLower(AdvSimd.ExtractNarrowingLower a, AdvSimd.ExtractNarrowingLower b)
        else
            (a &&& Vector128.Create 0xffffffffUL) * (b &&& Vector128.Create 0xffffffffUL)

    static member inline Product(a: Vector256<uint64>, b: Vector256<uint64>) : Vector256<uint64> =
        if Avx2.IsSupported then
            Avx2.Multiply(Vector256.AsUInt32 a, Vector256.AsUInt32 b)
        else
            Vector256.Create(
                Lanes.Product(Vector256.GetLower a, Vector256.GetLower b),
                Lanes.Product(Vector256.GetUpper a, Vector256.GetUpper b)
            )

    static member inline Product(a: Vector512<uint64>, b: Vector512<uint64>) : Vector512<uint64> =
        if Avx512F.IsSupported then
            Avx512F.Multiply(Vector512.AsUInt32 a, Vector512.AsUInt32 b)
        else
            Vector512.Create(
                Lanes.Product(Vector512.GetLower a, Vector512.GetLower b),
                Lanes.Product(Vector512.GetUpper a, Vector512.GetUpper b)
            )

    // Lanes of a and b in turn, from the low or the high half of every 128 bits.
    static member inline WeaveLow(a: Vector128<uint32>, b: Vector128<uint32>) : Vector128<uint32> =
        if Sse2.IsSupported then Sse2.UnpackLow(a, b)
        elif AdvSimd.Arm64.IsSupported then AdvSimd.Arm64.ZipLow(a, b)
        else Vector128.Create(a[0], b[0], a[1], b[1])

    static member inline WeaveLow(a: Vector256<uint32>, b: Vector256<uint32>) : Vector256<uint32> =
        if Avx2.IsSupported then
            Avx2.UnpackLow(a, b)
        else
            Vector256.Create(
                Lanes.WeaveLow(Vector256.GetLower a, Vector256.GetLower b),
                Lanes.WeaveLow(Vector256.GetUpper a, Vector256.GetUpper b)
            )

    static member inline WeaveLow(a: Vector512<uint32>, b: Vector512<uint32>) : Vector512<uint32> =
        if Avx512F.IsSupported then
            Avx512F.UnpackLow(a, b)
        else
            Vector512.Create(
                Lanes.WeaveLow(Vector512.GetLower a, Vector512.GetLower b),
                Lanes.WeaveLow(Vector512.GetUpper a, Vector512.GetUpper b)
            )

    static member inline WeaveHigh(a: Vector128<uint32>, b: Vector128<uint32>) : Vector128<uint32> =
        if Sse2.IsSupported then Sse2.UnpackHigh(a, b)
        elif AdvSimd.Arm64.IsSupported then AdvSimd.Arm64.ZipHigh(a, b)
        else Vector128.Create(a[2], b[2], a[3], b[3])

    static member inline WeaveHigh(a: Vector256<uint32>, b: Vector256<uint32>) : Vector256<uint32> =
        if Avx2.IsSupported then
            Avx2.UnpackHigh(a, b)
        else
            Vector256.Create(
                Lanes.WeaveHigh(Vector256.GetLower a, Vector256.GetLower b),
                Lanes.WeaveHigh(Vector256.GetUpper a, Vector256.GetUpper b)
            )

    static member inline WeaveHigh(a: Vector512<uint32>, b: Vector512<uint32>) : Vector512<uint32> =
        if Avx512F.IsSupported then
            Avx512F.UnpackHigh(a, b)
        else
            Vector512.Create(
                Lanes.WeaveHigh(Vector512.GetLower a, Vector512.GetLower b),
                Lanes.WeaveHigh(Vector512.GetUpper a, Vector512.GetUpper b)
            )

    static member inline WeaveLow(a: Vector128<uint64>, b: Vector128<uint64>) : Vector128<uint64> =
        if Sse2.IsSupported then Sse2.UnpackLow(a, b)
        elif AdvSimd.Arm64.IsSupported then AdvSimd.Arm64.ZipLow(a, b)
        else Vector128.Create(a[0], b[0])

    static member inline WeaveLow(a: Vector256<uint64>, b: Vector256<uint64>) : Vector256<uint64> =
        if Avx2.IsSupported then
            Avx2.UnpackLow(a, b)
        else
            Vector256.Create(
                Lanes.WeaveLow(Vector256.GetLower a, Vector256.GetLower b),
                Lanes.WeaveLow(Vector256.GetUpper a, Vector256.GetUpper b)
            )

    static member inline WeaveLow(a: Vector512<uint64>, b: Vector512<uint64>) : Vector512<uint64> =
        if Avx512F.IsSupported then
            Avx512F.UnpackLow(a, b)
        else
            Vector512.Create(
                Lanes.WeaveLow(Vector512.GetLower a, Vector512.GetLower b),
                Lanes.WeaveLow(Vector512.GetUpper a, Vector512.GetUpper b)
            )

    static member inline WeaveHigh(a: Vector128<uint64>, b: Vector128<uint64>) : Vector128<uint64> =
        if Sse2.IsSupported then Sse2.UnpackHigh(a, b)
        elif AdvSimd.Arm64.IsSupported then AdvSimd.Arm64.ZipHigh(a, b)
        else Vector128.Create(a[1], b[1])

    static member inline WeaveHigh(a: Vector256<uint64>, b: Vector256<uint64>) : Vector256<uint64> =
        if Avx2.IsSupported then
            Avx2.UnpackHigh(a, b)
        else
            Vector256.Create(
                Lanes.WeaveHigh(Vector256.GetLower a, Vector256.GetLower b),
                Lanes.WeaveHigh(Vector256.GetUpper a, Vector256.GetUpper b)
            )

    static member inline WeaveHigh(a: Vector512<uint64>, b: Vector512<uint64>) : Vector512<uint64> =
        if Avx512F.IsSupported then
            Avx512F.UnpackHigh(a, b)
        else
            Vector512.Create(
                Lanes.WeaveHigh(Vector512.GetLower a, Vector512.GetLower b),
                Lanes.WeaveHigh(Vector512.GetUpper a, Vector512.GetUpper b)
            )

/// The vectors of one width: of words of 64 and 32 bits, and of integers and numbers. Its value is nothing; F# reads its type.
/// <exclude />
[<Struct; NoComparison; NoEquality; EditorBrowsable(EditorBrowsableState.Never)>]
type Width<'W, 'U, 'I, 'F, 'D> = | Width

/// The operations of `Lanes` on a vector of any width.
module internal Lane =

    let inline spreadBy (_: ^l) (like: ^v) (x: ^x) : ^v = ((^l or ^v): (static member Spread: ^v * ^x -> ^v) (like, x))
    let inline spread like x = spreadBy Unchecked.defaultof<Lanes> like x

    let inline loadBy (_: ^l) (like: ^v) (at: nativeint) : ^v =
        ((^l or ^v): (static member Load: ^v * nativeint -> ^v) (like, at))
    let inline load like at = loadBy Unchecked.defaultof<Lanes> like at

    let inline storeBy (_: ^l) (v: ^v) (at: nativeint) : unit =
        ((^l or ^v): (static member Store: ^v * nativeint -> unit) (v, at))
    let inline store v at = storeBy Unchecked.defaultof<Lanes> v at

    let inline uint32sBy (_: ^l) (v: ^v) : ^r = ((^l or ^v): (static member UInt32s: ^v -> ^r) (v))
    let inline uint32s v = uint32sBy Unchecked.defaultof<Lanes> v

    let inline int32sBy (_: ^l) (v: ^v) : ^r = ((^l or ^v): (static member Int32s: ^v -> ^r) (v))
    let inline int32s v = int32sBy Unchecked.defaultof<Lanes> v

    let inline uint64sBy (_: ^l) (v: ^v) : ^r = ((^l or ^v): (static member UInt64s: ^v -> ^r) (v))
    let inline uint64s v = uint64sBy Unchecked.defaultof<Lanes> v

    let inline singlesBy (_: ^l) (v: ^v) : ^r = ((^l or ^v): (static member Singles: ^v -> ^r) (v))
    let inline singles v = singlesBy Unchecked.defaultof<Lanes> v

    let inline doublesBy (_: ^l) (v: ^v) : ^r = ((^l or ^v): (static member Doubles: ^v -> ^r) (v))
    let inline doubles v = doublesBy Unchecked.defaultof<Lanes> v

    let inline toSingleBy (_: ^l) (v: ^v) : ^r = ((^l or ^v): (static member ToSingle: ^v -> ^r) (v))
    let inline toSingle v = toSingleBy Unchecked.defaultof<Lanes> v

    let inline rootBy (_: ^l) (v: ^v) : ^v = ((^l or ^v): (static member Root: ^v -> ^v) (v))
    let inline root v = rootBy Unchecked.defaultof<Lanes> v

    let inline sameBy (_: ^l) (a: ^v) (b: ^v) : ^v = ((^l or ^v): (static member Same: ^v * ^v -> ^v) (a, b))
    let inline same a b = sameBy Unchecked.defaultof<Lanes> a b

    let inline lessBy (_: ^l) (a: ^v) (b: ^v) : ^v = ((^l or ^v): (static member Less: ^v * ^v -> ^v) (a, b))
    let inline less a b = lessBy Unchecked.defaultof<Lanes> a b

    let inline selectBy (_: ^l) (mask: ^v) (a: ^v) (b: ^v) : ^v =
        ((^l or ^v): (static member Select: ^v * ^v * ^v -> ^v) (mask, a, b))
    let inline select mask a b = selectBy Unchecked.defaultof<Lanes> mask a b

    let inline fusedBy (_: ^l) (a: ^v) (b: ^v) (c: ^v) : ^v =
        ((^l or ^v): (static member Fused: ^v * ^v * ^v -> ^v) (a, b, c))
    let inline fused a b c = fusedBy Unchecked.defaultof<Lanes> a b c

    let inline emptyBy (_: ^l) (v: ^v) : bool = ((^l or ^v): (static member Empty: ^v -> bool) (v))
    let inline empty v = emptyBy Unchecked.defaultof<Lanes> v

    let inline itemBy (_: ^l) (v: ^v) (k: int) : ^r = ((^l or ^v): (static member Item: ^v * int -> ^r) (v, k))
    let inline item v k = itemBy Unchecked.defaultof<Lanes> v k

    let inline productBy (_: ^l) (a: ^v) (b: ^v) : ^v = ((^l or ^v): (static member Product: ^v * ^v -> ^v) (a, b))
    let inline product a b = productBy Unchecked.defaultof<Lanes> a b

    let inline weaveLowBy (_: ^l) (a: ^v) (b: ^v) : ^v = ((^l or ^v): (static member WeaveLow: ^v * ^v -> ^v) (a, b))
    let inline weaveLow a b = weaveLowBy Unchecked.defaultof<Lanes> a b

    let inline weaveHighBy (_: ^l) (a: ^v) (b: ^v) : ^v = ((^l or ^v): (static member WeaveHigh: ^v * ^v -> ^v) (a, b))
    let inline weaveHigh a b = weaveHighBy Unchecked.defaultof<Lanes> a b
