namespace Fokker

open System
open System.Numerics.Tensors
open System.Runtime.CompilerServices
open System.Runtime.Intrinsics

#nowarn "9" // addresses: a row of the costs is read many times

/// The linear assignment problem: min over injective row ↦ column maps of Σᵢ c[i, π(i)], exactly.
///
/// Jonker and Volgenant (1987): column reduction, reduction transfer and augmenting row reduction find most of the
/// matching, each keeping the column potentials v dual feasible; shortest augmenting paths (Dijkstra over reduced costs;
/// Crouse 2016 for more columns than rows) find the rest. Every inner loop runs along one row of the cost matrix.
module internal JonkerVolgenant =

    let inline private read (at: nativeint) : 'T =
        NativeInterop.NativePtr.read (NativeInterop.NativePtr.ofNativeInt<'T> at)

    let inline private write (at: nativeint) (x: 'T) =
        NativeInterop.NativePtr.write (NativeInterop.NativePtr.ofNativeInt<'T> at) x

    let inline private lower (a: float) (b: float) = if a < b then a else b

    // ---- loops along a row. `n` is in bytes; how many lanes work side by side changes no result, for the least of numbers has no order.

    /// The lesser of each two: a where a < b, else b.
    let inline private least a b = Lane.select (Lane.less a b) a b

    /// The two lowest of two pairs, lane by lane; a ≤ b in each pair.
    let inline private merge a b a' b' =
        let less = Lane.less a' a
        struct (Lane.select less a' a, least (Lane.select less a a') (least b' b))

    // The two lowest of all lanes' pairs, and the lowest of all lanes: by halves, without a branch that guesses wrong.

    let private two128 (a: Vector128<float>) (b: Vector128<float>) =
        let struct (a, b) = merge a b (Vector128.Create(a[1])) (Vector128.Create(b[1]))
        struct (a[0], b[0])

    let private two256 (a: Vector256<float>) (b: Vector256<float>) =
        let struct (a, b) =
            merge (Vector256.GetLower a) (Vector256.GetLower b) (Vector256.GetUpper a) (Vector256.GetUpper b)

        two128 a b

    let private two512 (a: Vector512<float>) (b: Vector512<float>) =
        let struct (a, b) =
            merge (Vector512.GetLower a) (Vector512.GetLower b) (Vector512.GetUpper a) (Vector512.GetUpper b)

        two256 a b

    let private one128 (a: Vector128<float>) = (least (Vector128.Create(a[1])) a)[0]
    let private one256 (a: Vector256<float>) = one128 (least (Vector256.GetUpper a) (Vector256.GetLower a))
    let private one512 (a: Vector512<float>) = one256 (least (Vector512.GetUpper a) (Vector512.GetLower a))

    /// The two lowest of w[j] = c[j] − v[j]; w is kept for whoever looks for their places.
    let inline private twoLowest
        like
        (lanes: int)
        ([<InlineIfLambda>] two)
        (c: nativeint)
        (v: nativeint)
        (w: nativeint)
        (n: nativeint)
        =
        let bytes = nativeint (8 * lanes)
        let infinite = Lane.spread like Double.PositiveInfinity
        let mutable a = infinite
        let mutable b = infinite
        let mutable a' = infinite
        let mutable b' = infinite
        let mutable j = 0n

        while j <= n - 2n * bytes do
            let x = Lane.load like (c + j) - Lane.load like (v + j)
            let y = Lane.load like (c + j + bytes) - Lane.load like (v + j + bytes)
            Lane.store x (w + j)
            Lane.store y (w + j + bytes)
            let less = Lane.less x a
            let less' = Lane.less y a'
            let high = Lane.select less a x
            let high' = Lane.select less' a' y
            a <- Lane.select less x a
            a' <- Lane.select less' y a'
            b <- least high b
            b' <- least high' b'
            j <- j + 2n * bytes

        let struct (a, b) = merge a b a' b'
        let struct (least, next) = two a b
        let mutable first: float = least
        let mutable second: float = next

        while j < n do
            let x = read (c + j) - read (v + j)
            write (w + j) x

            if x < first then
                second <- first
                first <- x
            elif x < second then
                second <- x

            j <- j + 8n

        struct (first, second)

    /// The path to column j through row `row` has length base + c[j] − v[j]: keeps it where it is the shortest so far. A closed
    /// column carries +∞ in `closed`, which bars it from both the update and the minimum over open columns that is returned.
    let inline private relax
        like
        (lanes: int)
        ([<InlineIfLambda>] one)
        (c: nativeint)
        (v: nativeint)
        (closed: nativeint)
        (start: float)
        (row: int64)
        (length: nativeint)
        (from: nativeint)
        (n: nativeint)
        =
        let bytes = nativeint (8 * lanes)
        let from0 = Lane.spread (Lane.uint64s like) (uint64 row)
        let start0 = Lane.spread like start
        let mutable low = Lane.spread like Double.PositiveInfinity
        let mutable j = 0n

        while j <= n - bytes do
            let bar = Lane.load like (closed + j)
            let x = start0 + (Lane.load like (c + j) - Lane.load like (v + j)) + bar
            let old = Lane.load like (length + j)
            let shorter = Lane.less x old
            let best = Lane.select shorter x old
            Lane.store best (length + j)
            let before = Lane.load from0 (from + j)
            Lane.store (Lane.select (Lane.uint64s shorter) from0 before) (from + j)
            low <- least (best + bar) low
            j <- j + bytes

        let mutable lowest: float = one low

        while j < n do
            let bar: float = read (closed + j)
            let x = start + (read (c + j) - read (v + j)) + bar

            if x < read (length + j) then
                write (length + j) x
                write (from + j) row

            lowest <- lower (read (length + j) + bar) lowest
            j <- j + 8n

        lowest

    /// The first place from `j` on where x is `value`; `n` where it is nowhere.
    let inline private find like (lanes: int) (x: nativeint) (value: float) (j: nativeint) (n: nativeint) =
        let bytes = nativeint (8 * lanes)
        let wanted = Lane.spread like value
        let mutable j = j

        while j <= n - bytes && Lane.empty (Lane.uint64s (Lane.same (Lane.load like (x + j)) wanted)) do
            j <- j + bytes

        while j < n && read (x + j) <> value do
            j <- j + 8n

        j

    /// v[j] ← min(v[j], c[j]), and `row` where that is c[j].
    let inline private lowerTo
        like
        (lanes: int)
        (c: nativeint)
        (v: nativeint)
        (row: int64)
        (from: nativeint)
        (n: nativeint)
        =
        let bytes = nativeint (8 * lanes)
        let from0 = Lane.spread (Lane.uint64s like) (uint64 row)
        let mutable j = 0n

        while j <= n - bytes do
            let x = Lane.load like (c + j)
            let old = Lane.load like (v + j)
            let less = Lane.less x old
            Lane.store (Lane.select less x old) (v + j)
            let before = Lane.load from0 (from + j)
            Lane.store (Lane.select (Lane.uint64s less) from0 before) (from + j)
            j <- j + bytes

        while j < n do
            let x: float = read (c + j)

            if x < read (v + j) then
                write (v + j) x
                write (from + j) row

            j <- j + 8n

    type private Kernels =

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member TwoLowestIn128(c: nativeint, v: nativeint, w: nativeint, n: nativeint) =
            twoLowest Vector128<float>.Zero 2 (fun a b -> two128 a b) c v w n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member RelaxIn128
            (
                c: nativeint,
                v: nativeint,
                closed: nativeint,
                start: float,
                row: int64,
                length: nativeint,
                from: nativeint,
                n: nativeint
            ) =
            relax Vector128<float>.Zero 2 (fun a -> one128 a) c v closed start row length from n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member FindIn128(x: nativeint, value: float, start: nativeint, n: nativeint) =
            find Vector128<float>.Zero 2 x value start n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member LowerToIn128(c: nativeint, v: nativeint, row: int64, from: nativeint, n: nativeint) =
            lowerTo Vector128<float>.Zero 2 c v row from n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member TwoLowestIn256(c: nativeint, v: nativeint, w: nativeint, n: nativeint) =
            twoLowest Vector256<float>.Zero 4 (fun a b -> two256 a b) c v w n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member RelaxIn256
            (
                c: nativeint,
                v: nativeint,
                closed: nativeint,
                start: float,
                row: int64,
                length: nativeint,
                from: nativeint,
                n: nativeint
            ) =
            relax Vector256<float>.Zero 4 (fun a -> one256 a) c v closed start row length from n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member FindIn256(x: nativeint, value: float, start: nativeint, n: nativeint) =
            find Vector256<float>.Zero 4 x value start n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member LowerToIn256(c: nativeint, v: nativeint, row: int64, from: nativeint, n: nativeint) =
            lowerTo Vector256<float>.Zero 4 c v row from n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member TwoLowestIn512(c: nativeint, v: nativeint, w: nativeint, n: nativeint) =
            twoLowest Vector512<float>.Zero 8 (fun a b -> two512 a b) c v w n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member RelaxIn512
            (
                c: nativeint,
                v: nativeint,
                closed: nativeint,
                start: float,
                row: int64,
                length: nativeint,
                from: nativeint,
                n: nativeint
            ) =
            relax Vector512<float>.Zero 8 (fun a -> one512 a) c v closed start row length from n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member FindIn512(x: nativeint, value: float, start: nativeint, n: nativeint) =
            find Vector512<float>.Zero 8 x value start n

        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        static member LowerToIn512(c: nativeint, v: nativeint, row: int64, from: nativeint, n: nativeint) =
            lowerTo Vector512<float>.Zero 8 c v row from n

    /// The loops by vectors of one width.
    [<Struct; NoComparison; NoEquality>]
    type private Loops =
        { Vector: int }

        member loops.TwoLowest(c, v, w, n) =
            match loops.Vector with
            | 128 -> Kernels.TwoLowestIn128(c, v, w, n)
            | 256 -> Kernels.TwoLowestIn256(c, v, w, n)
            | _ -> Kernels.TwoLowestIn512(c, v, w, n)

        member loops.Relax(c, v, closed, start, row, length, from, n) =
            match loops.Vector with
            | 128 -> Kernels.RelaxIn128(c, v, closed, start, row, length, from, n)
            | 256 -> Kernels.RelaxIn256(c, v, closed, start, row, length, from, n)
            | _ -> Kernels.RelaxIn512(c, v, closed, start, row, length, from, n)

        member loops.Find(x, value, start, n) =
            match loops.Vector with
            | 128 -> Kernels.FindIn128(x, value, start, n)
            | 256 -> Kernels.FindIn256(x, value, start, n)
            | _ -> Kernels.FindIn512(x, value, start, n)

        member loops.LowerTo(c, v, row, from, n) =
            match loops.Vector with
            | 128 -> Kernels.LowerToIn128(c, v, row, from, n)
            | 256 -> Kernels.LowerToIn256(c, v, row, from, n)
            | _ -> Kernels.LowerToIn512(c, v, row, from, n)

    /// A problem of n rows and m ≥ n columns on its way to a solution.
    [<Sealed>]
    type private Problem(vector: int, c: nativeint, n: int, m: int) =
        let loops = { Vector = vector }
        let pinned (length: int) : 'T[] = GC.AllocateArray<'T>(max 1 length, pinned = true)
        let at (array: 'T[]) = Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(array, 0)
        let line (i: int) = c + nativeint (8L * int64 i * int64 m)
        let rowBytes = 8n * nativeint m
        let columns = Array.create n -1
        let rows = Array.create m -1
        let v: float[] = pinned m
        let work: float[] = pinned m

        member _.Columns = columns
        member _.Potentials = v

        member private _.TwoLowest(i: int) = loops.TwoLowest(line i, at v, at work, rowBytes)

        /// The first column whose reduced cost is `value`, but not column `but`.
        member private _.Place(value: float, but: int) : int =
            let mutable j = loops.Find(at work, value, 0n, rowBytes)

            if j = 8n * nativeint but then
                j <- loops.Find(at work, value, j + 8n, rowBytes)

            if j = rowBytes then
                raise (TensorException $"no column has the cost {value}")

            int (j / 8n)

        /// v[j] = minᵢ c[i, j], matched with the row that attains it where that row is free. Square problems only: where a
        /// column may stay free, its potential must stay 0.
        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        member problem.ReduceColumns() =
            let from: int64[] = pinned m
            Array.Fill(v, Double.PositiveInfinity)

            for i in 0 .. n - 1 do
                loops.LowerTo(line i, at v, int64 i, at from, rowBytes)

            let wanted = Array.zeroCreate<int> n

            for j in m - 1 .. -1 .. 0 do
                let i = int from[j]

                if wanted[i] = 0 then
                    columns[i] <- j
                    rows[j] <- i

                wanted[i] <- wanted[i] + 1

            // A row that no other column wants can give the gap to its second choice to its column.
            for i in 0 .. n - 1 do
                if wanted[i] = 1 && m > 1 then
                    let j = columns[i]
                    let keep = v[j]
                    v[j] <- Double.NegativeInfinity // out of the search
                    let struct (second, _) = problem.TwoLowest i
                    v[j] <- keep - (if second < Double.PositiveInfinity then second else 0.0)

        /// The bids that end the settling of prices: a millionth of the costs' range, or a thousandth of what a row's cheap columns differ by where that is less, as it
        /// is where a large price keeps classes apart.
        member private _.FinestBid(range: float) : float =
            let differ i =
                let row = NativeInterop.NativePtr.ofNativeInt<float>(line i)
                let sorted = ReadOnlySpan<float>(NativeInterop.NativePtr.toVoidPtr row, m).ToArray()
                Array.sortInPlace sorted
                sorted[m / 16] - sorted[0]

            // Costs that are equal differ by nothing, and bids need an end.
            let cheap = Seq.averageBy differ (seq { 0 .. max 1 (n / 16) .. n - 1 })
            Math.Clamp(1e-3 * cheap, 1e-12 * range, 1e-6 * range)

        /// Prices near the optimal ones before anything is matched for good: auctions (Bertsekas 1979) with bids that fall from a
        /// twentieth of the costs' range by tens, each round from the prices of the one before. Costs that have a geometry start
        /// price wars where bids are exact from the beginning; coarse ones settle them in a few rounds. Square problems only: every
        /// column has to be wanted in the end.
        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        member problem.SettlePrices(range: float) =
            let free = Array.zeroCreate<int> n
            let finest = problem.FinestBid range
            let mutable bid = 0.05 * range

            while bid > finest do
                Array.Fill(columns, -1)
                Array.Fill(rows, -1)

                for i in 0 .. n - 1 do
                    free[i] <- i

                let mutable count = n
                // Prices are a beginning only: a round that drags on is broken off.
                let mutable budget = 40L * int64 n

                while count > 0 && budget > 0L do
                    count <- count - 1
                    let i = free[count]
                    let struct (best, second) = problem.TwoLowest i
                    let j = problem.Place(best, -1)
                    let displaced = rows[j]
                    v[j] <- v[j] - (second - best + bid)
                    rows[j] <- i

                    if displaced >= 0 then
                        free[count] <- displaced
                        count <- count + 1

                    budget <- budget - 1L

                bid <- bid * 0.1

            Array.Fill(columns, -1)
            Array.Fill(rows, -1)

        /// Each free row takes its best column, whose potential falls by the gap to the second best; the row it displaces is
        /// next. With rounding the gaps can shrink without end, so the steps are bounded; what is left goes to `Augment`.
        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        member problem.ReduceRows() =
            let mutable free =
                [| for i in 0 .. n - 1 do
                       if columns[i] < 0 then
                           i |]

            for _ in 0..1 do
                let later = Collections.Generic.List<int>()
                let mutable budget = 8L * int64 n
                let mutable k = 0

                while k < free.Length do
                    let i = free[k]
                    k <- k + 1
                    let struct (first, second) = problem.TwoLowest i
                    let mutable j = problem.Place(first, -1)
                    let mutable displaced = rows[j]
                    let lowered = if m > 1 then v[j] - (second - first) else v[j]
                    let lowers = lowered < v[j]

                    if lowers then
                        v[j] <- lowered
                    elif displaced >= 0 && m > 1 then
                        j <- problem.Place(second, j)
                        displaced <- rows[j]

                    columns[i] <- j
                    rows[j] <- i

                    if displaced >= 0 then
                        columns[displaced] <- -1

                        if lowers && budget > 0L then
                            budget <- budget - 1L
                            k <- k - 1
                            free[k] <- displaced
                        else
                            later.Add displaced

                free <- later.ToArray()

        /// The shortest path over reduced costs from each free row to a free column, and the potentials that keep them ≥ 0.
        [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
        member _.Augment() =
            let length: float[] = pinned m
            let closed: float[] = pinned m
            let from: int64[] = pinned m
            let finished = Collections.Generic.List<int>()

            for start in 0 .. n - 1 do
                if columns[start] < 0 then
                    Array.Fill(length, Double.PositiveInfinity)
                    Array.Fill(closed, 0.0)
                    finished.Clear()
                    let mutable i = start
                    let mutable sink = -1
                    let mutable lowest = 0.0
                    let mutable behind = 0.0

                    while sink < 0 do
                        lowest <- loops.Relax(line i, at v, at closed, behind, int64 i, at length, at from, rowBytes)
                        let mutable next = -1
                        let mutable j = 0

                        while j < m do
                            j <- int (loops.Find(at length, lowest, 8n * nativeint j, rowBytes) / 8n)

                            if j < m && closed[j] = 0.0 then
                                next <- j

                                // Among equals a free column ends the search.
                                if rows[j] < 0 then
                                    j <- m

                            j <- j + 1

                        if next < 0 then
                            raise (TensorException "no path of finite length is left")

                        closed[next] <- Double.PositiveInfinity
                        finished.Add next

                        if rows[next] < 0 then
                            sink <- next
                        else
                            i <- rows[next]
                            behind <- lowest - (read (line i + 8n * nativeint next) - v[next])

                    for j in finished do
                        v[j] <- v[j] + (length[j] - lowest)

                    let mutable j = sink

                    while j >= 0 do
                        let i = int from[j]
                        let previous = columns[i]
                        rows[j] <- i
                        columns[i] <- j
                        j <- if i = start then -1 else previous

    /// Potentials reach a few hundred times n times the costs' range; beyond float64's range they would be no numbers.
    [<Literal>]
    let private Largest = 1e290

    /// The costs' range. Raises TensorException where one is not finite, or too large.
    let private rangeOf (c: nativeint) (n: int) (m: int) : float =
        let mutable low = Double.PositiveInfinity
        let mutable high = Double.NegativeInfinity

        for i in 0 .. n - 1 do
            let row = NativeInterop.NativePtr.ofNativeInt<float>(c + 8n * nativeint i * nativeint m)
            let row = ReadOnlySpan<float>(NativeInterop.NativePtr.toVoidPtr row, m)
            // What is no number stays none.
            low <- Math.Min(low, TensorPrimitives.Min row)
            high <- Math.Max(high, TensorPrimitives.Max row)

        if n > 0 && not (Double.IsFinite low && Double.IsFinite high) then
            raise (TensorException "a cost is not finite")

        if n > 0 && (low < -Largest || high > Largest) then
            let worst = if -low > high then low else high
            raise (TensorException $"a cost of {worst}; they may reach {Largest}")

        high - low

    /// Costs c [n; m] with n ≤ m ↦ the column of each row, and potentials u [n], v [m] with u[i] + v[j] ≤ c[i, j], equality on the
    /// matching, v ≤ 0 where n < m and 0 on free columns: the certificate that it is optimal. By vectors of `vector` bits, which
    /// changes nothing. Raises TensorException where a cost is not finite or beyond ±1e290.
    let solveBy (vector: int) (c: nativeint) (n: int) (m: int) : struct (int64[] * float[] * float[]) =
        let range = rangeOf c n m
        let problem = Problem(vector, c, n, m)

        if n > 0 then
            if n = m then
                if n < 32 then problem.ReduceColumns() else problem.SettlePrices range

            problem.ReduceRows()
            problem.Augment()

        let v = Array.sub problem.Potentials 0 m
        let columns = problem.Columns

        let u =
            Array.init n (fun i -> read (c + 8n * (nativeint i * nativeint m + nativeint columns[i])) - v[columns[i]])

        struct (Array.map int64 columns, u, v)

    /// `solveBy` the widest vectors of the processor.
    let solve c n m = solveBy Philox.widest c n m
