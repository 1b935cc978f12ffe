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
        {
            Key: uint64
            First: int64
            /// Where what is drawn is a share of a batch: how many rows it has, and how many the whole has; zeros elsewhere.
            Own: int
            Whole: int
        }

    override r.ToString() = $"rng:%016x{r.Key}+{r.First}"

/// Splitting and drawing.
[<RequireQualifiedAccess>]
module Rng =

    // The domain word of the counter keeps uses apart: draws are 0 (Philox.fs).
    [<Literal>]
    let private Numbering = 1u

    [<Literal>]
    let private Naming = 2u

    [<Literal>]
    let private NameEnd = 3u

    [<Literal>]
    let private Splitting = 4u

    /// One Philox4x32-10 block: counter (x₀ … x₃) under a 64-bit key.
    let block (key: uint64) (counter: struct (uint32 * uint32 * uint32 * uint32)) = Philox.block key counter

    let private derive (domain: uint32) (key: uint64) (number: uint64) =
        let struct (a, b, _, _) = Philox.block key (struct (uint32 number, domain, uint32 (number >>> 32), 0u))

        (uint64 b <<< 32) ||| uint64 a

    /// The stream of a seed.
    let ofSeed (seed: int64) : Rng =
        { Key = derive Numbering 0x466F6B6B6572UL (uint64 seed); First = 0L; Own = 0; Whole = 0 }

    /// The key as 16 hexadecimal digits, for checkpoints; `ofText` reads it back.
    let text (rng: Rng) = $"%016x{rng.Key}"

    let ofText (text: string) : Rng =
        match UInt64.TryParse(text, Globalization.NumberStyles.AllowHexSpecifier, null) with
        | true, key when text.Length = 16 -> { Key = key; First = 0L; Own = 0; Whole = 0 }
        | _ -> invalidArg (nameof text) $"'{text}' is not a key: expected 16 hexadecimal digits"

    /// The n-th stream derived from this one, for instance that of step n. Streams with different numbers are independent
    /// of each other and of this one; their rows are numbered as this one's.
    let at (n: int64) (rng: Rng) : Rng = { rng with Key = derive Numbering rng.Key (uint64 n) }

    /// The stream of a name: one key for data, one for times, one for noise, so that adding a use does not shift the others.
    let named (name: string) (rng: Rng) : Rng =
        let mutable key = rng.Key

        for b in Encoding.UTF8.GetBytes name do
            key <- derive Naming key (uint64 b)

        // The end of a name counts, so that the stream "b" of the stream "a" is not the stream "ab".
        { rng with Key = derive NameEnd key 0UL }

    /// Two independent streams.
    let split (rng: Rng) : struct (Rng * Rng) =
        struct ({ rng with Key = derive Splitting rng.Key 0UL }, { rng with Key = derive Splitting rng.Key 1UL })

    /// The same stream with its rows numbered from `first`: `normal kind [10; d] (rows 5 r)` are rows 5 to 14 of r's
    /// draws, and so it is for every stream derived from it: a batch cut into pieces draws what the whole would.
    let rows (first: int64) (rng: Rng) : Rng = { rng with First = rng.First + first }

    /// The stream of rows first … first + own − 1 of a batch of `whole` rows: what they draw is what they would draw in the whole batch, `strata` included.
    let share (first: int) (own: int) (whole: int) (rng: Rng) : Rng =
        if first < 0 || own < 1 || first + own > whole then
            invalidArg (nameof own) $"rows {first} to {first + own - 1} of {whole}: there are no such rows"

        { rng with First = rng.First + int64 first; Own = own; Whole = whole }

    let private fill (draw: Draw) (dtype: Dtype) (shape: seq<int>) (rng: Rng) : Tensor =
        let sizes = [| for n in shape -> int64 n |]
        let t = Exchange.empty dtype sizes

        if t.Count > 0L then
            let rows = if sizes.Length = 0 then 1L else sizes[0]
            let width = t.Count / rows

            // A row's blocks are numbered in 32 bits, two or more numbers to a block.
            if width > (1L <<< 33) then
                raise (TensorException $"a row of {width} draws: there are at most 2^33")

            Exchange.whereItLies t (Philox.fill (Torch.threads ()) draw rng.Key rng.First rows width)

        t

    let private floats (name: string) (double: Draw) (single: Draw) (kind: Kind) (shape: seq<int>) (rng: Rng) : Tensor =
        if not (Dtype.isFloating kind.Dtype) then
            raise (TensorException $"{name}: draws of {Dtype.name kind.Dtype}: a floating element type is needed")

        if kind.Dtype = Dtype.Float64 then
            (fill double Dtype.Float64 shape rng).To kind.Device
        else
            (fill single Dtype.Float32 shape rng).To(kind.Dtype).To kind.Device

    /// Standard normals; the first dimension numbers the samples.
    let normal (kind: Kind) (shape: seq<int>) (rng: Rng) : Tensor =
        floats "normal" Draw.NormalFloat64 Draw.NormalFloat32 kind shape rng

    /// Uniform on [0, 1): multiples of 2⁻²⁴, or of 2⁻⁵² in float64. In float16 and bfloat16 they are rounded, and may be 1.
    let uniform (kind: Kind) (shape: seq<int>) (rng: Rng) : Tensor =
        floats "uniform" Draw.UniformFloat64 Draw.UniformFloat32 kind shape rng

    /// Standard normals in x's shape and kind.
    let normalLike (x: Tensor) (rng: Rng) = normal x.Kind x.Shape rng

    /// −1 or +1 with equal probability, in x's shape and kind.
    let rademacherLike (x: Tensor) (rng: Rng) =
        (uniform x.Kind x.Shape rng |> Tensor.atLeast 0.5).To(x.Dtype) * 2.0 - 1.0

    /// Integers in [0, bound), int64.
    let integers (bound: int64) (shape: seq<int>) (rng: Rng) : Tensor =
        if bound <= 0L then
            invalidArg (nameof bound) $"integers below {bound} do not exist"

        let t = fill Draw.Bits Dtype.Int64 shape rng

        if t.Count > 0L then
            Exchange.whereItLies t (Philox.below (uint64 bound) t.Count)

        t

    /// A random order of 0 … n − 1, int64 [n].
    let permutation (n: int) (rng: Rng) : Tensor = Tensor.argsort 0 (fill Draw.Bits Dtype.Int64 [ n ] rng)

    /// One draw in each of n equal cells of [0, 1], dealt at random, float64 [n]: the same expectation as independent draws with less variance. The cells are those of the whole batch where
    /// the rows are a share of one.
    let strata (n: int) (rng: Rng) : Tensor =
        let isShare = rng.Whole > 0 && rng.Own = n
        let cells = named "cells" rng

        let cells =
            if isShare then
                Tensor.narrow 0 (int rng.First) n (permutation rng.Whole { cells with First = 0L })
            else
                permutation n cells

        let count = if isShare then rng.Whole else n
        (cells.To Dtype.Float64 + uniform Kind.Float64 [ n ] rng) * (1.0 / float count)

    /// One uniform on [0, 1) as a number, without a tensor: what `uniform Kind.Float64 []` draws.
    let number (rng: Rng) : float =
        let struct (a, b, _, _) = Philox.block rng.Key (struct (0u, 0u, uint32 rng.First, uint32 (rng.First >>> 32)))
        float (((uint64 a <<< 32) ||| uint64 b) >>> 12) * (1.0 / 4503599627370496.0)

    /// How many of n a share of them is, ⌊share · n + u⌋ for one uniform u: share · n where that is whole, and in expectation for every n, where
    /// rounding to the nearest leaves a small n with none.
    let shareOf (share: float) (n: int) (rng: Rng) : int =
        if not (share >= 0.0 && share <= 1.0) then
            invalidArg (nameof share) $"a share of {share}: from 0 to 1"

        min n (int (Math.Floor(share * float n + number rng)))
