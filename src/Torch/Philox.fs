namespace Fokker

open System.Runtime.CompilerServices
open System.Runtime.Intrinsics
open System.Threading.Tasks

#nowarn "9" // addresses: what is drawn goes straight into a tensor's memory

/// What is made of the words of a Philox block: four numbers of 32 bits, or two of 64.
type internal Draw =
    | NormalFloat32 = 0
    | UniformFloat32 = 1
    | NormalFloat64 = 2
    | UniformFloat64 = 3
    /// 64 random bits.
    | Bits = 4

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011): four random words as a
/// pure function of a 64-bit key and a 128-bit counter. The counter is (block, domain, row): what sample `row` draws depends on
/// nothing but the key and its own number, so a batch may be cut anywhere and in any order.
///
/// The maps from words to numbers are written out, branch-free and without fused multiply-adds, so that every processor and every
/// width of vector gives the same bits.
[<RequireQualifiedAccess>]
module internal Philox =

    [<Literal>]
    let private M0 = 0xD2511F53u

    [<Literal>]
    let private M1 = 0xCD9E8D57u

    [<Literal>]
    let private W0 = 0x9E3779B9u

    [<Literal>]
    let private W1 = 0xBB67AE85u

    /// One block by itself: counter (x₀ … x₃) under a 64-bit key.
    let block (key: uint64) (struct (x0: uint32, x1: uint32, x2: uint32, x3: uint32)) =
        let mutable a = x0
        let mutable b = x1
        let mutable c = x2
        let mutable d = x3
        let mutable k0 = uint32 key
        let mutable k1 = uint32 (key >>> 32)

        for _ in 1..10 do
            let p0 = uint64 M0 * uint64 a
            let p1 = uint64 M1 * uint64 c
            let a' = uint32 (p1 >>> 32) ^^^ b ^^^ k0
            let c' = uint32 (p0 >>> 32) ^^^ d ^^^ k1
            b <- uint32 p1
            d <- uint32 p0
            a <- a'
            c <- c'
            k0 <- k0 + W0
            k1 <- k1 + W1

        struct (a, b, c, d)

    // ---- words to numbers, lane by lane

    /// log u for u in (0, 1]: exponent and mantissa apart, log m = 2 atanh((m−1)/(m+1)) by its series.
    let inline private log32 (k: Width< ^w, ^u, ^i, ^f, ^d >) (x: ^f) : ^f =
        let inline c (number: float32) : ^f = Lane.spread x number
        // The mantissa into [√½, √2), so that the series is short.
        let bits: ^u = Lane.uint32s x
        let root: ^u = Lane.spread bits 0x3f3504f3u
        let shifted: ^u = bits - root
        let exponent: ^i = Lane.int32s shifted
        let e: ^f = Lane.toSingle (exponent >>> 23)
        let mantissa: ^u = (shifted &&& Lane.spread bits 0x007fffffu) + root
        let m: ^f = Lane.singles mantissa
        let s: ^f = (m - c 1.0f) / (m + c 1.0f)
        let z: ^f = s * s

        let series: ^f = z * (c 0.333333333f + z * (c 0.2f + z * (c 0.142857143f + z * c 0.111111111f)))
        // log 2 in two parts, the first short enough that e times it is exact.
        e * c 0.693145751953125f + (e * c 1.42860682e-6f + c 2.0f * (s + s * series))

    /// (cos, sin) of 2π·w/2³²: the top bits choose the quadrant, the polynomials see an angle x in [−π/4, π/4].
    let inline private turn32 (k: Width< ^w, ^u, ^i, ^f, ^d >) (w: ^u) : struct (^f * ^f) =
        let inline u (word: uint32) : ^u = Lane.spread w word
        let quadrant: ^u = (w + u 0x20000000u) >>> 30
        // In [−2²⁹, 2²⁹].
        let rest: ^i = Lane.int32s (w - (quadrant <<< 30))
        let rest: ^f = Lane.toSingle rest
        let inline c (number: float32) : ^f = Lane.spread rest number
        // π/2 · 2⁻³⁰ in two parts.
        let x: ^f = rest * c 1.46291808e-9f + rest * c -4.07094043e-17f
        let z: ^f = x * x

        let sx: ^f =
            x
            + x * z * (c -0.166666667f + z * (c 8.33333333e-3f + z * (c -1.98412698e-4f + z * c 2.75573192e-6f)))

        let half: ^f = c 0.5f * z
        let near: ^f = c 1.0f - half

        let cx: ^f =
            near
            + (((c 1.0f - near) - half)
               + z * z * (c 4.16666667e-2f + z * (c -1.38888889e-3f + z * c 2.48015873e-5f)))

        let odd: ^u = u 0u - (quadrant &&& u 1u)
        let odd: ^f = Lane.singles odd
        let negative: ^u = u 0x80000000u
        // Signs: the cosine's is minus in the second and third quadrant, the sine's in the third and fourth.
        let cosine: ^u = Lane.uint32s (Lane.select odd sx cx)
        let cosine: ^u = cosine ^^^ (((quadrant + u 1u) <<< 30) &&& negative)
        let sine: ^u = Lane.uint32s (Lane.select odd cx sx)
        let sine: ^u = sine ^^^ ((quadrant <<< 30) &&& negative)
        let cosine: ^f = Lane.singles cosine
        let sine: ^f = Lane.singles sine
        struct (cosine, sine)

    /// 24 bits as a number.
    let inline private cell (k: Width< ^w, ^u, ^i, ^f, ^d >) (w: ^u) : ^f =
        let high: ^i = Lane.int32s (w >>> 8)
        Lane.toSingle high

    /// Box and Muller (1958): two uniform words to two independent standard normals.
    let inline private normal32 (k: Width< ^w, ^u, ^i, ^f, ^d >) (w0: ^u) (w1: ^u) : struct (^f * ^f) =
        // 24 bits reach 5.8 standard deviations; the low byte extends the tail where u is in its first cell.
        let whole: ^f = cell k w0
        let inline c (number: float32) : ^f = Lane.spread whole number
        let inline u (word: uint32) : ^u = Lane.spread w0 word
        let coarse: ^f = (whole + c 0.5f) * c 5.9604644775390625e-8f // 2⁻²⁴
        let low: ^i = Lane.int32s (w0 &&& u 0xffu)
        let low: ^f = Lane.toSingle low
        let fine: ^f = (low + c 0.5f) * c 2.3283064365386963e-10f // 2⁻³²
        let first: ^u = Lane.same (w0 >>> 8) (u 0u)
        let first: ^f = Lane.singles first
        let log: ^f = log32 k (Lane.select first fine coarse)
        let r: ^f = Lane.root (c -2.0f * log)
        let struct (co, si) = turn32 k w1
        struct (r * co, r * si)

    /// The same in float64, where the series need more terms.
    let inline private log64 (k: Width< ^w, ^u, ^i, ^f, ^d >) (x: ^d) : ^d =
        let inline c (number: float) : ^d = Lane.spread x number
        let bits: ^w = Lane.uint64s x
        let inline b (word: uint64) : ^w = Lane.spread bits word
        let root: ^w = b 0x3fe6a09e667f3bcdUL // √½
        let shifted: ^w = bits - root
        // The exponent, from −1074 to 0, without the conversion of integers that AVX2 has not: 2⁵² + n as bits, less 2⁵².
        let exponent: ^w = ((shifted + b (1024UL <<< 52)) >>> 52) ||| b 0x4330000000000000UL
        let exponent: ^d = Lane.doubles exponent
        let e: ^d = exponent - c (4503599627370496.0 + 1024.0)
        let mantissa: ^w = (shifted &&& b 0x000fffffffffffffUL) + root
        let m: ^d = Lane.doubles mantissa
        let s: ^d = (m - c 1.0) / (m + c 1.0)
        let z: ^d = s * s
        let inline next (n: float) (series: ^d) : ^d = c (1.0 / n) + z * series

        let series: ^d =
            c (1.0 / 23.0)
            |> next 21.0
            |> next 19.0
            |> next 17.0
            |> next 15.0
            |> next 13.0
            |> next 11.0
            |> next 9.0
            |> next 7.0
            |> next 5.0
            |> next 3.0

        e * c 0.6931471804855391 + (e * c 7.44061711001239672e-11 + c 2.0 * (s + s * (z * series)))

    let inline private turn64 (k: Width< ^w, ^u, ^i, ^f, ^d >) (w: ^w) : struct (^d * ^d) =
        let inline u (word: uint64) : ^w = Lane.spread w word
        let shifted: ^w = w + u (1UL <<< 61)
        let quadrant: ^w = shifted >>> 62
        // The rest of the quadrant in 51 bits, moved to [−2⁵⁰, 2⁵⁰): units of 2⁻⁵³ of a turn.
        let rest: ^w = ((shifted &&& u 0x3fffffffffffffffUL) >>> 11) ||| u 0x4330000000000000UL
        let rest: ^d = Lane.doubles rest
        let inline c (number: float) : ^d = Lane.spread rest number
        let rest: ^d = rest - c (4503599627370496.0 + 1125899906842624.0)
        let x: ^d = rest * c 6.9757369960172635e-16 + rest * c 2.71926214689378204e-32
        let z: ^d = x * x
        let inline next (n: float) (p: ^d) : ^d = c n + z * p

        // 1/(2k)! and 1/(2k+1)! with alternating signs.
        let p: ^d =
            c (1.0 / 20922789888000.0)
            |> next (-1.0 / 87178291200.0)
            |> next (1.0 / 479001600.0)
            |> next (-1.0 / 3628800.0)
            |> next (1.0 / 40320.0)
            |> next (-1.0 / 720.0)
            |> next (1.0 / 24.0)

        let q: ^d =
            c (1.0 / 355687428096000.0)
            |> next (-1.0 / 1307674368000.0)
            |> next (1.0 / 6227020800.0)
            |> next (-1.0 / 39916800.0)
            |> next (1.0 / 362880.0)
            |> next (-1.0 / 5040.0)
            |> next (1.0 / 120.0)
            |> next (-1.0 / 6.0)

        let sx: ^d = x + x * z * q
        let half: ^d = c 0.5 * z
        let near: ^d = c 1.0 - half
        let cx: ^d = near + (((c 1.0 - near) - half) + z * z * p)
        let odd: ^w = u 0UL - (quadrant &&& u 1UL)
        let odd: ^d = Lane.doubles odd
        let negative: ^w = u 0x8000000000000000UL
        let cosine: ^w = Lane.uint64s (Lane.select odd sx cx)
        let cosine: ^w = cosine ^^^ (((quadrant + u 1UL) <<< 62) &&& negative)
        let sine: ^w = Lane.uint64s (Lane.select odd cx sx)
        let sine: ^w = sine ^^^ ((quadrant <<< 62) &&& negative)
        let cosine: ^d = Lane.doubles cosine
        let sine: ^d = Lane.doubles sine
        struct (cosine, sine)

    /// 52 bits on [0, 1).
    let inline private unit64 (k: Width< ^w, ^u, ^i, ^f, ^d >) (w: ^w) : ^d =
        let one: ^w = (w >>> 12) ||| Lane.spread w 0x3ff0000000000000UL
        let one: ^d = Lane.doubles one
        one - Lane.spread one 1.0

    let inline private normal64 (k: Width< ^w, ^u, ^i, ^f, ^d >) (w0: ^w) (w1: ^w) : struct (^d * ^d) =
        let u: ^d = unit64 k w0
        let inline c (number: float) : ^d = Lane.spread u number
        let log: ^d = log64 k (u + c 1.1102230246251565e-16) // 2⁻⁵³
        let r: ^d = Lane.root (c -2.0 * log)
        let struct (co, si) = turn64 k w1
        struct (r * co, r * si)

    // ---- blocks side by side
    //
    // A group is as many blocks as a vector has lanes of 32 bits. Its words stand in the low halves of lanes of 64 bits, two vectors (even and odd
    // lanes) for each word: there the product of two words needs no masks, and what is left above it disturbs nobody.

    /// The ten rounds. A word's upper half comes out as anything.
    let inline private rounds
        (key: uint64)
        (a0: ^w)
        (a1: ^w)
        (b0: ^w)
        (b1: ^w)
        (c0: ^w)
        (c1: ^w)
        (d0: ^w)
        (d1: ^w)
        ([<InlineIfLambda>] next: ^w -> ^w -> ^w -> ^w -> ^w -> ^w -> ^w -> ^w -> unit)
        : unit =
        let m0 = Lane.spread a0 (uint64 M0)
        let m1 = Lane.spread a0 (uint64 M1)
        let w0 = Lane.spread a0 (uint64 W0)
        let w1 = Lane.spread a0 (uint64 W1)
        let mutable k0 = Lane.spread a0 (key &&& 0xffffffffUL)
        let mutable k1 = Lane.spread a0 (key >>> 32)
        let mutable a = a0
        let mutable a' = a1
        let mutable b = b0
        let mutable b' = b1
        let mutable c = c0
        let mutable c' = c1
        let mutable d = d0
        let mutable d' = d1

        for _ in 1..10 do
            let p0 = Lane.product a m0
            let p1 = Lane.product c m1
            let q0 = Lane.product a' m0
            let q1 = Lane.product c' m1
            a <- (p1 >>> 32) ^^^ b ^^^ k0
            a' <- (q1 >>> 32) ^^^ b' ^^^ k0
            c <- (p0 >>> 32) ^^^ d ^^^ k1
            c' <- (q0 >>> 32) ^^^ d' ^^^ k1
            b <- p1
            b' <- q1
            d <- p0
            d' <- q0
            k0 <- k0 + w0
            k1 <- k1 + w1

        next a a' b b' c c' d d'

    /// The words of even and odd lanes as one vector of 32-bit lanes.
    let inline private packed (k: Width< ^w, ^u, ^i, ^f, ^d >) (even: ^w) (odd: ^w) : ^u =
        let both: ^w = (even &&& Lane.spread even 0xffffffffUL) ||| (odd <<< 32)
        Lane.uint32s both

    /// (w₀, w₁) as 64 bits.
    let inline private wide (w0: ^w) (w1: ^w) : ^w = (w0 <<< 32) ||| (w1 &&& Lane.spread w0 0xffffffffUL)

    /// Which block of its group each lane of the even vector, then of the odd, computes, so that the numbers of a block end up side by side and
    /// the blocks in order without a number crossing from one 128 bits of a vector to another; then the other way round: each block's lane.
    let private order (lanes: int) (place: int -> int) : uint64[] =
        let blocks =
            [| for odd in 0..1 do
                   for i in 0 .. lanes / 2 - 1 -> place (2 * i + odd) |]

        [| for block in blocks -> uint64 block
           for block in 0 .. lanes - 1 -> uint64 (System.Array.IndexOf(blocks, block)) |]

    /// For blocks of which all 128 bits are used, and for those of which the first 64 are.
    let private whole = [| for lanes in [ 4; 8; 16 ] -> order lanes (fun j -> lanes / 4 * (j % 4) + j / 4) |]
    let private halved =
        [| for lanes in [ 4; 8; 16 ] -> order lanes (fun j -> lanes / 2 * (j / 2 % 2) + 2 * (j / 4) + j % 2) |]

    /// What a kernel fills: the blocks from `Start` to before `Stop` of [rows; width], numbered row after row.
    [<Struct; NoComparison; NoEquality>]
    type private Job =
        {
            Data: nativeint
            Width: int64
            Key: uint64
            First: int64
            Start: int64
            Stop: int64
            /// `order`'s numbers, and room for a group's counters or numbers.
            Order: nativeint
            Scratch: nativeint
        }

    let inline private write (at: nativeint) (x: 'T) =
        NativeInterop.NativePtr.write (NativeInterop.NativePtr.ofNativeInt<'T> at) x

    let inline private read (at: nativeint) : 'T =
        NativeInterop.NativePtr.read (NativeInterop.NativePtr.ofNativeInt<'T> at)

    /// From the scratch memory to where rows are not whole blocks. `position` is where the first block begins, in bytes.
    let private scatter (job: inref<Job>) (size: int64) (blocks: int64) (position: int64) (block: int64) (count: int) =
        let rowBytes = job.Width * size
        let mutable position = position
        let mutable block = block
        // 16 bytes at once, also where fewer belong to the row, as long as what lies behind them is still to be written.
        let stop = job.Start + int64 count
        let stop = stop / blocks * rowBytes + stop % blocks * 16L

        for i in 0 .. count - 1 do
            let from = job.Scratch + nativeint (16 * i)
            let target = job.Data + nativeint position
            let length = min 16L (rowBytes - 16L * block)

            if position + 16L <= stop then
                Vector128.Store(
                    Vector128.Load(NativeInterop.NativePtr.ofNativeInt<byte> from),
                    NativeInterop.NativePtr.ofNativeInt<byte> target
                )
            else
                let mutable k = 0n

                while k < nativeint length do
                    write (target + k) (read (from + k): uint32)
                    k <- k + 4n

            position <- position + length
            block <- if block = blocks - 1L then 0L else block + 1L

    /// `map` makes four vectors of numbers of `size` bytes from the words of a group.
    let inline private groups
        (like: ^w)
        (lanes: int)
        (size: int64)
        (job: inref<Job>)
        ([<InlineIfLambda>] map: ^w -> ^w -> ^w -> ^w -> ^w -> ^w -> ^w -> ^w -> struct (^w * ^w * ^w * ^w))
        : unit =
        let per = 16L / size
        let blocks = (job.Width + per - 1L) / per
        let rowBytes = job.Width * size
        let bytes = nativeint (4 * lanes)
        let even = Lane.load like job.Order
        let odd = Lane.load like (job.Order + bytes)
        let inline spread (x: int64) = Lane.spread like (uint64 x)
        let zero = spread 0L
        let mutable at = job.Start

        while at < job.Stop do
            let struct (row, block) = if blocks = 1L then struct (at, 0L) else struct (at / blocks, at % blocks)
            let mutable c0 = zero
            let mutable c0' = zero
            let mutable r = spread (job.First + row)
            let mutable r' = r
            let inside = block + int64 lanes <= blocks

            if blocks = 1L then
                r' <- r + odd
                r <- r + even
            elif inside then
                c0 <- spread block + even
                c0' <- spread block + odd
            else
                // The group goes over the end of a row.
                let mutable ownRow = job.First + row
                let mutable own = block

                for j in 0 .. lanes - 1 do
                    let lane = 8n * nativeint (read (job.Order + 2n * bytes + nativeint (8 * j)): uint64)
                    write (job.Scratch + lane) (uint64 own)
                    write (job.Scratch + 2n * bytes + lane) (uint64 ownRow)
                    own <- own + 1L

                    if own = blocks then
                        own <- 0L
                        ownRow <- ownRow + 1L

                c0 <- Lane.load like job.Scratch
                c0' <- Lane.load like (job.Scratch + bytes)
                r <- Lane.load like (job.Scratch + 2n * bytes)
                r' <- Lane.load like (job.Scratch + 3n * bytes)

            let count = int (min (int64 lanes) (job.Stop - at))
            let position = row * rowBytes + block * 16L
            let straight = count = lanes && (rowBytes % 16L = 0L || (block + int64 lanes) * 16L <= rowBytes)
            let target = if straight then job.Data + nativeint position else job.Scratch

            rounds job.Key c0 c0' zero zero r r' (r >>> 32) (r' >>> 32) (fun a a' b b' c c' d d' ->
                let struct (v0, v1, v2, v3) = map a a' b b' c c' d d'
                Lane.store v0 target
                Lane.store v1 (target + bytes)
                Lane.store v2 (target + 2n * bytes)
                Lane.store v3 (target + 3n * bytes))

            if not straight then
                let piece = { job with Start = at }
                scatter &piece size blocks position block count

            at <- at + int64 lanes

    /// Four planes of 32-bit numbers, woven to blocks.
    let inline private woven
        (k: Width< ^w, ^u, ^i, ^f, ^d >)
        (a: ^u)
        (b: ^u)
        (c: ^u)
        (d: ^u)
        : struct (^w * ^w * ^w * ^w) =
        let ab: ^w = Lane.uint64s (Lane.weaveLow a b)
        let ab': ^w = Lane.uint64s (Lane.weaveHigh a b)
        let cd: ^w = Lane.uint64s (Lane.weaveLow c d)
        let cd': ^w = Lane.uint64s (Lane.weaveHigh c d)
        struct (Lane.weaveLow ab cd, Lane.weaveHigh ab cd, Lane.weaveLow ab' cd', Lane.weaveHigh ab' cd')

    /// Two planes of 64-bit numbers, of the even and of the odd lanes.
    let inline private woven64
        (k: Width< ^w, ^u, ^i, ^f, ^d >)
        (a: ^w)
        (a': ^w)
        (b: ^w)
        (b': ^w)
        : struct (^w * ^w * ^w * ^w) =
        struct (Lane.weaveLow a b, Lane.weaveLow a' b', Lane.weaveHigh a b, Lane.weaveHigh a' b')

    let inline private normals32 (k: Width< ^w, ^u, ^i, ^f, ^d >) (like: ^w) (lanes: int) (job: inref<Job>) : unit =
        groups like lanes 4L &job (fun a a' b b' c c' d d' ->
            let w0: ^u = packed k a a'
            let w1: ^u = packed k b b'
            let w2: ^u = packed k c c'
            let w3: ^u = packed k d d'
            let struct (n0, n1) = normal32 k w0 w1
            let struct (n2, n3) = normal32 k w2 w3
            woven k (Lane.uint32s n0) (Lane.uint32s n1) (Lane.uint32s n2) (Lane.uint32s n3))

    let inline private uniforms32 (k: Width< ^w, ^u, ^i, ^f, ^d >) (like: ^w) (lanes: int) (job: inref<Job>) : unit =
        groups like lanes 4L &job (fun a a' b b' c c' d d' ->
            let inline uniform (w: ^w) (w': ^w) : ^u =
                let word: ^u = packed k w w'
                let x: ^f = cell k word
                Lane.uint32s (x * Lane.spread x 5.9604644775390625e-8f) // 2⁻²⁴

            woven k (uniform a a') (uniform b b') (uniform c c') (uniform d d'))

    let inline private normals64 (k: Width< ^w, ^u, ^i, ^f, ^d >) (like: ^w) (lanes: int) (job: inref<Job>) : unit =
        groups like lanes 8L &job (fun a a' b b' c c' d d' ->
            let struct (n0, n1) = normal64 k (wide a b) (wide c d)
            let struct (n0', n1') = normal64 k (wide a' b') (wide c' d')
            woven64 k (Lane.uint64s n0) (Lane.uint64s n0') (Lane.uint64s n1) (Lane.uint64s n1'))

    let inline private uniforms64 (k: Width< ^w, ^u, ^i, ^f, ^d >) (like: ^w) (lanes: int) (job: inref<Job>) : unit =
        groups like lanes 8L &job (fun a a' b b' c c' d d' ->
            let inline uniform (w: ^w) : ^w =
                let x: ^d = unit64 k w
                Lane.uint64s x

            woven64 k (uniform (wide a b)) (uniform (wide a' b')) (uniform (wide c d)) (uniform (wide c' d')))

    let inline private bits (k: Width< ^w, ^u, ^i, ^f, ^d >) (like: ^w) (lanes: int) (job: inref<Job>) : unit =
        groups like lanes 8L &job (fun a a' b b' c c' d d' -> woven64 k (wide a b) (wide a' b') (wide c d) (wide c' d'))

    /// Rows of one or two float32 normals take half a block.
    let inline private pairs32 (k: Width< ^w, ^u, ^i, ^f, ^d >) (like: ^w) (lanes: int) (job: inref<Job>) : unit =
        let bytes = nativeint (4 * lanes)
        let even = Lane.load like job.Order
        let odd = Lane.load like (job.Order + bytes)
        let zero = Lane.spread like 0UL
        let mutable at = job.Start

        while at < job.Stop do
            let row = Lane.spread like (uint64 (job.First + at))
            let r: ^w = row + even
            let r': ^w = row + odd
            let count = int (min (int64 lanes) (job.Stop - at))
            let straight = count = lanes && job.Width = 2L
            let target = if straight then job.Data + nativeint (8L * at) else job.Scratch

            rounds job.Key zero zero zero zero r r' (r >>> 32) (r' >>> 32) (fun a a' b b' _ _ _ _ ->
                let w0: ^u = packed k a a'
                let w1: ^u = packed k b b'
                let struct (n0, n1) = normal32 k w0 w1
                let n0: ^u = Lane.uint32s n0
                let n1: ^u = Lane.uint32s n1
                Lane.store (Lane.weaveLow n0 n1) target
                Lane.store (Lane.weaveHigh n0 n1) (target + bytes))

            if not straight then
                let width = int job.Width

                for i in 0 .. count - 1 do
                    for k in 0 .. width - 1 do
                        write
                            (job.Data + nativeint (4L * (job.Width * (at + int64 i) + int64 k)))
                            (read (job.Scratch + nativeint (4 * (2 * i + k))): uint32)

            at <- at + int64 lanes

    // One method for each width of vector and each kind of number: the loops above are compiled into them, optimized from the first call on.

    let private width128
        : Width<Vector128<uint64>, Vector128<uint32>, Vector128<int>, Vector128<float32>, Vector128<float>> =
        Width
    let private width256
        : Width<Vector256<uint64>, Vector256<uint32>, Vector256<int>, Vector256<float32>, Vector256<float>> =
        Width
    let private width512
        : Width<Vector512<uint64>, Vector512<uint32>, Vector512<int>, Vector512<float32>, Vector512<float>> =
        Width

    type private Kernels =

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Normals32In128(job: inref<Job>) = normals32 width128 Vector128<uint64>.Zero 4 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Pairs32In128(job: inref<Job>) = pairs32 width128 Vector128<uint64>.Zero 4 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Uniforms32In128(job: inref<Job>) = uniforms32 width128 Vector128<uint64>.Zero 4 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Normals64In128(job: inref<Job>) = normals64 width128 Vector128<uint64>.Zero 4 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Uniforms64In128(job: inref<Job>) = uniforms64 width128 Vector128<uint64>.Zero 4 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member BitsIn128(job: inref<Job>) = bits width128 Vector128<uint64>.Zero 4 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Normals32In256(job: inref<Job>) = normals32 width256 Vector256<uint64>.Zero 8 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Pairs32In256(job: inref<Job>) = pairs32 width256 Vector256<uint64>.Zero 8 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Uniforms32In256(job: inref<Job>) = uniforms32 width256 Vector256<uint64>.Zero 8 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Normals64In256(job: inref<Job>) = normals64 width256 Vector256<uint64>.Zero 8 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Uniforms64In256(job: inref<Job>) = uniforms64 width256 Vector256<uint64>.Zero 8 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member BitsIn256(job: inref<Job>) = bits width256 Vector256<uint64>.Zero 8 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Normals32In512(job: inref<Job>) = normals32 width512 Vector512<uint64>.Zero 16 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Pairs32In512(job: inref<Job>) = pairs32 width512 Vector512<uint64>.Zero 16 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Uniforms32In512(job: inref<Job>) = uniforms32 width512 Vector512<uint64>.Zero 16 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Normals64In512(job: inref<Job>) = normals64 width512 Vector512<uint64>.Zero 16 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Uniforms64In512(job: inref<Job>) = uniforms64 width512 Vector512<uint64>.Zero 16 &job

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member BitsIn512(job: inref<Job>) = bits width512 Vector512<uint64>.Zero 16 &job

    let private kernel (vector: int) (draw: Draw) (job: inref<Job>) =
        let half = draw = Draw.NormalFloat32 && job.Width <= 2L

        match vector with
        | 128 ->
            match draw with
            | Draw.NormalFloat32 when half -> Kernels.Pairs32In128 &job
            | Draw.NormalFloat32 -> Kernels.Normals32In128 &job
            | Draw.UniformFloat32 -> Kernels.Uniforms32In128 &job
            | Draw.NormalFloat64 -> Kernels.Normals64In128 &job
            | Draw.UniformFloat64 -> Kernels.Uniforms64In128 &job
            | _ -> Kernels.BitsIn128 &job
        | 256 ->
            match draw with
            | Draw.NormalFloat32 when half -> Kernels.Pairs32In256 &job
            | Draw.NormalFloat32 -> Kernels.Normals32In256 &job
            | Draw.UniformFloat32 -> Kernels.Uniforms32In256 &job
            | Draw.NormalFloat64 -> Kernels.Normals64In256 &job
            | Draw.UniformFloat64 -> Kernels.Uniforms64In256 &job
            | _ -> Kernels.BitsIn256 &job
        | _ ->
            match draw with
            | Draw.NormalFloat32 when half -> Kernels.Pairs32In512 &job
            | Draw.NormalFloat32 -> Kernels.Normals32In512 &job
            | Draw.UniformFloat32 -> Kernels.Uniforms32In512 &job
            | Draw.NormalFloat64 -> Kernels.Normals64In512 &job
            | Draw.UniformFloat64 -> Kernels.Uniforms64In512 &job
            | _ -> Kernels.BitsIn512 &job

    /// The widest vectors that the processor has.
    let widest =
        if Vector512.IsHardwareAccelerated then 512
        elif Vector256.IsHardwareAccelerated then 256
        else 128

    /// Blocks that are one thread's task: a multiple of every group, so that where tasks meet depends on nothing.
    [<Literal>]
    let private Task = 8192L

    /// Fills [rows; width] at `data` with `draw`; the rows are numbered from `first`. With vectors of `vector` bits on at most `threads` threads:
    /// the numbers are the same whatever these are.
    let fillBy
        (vector: int)
        (threads: int)
        (draw: Draw)
        (key: uint64)
        (first: int64)
        (rows: int64)
        (width: int64)
        (data: nativeint)
        =
        let per = if draw = Draw.NormalFloat32 || draw = Draw.UniformFloat32 then 4L else 2L
        let total = rows * ((width + per - 1L) / per)
        let orders = if draw = Draw.NormalFloat32 && width <= 2L then halved else whole
        let order =
            orders[if vector = 512 then 2
                   elif vector = 256 then 1
                   else 0]
        use order = fixed order
        let order = NativeInterop.NativePtr.toNativeInt order

        let run (start: int64) =
            let scratch = NativeInterop.NativePtr.stackalloc<uint64> 32

            let job =
                { Data = data
                  Width = width
                  Key = key
                  First = first
                  Start = start
                  Stop = min total (start + Task)
                  Order = order
                  Scratch = NativeInterop.NativePtr.toNativeInt scratch }

            kernel vector draw &job

        let tasks = (total + Task - 1L) / Task

        if tasks = 1L then
            run 0L
        elif tasks > 1L then
            if threads = 1 then
                for k in 0L .. tasks - 1L do
                    run (k * Task)
            else
                Parallel.For(0L, tasks, ParallelOptions(MaxDegreeOfParallelism = threads), (fun k -> run (k * Task)))
                |> ignore

    /// `fillBy` the widest vectors of the processor.
    let fill threads draw key first rows width data = fillBy widest threads draw key first rows width data

    /// Makes of `count` times 64 random bits at `data` integers in [0, bound): the high word of bits · bound (Lemire 2019, without
    /// rejection: the bias is below bound / 2⁶⁴).
    let below (bound: uint64) (count: int64) (data: nativeint) : unit =
        let mutable at = data
        let stop = data + 8n * nativeint count
        let mutable low = 0UL

        while at < stop do
            let bits: uint64 = read at
            write at (System.Math.BigMul(bits, bound, &low))
            at <- at + 8n
