namespace Fokker

open System

/// Times as vectors that a network can use. Angles are computed in the precision of t, which is float64 whatever the
/// network's own: at 2π f t the rounding of a float32 time would show.
[<RequireQualifiedAccess>]
module Embedding =

    /// `count` frequencies for `fourier`: the quantiles s √2 erf⁻¹((k + ½)/count) of |N(0, s²)|. Tancik et al. 2020
    /// (eq. 5, one input dimension) and Song et al. 2021 (appendix C) draw them from N(0, s²); the sign of a frequency
    /// adds nothing to a sine and a cosine, and quantiles follow the same law without its luck, so that nothing need be stored.
    let gaussianFrequencies (scale: float) (count: int) : float[] =
        if count < 1 || scale <= 0.0 then
            invalidArg (nameof count) $"{count} frequencies of scale {scale}: both must be positive"

        let cells = [| for k in 0 .. count - 1 -> (float k + 0.5) / float count |]

        Scope.run (fun () -> Tensor.toFloats (Tensor.erfinv (Tensor.ofArray [ count ] cells)))
        |> Array.map (fun q -> scale * sqrt 2.0 * q)

    /// t ↦ (sin 2π f₁ t, …, sin 2π f_n t, cos 2π f₁ t, …, cos 2π f_n t): [B] or 0-dimensional ↦ [B; 2n] or [1; 2n].
    let fourier (frequencies: float[]) (t: Tensor) : Tensor =
        let turns = frequencies |> Array.map (fun f -> 2.0 * Math.PI * f)
        let angle = Tensor.reshape [ -1; 1 ] t * (Tensor.ofArray [ 1; turns.Length ] turns).To t.Kind
        Tensor.cat 1 [ Tensor.sin angle; Tensor.cos angle ]

    /// The same of so many times for each sample, one after the other: [B; times] or [1; times] ↦ [B; times · 2n].
    let fourierOf (times: int) (frequencies: float[]) (t: Tensor) : Tensor =
        let each = fourier frequencies t
        if times = 1 then each else Tensor.reshape [ -1; times * 2 * frequencies.Length ] each

    /// The rows of `table` [classes + 1; d] for the labels, int64 [B] in 0 … classes − 1, or −1 for no class, which is the last row: [B; d].
    /// Without labels that row is for all, [1; d].
    let label (table: Tensor) (condition: Condition) : Tensor =
        let none = table.Shape[0] - 1

        match condition with
        | Some labels ->
            let last = Tensor.full labels.Kind [] (float none)
            Nn.embedding table (Tensor.where (Tensor.lessThan 0.0 labels) last labels)
        | None -> Tensor.narrow 0 none 1 table

    /// Where each coordinate is, [length · width] one after the other: sines and cosines at the frequencies 10000^{−j/n}, j = 0 … n − 1 with n half of the width, and 0 for what is left over
    /// (Vaswani et al. 2017, section 3.5). A step along the sequence turns each pair by an angle, so that attention finds a neighbour by one linear map at every place.
    let places (length: int) (width: int) : float[] =
        let n = width / 2

        [| for place in 0 .. length - 1 do
               for wave in [ Math.Sin; Math.Cos ] do
                   for j in 0 .. n - 1 do
                       wave (float place * Math.Pow(10000.0, -float j / float n))

               for _ in 2 * n .. width - 1 do
                   0.0 |]
