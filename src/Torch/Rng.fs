namespace Fokker

open System
open System.Text

/// A random stream as a value. The same key gives the same numbers on every machine and device; a stream is never
/// advanced, it is split.
///
/// Draws are Philox4x32-10 blocks (Salmon et al., SC 2011) numbered by (row, block within the row): what sample i
/// draws depends on the key and on i only, so a batch can be cut or reordered and the draws stay bit-equal.
[<Struct>]
type Rng =
    internal
        { Key: uint64
          First: int64 }

    override r.ToString() = $"rng:%016x{r.Key}+{r.First}"

/// Splitting and drawing.
[<RequireQualifiedAccess>]
module Rng =

    // The domain word of the counter: draws use 0 (native/philox.cpp), key derivation 1, names 2.
    let private derivation = 1UL
    let private naming = 2UL

    let private normalOp = Op("fokker::normal", "")
    let private uniformOp = Op("fokker::uniform", "")
    let private bitsOp = Op("fokker::bits", "")
    let private integersOp = Op("fokker::integers", "")

    let private high, private low =
        let m0, m1 = 0xD2511F53UL, 0xCD9E8D57UL
        m0, m1

    /// One Philox4x32-10 block in managed code: counter (x₀ … x₃) under a 64-bit key. Splitting keys must not cost a native call.
    let block (key: uint64) (struct (x0: uint32, x1: uint32, x2: uint32, x3: uint32)) =
        let mutable a = x0
        let mutable b = x1
        let mutable c = x2
        let mutable d = x3
        let mutable k0 = uint32 key
        let mutable k1 = uint32 (key >>> 32)

        for _ in 1..10 do
            let p0 = high * uint64 a
            let p1 = low * uint64 c
            let a' = uint32 (p1 >>> 32) ^^^ b ^^^ k0
            let c' = uint32 (p0 >>> 32) ^^^ d ^^^ k1
            b <- uint32 p1
            d <- uint32 p0
            a <- a'
            c <- c'
            k0 <- k0 + 0x9E3779B9u
            k1 <- k1 + 0xBB67AE85u

        struct (a, b, c, d)

    let private derive domain (key: uint64) (number: uint64) =
        let struct (a, b, _, _) = block key (struct (uint32 number, uint32 domain, uint32 (number >>> 32), 0u))

        (uint64 b <<< 32) ||| uint64 a

    /// The stream of a seed.
    let ofSeed (seed: int64) : Rng = { Key = derive derivation 0x466F6B6B6572UL (uint64 seed); First = 0L }

    /// The key as eight bytes of hexadecimal, for checkpoints; `ofText` reads it back.
    let text (rng: Rng) = $"%016x{rng.Key}"

    let ofText (text: string) : Rng =
        match UInt64.TryParse(text, Globalization.NumberStyles.HexNumber, null) with
        | true, key -> { Key = key; First = 0L }
        | _ -> invalidArg (nameof text) $"'{text}' is not a key: expected 16 hexadecimal digits"

    /// The n-th stream derived from this one, for instance that of step n. Streams with different numbers are independent of each other and of this one.
    let at (n: int64) (rng: Rng) : Rng = { Key = derive derivation rng.Key (uint64 n); First = 0L }

    /// The stream of a name: one key for data, one for times, one for noise, so that adding a use does not shift the others.
    let named (name: string) (rng: Rng) : Rng =
        let mutable key = rng.Key

        for b in Encoding.UTF8.GetBytes name do
            key <- derive naming key (uint64 b)

        { Key = key; First = 0L }

    /// Two independent streams.
    let split (rng: Rng) : struct (Rng * Rng) = struct (at 0L rng, at 1L rng)

    /// The same stream with its rows numbered from `first`: `normal kind [10; d] (rows 5 r)` are rows 5 to 14 of r's draws.
    let rows (first: int64) (rng: Rng) : Rng = { rng with First = rng.First + first }

    let private draw op (extra: Arg[]) (kind: Kind) (shape: seq<int>) (rng: Rng) =
        let cpu =
            Door.one
                op
                [| yield Arg.int64 (int64 rng.Key)
                   yield Arg.int64 rng.First
                   yield! extra
                   yield Arg.ints shape
                   if kind.Dtype <> Dtype.Int64 then
                       yield Arg.dtype kind.Dtype |]

        cpu.To kind.Device

    /// Standard normals; the first dimension numbers the samples.
    let normal (kind: Kind) (shape: seq<int>) (rng: Rng) : Tensor = draw normalOp [||] kind shape rng

    /// Uniform on [0, 1).
    let uniform (kind: Kind) (shape: seq<int>) (rng: Rng) : Tensor = draw uniformOp [||] kind shape rng

    /// Standard normals in x's shape and kind.
    let normalLike (x: Tensor) (rng: Rng) = normal x.Kind x.Shape rng

    /// −1 or +1 with equal probability, in x's shape and kind.
    let rademacherLike (x: Tensor) (rng: Rng) =
        (uniform x.Kind x.Shape rng |> Tensor.atLeast 0.5).To(x.Dtype) * 2.0 - 1.0

    /// Integers in [0, bound), int64.
    let integers (bound: int64) (shape: seq<int>) (rng: Rng) : Tensor =
        if bound <= 0L then
            invalidArg (nameof bound) $"integers below {bound} do not exist"

        draw integersOp [| Arg.int64 bound |] Kind.Int64 shape rng

    /// A random order of 0 … n − 1, int64 [n].
    let permutation (n: int) (rng: Rng) : Tensor = Tensor.argsort 0 (draw bitsOp [||] Kind.Int64 [ n ] rng)

    /// One uniform on [0, 1) as a number, without a tensor.
    let number (rng: Rng) : float =
        let struct (a, b, _, _) = block rng.Key (struct (uint32 rng.First, 0u, 0u, 0u))
        float (((uint64 a <<< 32) ||| uint64 b) >>> 11) * (1.0 / 9007199254740992.0)
