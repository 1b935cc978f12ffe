namespace Fokker.Pictures

open System

/// The part of the plane that a figure shows.
[<Struct>]
type Window = { Left: float32; Right: float32; Bottom: float32; Top: float32 }

/// Chooses what part of the plane to show.
module Window =

    /// The share of a cloud that may fall outside on each side of each axis: a few stray samples must not shrink the
    /// rest to a dot. What falls outside is counted, and the figure says so.
    let private tail = 0.001

    /// How many interquartile ranges beyond its quartiles a cloud is shown at most: a sampler may diverge on more than
    /// a few samples, and then to any size. Ten leave a Gaussian untouched out to thirteen standard deviations.
    let private fence = 10.0f

    let private extent (values: float32[]) =
        let finite = values |> Array.filter Single.IsFinite |> Array.sort
        let quantile round share = finite[int (round (share * float (finite.Length - 1)))]

        if finite.Length = 0 then
            None
        else
            let low, high = quantile Math.Floor tail, quantile Math.Ceiling (1.0 - tail)
            let lower, upper = quantile Math.Floor 0.25, quantile Math.Ceiling 0.75
            let reach = fence * (upper - lower)
            // Where the middle half is one value there is nothing to measure the rest by.
            if reach > 0.0f then Some(max low (lower - reach), min high (upper + reach)) else Some(low, high)

    let private axis (clouds: float32[] list) offset =
        let extents =
            clouds
            |> List.choose (fun points -> extent [| for i in offset..2 .. points.Length - 1 -> points[i] |])

        match extents with
        | [] -> -1.0f, 1.0f
        | _ ->
            let low = extents |> List.map fst |> List.min
            let high = extents |> List.map snd |> List.max
            // A cloud that is one point still needs a window around it.
            let margin = max (0.06f * (high - low)) (1e-3f * max 1.0f (abs high))
            low - margin, high + margin

    /// The window that shows nearly all of each of these clouds, interleaved [N; 2], with a margin.
    let around (clouds: float32[] list) =
        let left, right = axis clouds 0
        let bottom, top = axis clouds 1

        { Left = left; Right = right; Bottom = bottom; Top = top }

    /// Whether the window shows the point (x, y); never one that is not finite.
    let holds window x y = x >= window.Left && x <= window.Right && y >= window.Bottom && y <= window.Top

    /// How many points of a cloud, interleaved [N; 2], the window leaves out, those that are not finite among them.
    let outside window (points: float32[]) =
        seq { 0 .. points.Length / 2 - 1 }
        |> Seq.filter (fun i -> not (holds window points[2 * i] points[2 * i + 1]))
        |> Seq.length

    /// The window grown about its centre until its width is so many times its height.
    let withAspect aspect window =
        let width = window.Right - window.Left
        let height = window.Top - window.Bottom
        let wide = max width (aspect * height)
        let high = max height (width / aspect)

        { Left = window.Left - (wide - width) / 2.0f
          Right = window.Right + (wide - width) / 2.0f
          Bottom = window.Bottom - (high - height) / 2.0f
          Top = window.Top + (high - height) / 2.0f }

    /// Round numbers inside [low, high], about five of them: steps of 1, 2 or 5 times a power of ten.
    let ticks (low: float32) (high: float32) : float32 list =
        let rough = float (high - low) / 5.0
        let power = Math.Pow(10.0, Math.Floor(Math.Log10 rough))
        let step = [ 1.0; 2.0; 5.0; 10.0 ] |> List.map ((*) power) |> List.find (fun step -> step >= rough)
        [ for i in Math.Ceiling(float low / step) .. Math.Floor(float high / step) -> float32 (i * step) ]

    /// `−0.5`: at most four decimals.
    let tickLabel (value: float32) : string =
        (if abs value < 1e-6f then 0.0f else value)
            .ToString("0.####", Globalization.CultureInfo.InvariantCulture)
            .Replace('-', '−')
