namespace Fokker

open System.Collections.Generic

/// Distances between texts, of windows of bytes [n; length]: how often letters follow each other.
[<RequireQualifiedAccess>]
module TextMeasures =

    /// How often each sequence of `n` neighbouring bytes is in the samples, as a share of all.
    let private shares (n: int) (x: Tensor) : Dictionary<uint64, float> =
        let length = x.Shape[1]
        let bytes = Tensor.toFloats (x.To Dtype.Float64) |> Array.map (fun value -> uint64 (round value))
        let found = Dictionary<uint64, float>()
        let one = 1.0 / float (x.Shape[0] * (length - n + 1))

        for row in 0 .. x.Shape[0] - 1 do
            for at in 0 .. length - n do
                let mutable key = 0UL

                for k in 0 .. n - 1 do
                    key <- (key <<< 8) ||| (bytes[row * length + at + k] &&& 255UL)

                let before =
                    match found.TryGetValue key with
                    | true, share -> share
                    | _ -> 0.0

                found[key] <- before + one

        found

    /// ½ Σ |p(w) − q(w)| over sequences w of so many neighbouring bytes, at most eight: 0 where they are as frequent, 1 where none is in both. Two sets of one text are some way apart,
    /// since not every sequence is in both. Raises ArgumentException where a sample is shorter than a sequence.
    let totalVariation (n: int) (x: Tensor) (y: Tensor) : float =
        if n < 1 || n > 8 || n > x.Shape[1] || n > y.Shape[1] then
            invalidArg
                (nameof n)
                $"sequences of {n} bytes: from 1 to 8, and no more than a sample's {min x.Shape[1] y.Shape[1]}"

        let p, q = shares n x, shares n y
        let share (of': Dictionary<uint64, float>) key =
            match of'.TryGetValue key with
            | true, share -> share
            | _ -> 0.0

        let mutable sum = 0.0

        for KeyValue(key, own) in p do
            sum <- sum + abs (own - share q key)

        for KeyValue(key, own) in q do
            if not (p.ContainsKey key) then
                sum <- sum + own

        0.5 * sum

    /// `totalVariation` as a measure.
    let grams (name: string) (n: int) : Measure =
        { Name = name
          Equation = $"½ Σ |p(w) − q(w)| over sequences w of {n} bytes"
          Reference = "Shannon 1948, section 3"
          Better = Better.Lower
          FloorIsKnown = false
          Between = fun _ x y -> totalVariation n x y }

    let all = [ grams "letters" 1; grams "pairs" 2; grams "triples" 3 ]

    /// Those of samples of so many bytes: no sequence is longer than they are.
    let ofLength (length: int) : Measure list = List.truncate length all
