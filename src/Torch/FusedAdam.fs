namespace Fokker

open System
open System.Runtime.CompilerServices
open System.Runtime.Intrinsics
open System.Threading.Tasks

#nowarn "9" // addresses of tensors' memory

/// The arithmetic of an optimizer's step over plain memory: one pass instead of a dozen. Multiplications and additions are fused where the
/// code says so, on every processor, so that a step's bits depend neither on the width of the vectors nor on the number of threads.
[<RequireQualifiedAccess>]
module internal FusedAdam =

    /// Elements of a task: fixed, so that sums do not depend on the number of threads.
    [<Literal>]
    let private Chunk = 16384L

    /// The numbers of one step, rounded to the parameters' float32.
    [<Struct; NoComparison; NoEquality>]
    type Step =
        {
            /// 1 − η w.
            Keep: float32
            /// η / (1 − β₁ᵏ).
            Rate: float32
            /// 1 / √(1 − β₂ᵏ).
            Root: float32
            Beta1: float32
            Beta2: float32
            Epsilon: float32
            /// What gradients are multiplied with.
            Scale: float32
            /// d of the average.
            Average: float32
        }

    /// Where one parameter's numbers lie, `Count` of each: parameter, gradient, moments and average, and the same after the step.
    [<Struct; NoComparison; NoEquality>]
    type Place =
        { Count: int64
          P: nativeint
          G: nativeint
          M: nativeint
          V: nativeint
          E: nativeint
          P1: nativeint
          M1: nativeint
          V1: nativeint
          E1: nativeint }

    let inline private read (at: nativeint) : float32 =
        NativeInterop.NativePtr.read (NativeInterop.NativePtr.ofNativeInt at)

    let inline private write (at: nativeint) (x: float32) =
        NativeInterop.NativePtr.write (NativeInterop.NativePtr.ofNativeInt at) x

    let inline private fma a b c = MathF.FusedMultiplyAdd(a, b, c)

    /// The exponent of infinities and of what is no number.
    [<Literal>]
    let private Lost = 0x7f800000u

    let inline private isLost (x: float32) = BitConverter.SingleToUInt32Bits x &&& Lost = Lost

    /// `n` elements from address offset 0 on, `lanes` at a time; says whether a number that was written is not finite.
    let inline private stepBy like (lanes: int) (s: inref<Step>) (a: inref<Place>) (n: nativeint) : bool =
        let inline c (x: float32) = Lane.spread like x
        let keep, rate, root, eps, scale = c s.Keep, c s.Rate, c s.Root, c s.Epsilon, c s.Scale
        let beta1, beta1', beta2, beta2' = c s.Beta1, c (1.0f - s.Beta1), c s.Beta2, c (1.0f - s.Beta2)
        let d, d' = c s.Average, c (1.0f - s.Average)
        let bits = Lane.spread (Lane.uint32s like) Lost
        let mutable lost = Lane.spread bits 0u
        let bytes = nativeint (4 * lanes)
        let vectors = n / nativeint lanes * bytes
        let mutable at = 0n

        while at < vectors do
            let g = Lane.load like (a.G + at) * scale
            let m = Lane.fused beta1 (Lane.load like (a.M + at)) (beta1' * g)
            let v = Lane.fused beta2 (Lane.load like (a.V + at)) (beta2' * g * g)
            Lane.store m (a.M1 + at)
            Lane.store v (a.V1 + at)
            let change = rate * m / Lane.fused (Lane.root v) root eps
            let p = Lane.fused (Lane.load like (a.P + at)) keep (-change)
            Lane.store p (a.P1 + at)
            let e = Lane.fused d (Lane.load like (a.E + at)) (d' * p)
            Lane.store e (a.E1 + at)
            let inline check x = Lane.same (Lane.uint32s x &&& bits) bits
            lost <- lost ||| check m ||| check v ||| check p ||| check e
            at <- at + bytes

        let mutable any = not (Lane.empty lost)

        while at < 4n * n do
            let g = read (a.G + at) * s.Scale
            let m = fma s.Beta1 (read (a.M + at)) ((1.0f - s.Beta1) * g)
            let v = fma s.Beta2 (read (a.V + at)) ((1.0f - s.Beta2) * g * g)
            write (a.M1 + at) m
            write (a.V1 + at) v
            let change = s.Rate * m / fma (MathF.Sqrt v) s.Root s.Epsilon
            let p = fma (read (a.P + at)) s.Keep -change
            write (a.P1 + at) p
            let e = fma s.Average (read (a.E + at)) ((1.0f - s.Average) * p)
            write (a.E1 + at) e
            any <- any || isLost m || isLost v || isLost p || isLost e
            at <- at + 4n

        any

    type private Kernels =

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member StepIn128(s: inref<Step>, a: inref<Place>, n: nativeint) =
            stepBy Vector128<float32>.Zero 4 &s &a n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member StepIn256(s: inref<Step>, a: inref<Place>, n: nativeint) =
            stepBy Vector256<float32>.Zero 8 &s &a n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member StepIn512(s: inref<Step>, a: inref<Place>, n: nativeint) =
            stepBy Vector512<float32>.Zero 16 &s &a n

        /// Σ x² in float64: sixteen sums, of every sixteenth element, then those of the rest and of the sixteen in turn. (A vector that the
        /// processor has not is two of half its width.)
        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member Squares(x: nativeint, n: nativeint) : float =
            let mutable low = Vector512<float>.Zero
            let mutable high = Vector512<float>.Zero
            let stop = n / 16n * 64n
            let mutable at = 0n

            while at < stop do
                let struct (a, b) =
                    Vector512.Widen(Vector512.Load(NativeInterop.NativePtr.ofNativeInt<float32>(x + at)))

                low <- low + a * a
                high <- high + b * b
                at <- at + 64n

            let mutable sum = 0.0

            while at < 4n * n do
                let y = float (read (x + at))
                sum <- sum + y * y
                at <- at + 4n

            for k in 0..7 do
                sum <- sum + low[k]

            for k in 0..7 do
                sum <- sum + high[k]

            sum

    /// A piece of one of many arrays, small enough to be a thread's task.
    [<Struct; NoComparison; NoEquality>]
    type private Piece = { Array: int; Begin: int64; Length: int64 }

    let private pieces (counts: int64[]) : Piece[] =
        [| for k in 0 .. counts.Length - 1 do
               for start in 0L .. Chunk .. counts[k] - 1L ->
                   { Array = k; Begin = start; Length = min Chunk (counts[k] - start) } |]

    /// On one thread where waking others would cost more than they do.
    let private forEach (threads: int) (pieces: Piece[]) (run: int -> unit) =
        if threads = 1 || pieces |> Array.sumBy _.Length < 4L * Chunk then
            for k in 0 .. pieces.Length - 1 do
                run k
        else
            Parallel.For(0, pieces.Length, ParallelOptions(MaxDegreeOfParallelism = threads), run) |> ignore

    /// ‖(x₁, …, xₙ)‖₂ in float64, of float32 arrays at the places given.
    let norm (threads: int) (counts: int64[]) (places: nativeint[]) : float =
        let pieces = pieces counts
        let squares = Array.zeroCreate<float> pieces.Length

        forEach threads pieces (fun k ->
            let piece = pieces[k]
            squares[k] <- Kernels.Squares(places[piece.Array] + nativeint (4L * piece.Begin), nativeint piece.Length))

        sqrt (Array.fold (+) 0.0 squares)

    /// `run` by vectors of `vector` bits: 128, 256 or 512.
    let runBy (vector: int) (threads: int) (s: Step) (places: Place[]) : bool =
        let pieces = pieces (places |> Array.map _.Count)
        let found = [| 0 |]

        forEach threads pieces (fun k ->
            let piece = pieces[k]
            let whole = places[piece.Array]
            let shift = nativeint (4L * piece.Begin)

            let place =
                { Count = piece.Length
                  P = whole.P + shift
                  G = whole.G + shift
                  M = whole.M + shift
                  V = whole.V + shift
                  E = whole.E + shift
                  P1 = whole.P1 + shift
                  M1 = whole.M1 + shift
                  V1 = whole.V1 + shift
                  E1 = whole.E1 + shift }

            let n = nativeint piece.Length

            let lost =
                match vector with
                | 128 -> Kernels.StepIn128(&s, &place, n)
                | 256 -> Kernels.StepIn256(&s, &place, n)
                | _ -> Kernels.StepIn512(&s, &place, n)

            if lost then
                found[0] <- 1)

        found[0] = 0

    /// AdamW (Loshchilov, Hutter 2019, algorithm 2; Adam where the decay is 0), and an exponential moving average of its result:
    /// m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², p ← (1 − η w) p − η m̂/(√v̂ + ε), e ← d e + (1 − d) p.
    /// Says whether all that it wrote is finite.
    let run threads s places = runBy Philox.widest threads s places
