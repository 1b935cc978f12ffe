namespace Fokker

open System
open Fokker.Pictures

/// Samples as pictures.
[<RequireQualifiedAccess>]
module SamplePicture =

    /// Interleaved x₀ y₀ x₁ y₁ … of the first two coordinates; a line's points lie on the axis.
    let plane (x: Tensor) : float32[] =
        Scope.run (fun () ->
            let columns = if x.Shape[1] = 1 then Tensor.cat 1 [ x; Tensor.zerosLike x ] else Tensor.narrow 1 0 2 x

            Tensor.toArray<float32>(columns.To Dtype.Float32))

    let cloud label tone (x: Tensor) : Cloud = { Label = label; Tone = tone; Points = plane x; Classes = [||] }

    /// Images in [−1, 1] from numbers in the data's units, image after image of a shape [C; H; W]: where `range` (low, high) is of them. Channels other than
    /// one (grey) or three (colours) are laid side by side, each in grey.
    let ofNumbers (range: float * float) (shape: int list) (values: float[]) : Images =
        let low, high = range
        let inside x = float32 (Math.Clamp((x - 0.5 * (low + high)) / (0.5 * (high - low)), -1.0, 1.0))

        match shape with
        | [ (1 | 3) as channels; height; width ] ->
            { Pixels = Array.map inside values; Channels = channels; Height = height; Width = width }
        | [ channels; height; width ] ->
            // [n; C; H; W] as [n; 1; H; C · W].
            let moved i =
                let column, i = i % width, i / width
                let channel, i = i % channels, i / channels
                let row, image = i % height, i / height
                ((image * channels + channel) * height + row) * width + column

            { Pixels = Array.init values.Length (fun i -> inside values[moved i])
              Channels = 1
              Height = height
              Width = channels * width }
        | _ -> invalidArg (nameof shape) "an image has channels, a height and a width"

    /// `ofNumbers` of a tensor [n; C; H; W].
    let images (range: float * float) (x: Tensor) : Images =
        Scope.run (fun () -> ofNumbers range (List.ofArray x.Shape[1..]) (Tensor.toFloats (x.To Dtype.Float64)))

    let first n (x: Tensor) = Tensor.narrow 0 0 (min n x.Shape[0]) x

    /// How many series are told from each other on one pair of axes.
    let curveCount = 8

    /// The first few windows of a shape [L], or [C; L] of several series, number after number: of each series by itself the points (k, x_k) of a curve for each window.
    let curvesOf (shape: int list) (values: float[]) : Cloud list list =
        let length, d = List.last shape, List.fold (*) 1 shape

        [ for series in 0 .. d / length - 1 ->
              [ for i in 0 .. min curveCount (values.Length / d) - 1 ->
                    { Label = $"{i + 1}"
                      Tone = Tone.Series i
                      Points =
                        [| for k in 0 .. length - 1 do
                               float32 k
                               float32 values[i * d + series * length + k] |]
                      Classes = [||] } ] ]

    /// `curvesOf` a tensor [n; …].
    let curves (x: Tensor) : Cloud list list =
        Scope.run (fun () ->
            curvesOf (List.ofArray x.Shape[1..]) (Tensor.toFloats ((first curveCount x).To Dtype.Float64)))

    /// The titles of so many series: their names, where they have some, behind what is shown; this alone of a single one.
    let titles (what: string) (columns: Column list) (count: int) : string list =
        match columns with
        | [] when count = 1 -> [ what ]
        | [] -> [ for k in 1..count -> $"{what}: series {k}" ]
        | columns -> [ for column in columns -> $"{what}: {column.Name}" ]

    /// Windows as PNG: a row of panels for each series, and in it one for each of these sets, each with its name.
    let curvesPng (columns: Column list) (sets: (string * Cloud list list) list) : byte[] =
        let rows =
            [ for what, curves in sets ->
                  [ for title, clouds in List.zip (titles what columns curves.Length) curves ->
                        { Title = title; Clouds = clouds } ] ]

        Raster.curves 560 (List.transpose rows)

    /// A picture of samples [n; …] as PNG: a grid of images, whose values are in `range`, or points of the plane.
    let png (range: float * float) (x: Tensor) : byte[] =
        Scope.run (fun () ->
            if x.Rank = 4 then
                Raster.imageGrid 10 (images range (first 100 x))
            else
                Raster.scatter 560 [ { Title = "samples"; Clouds = [ cloud "samples" Tone.Model (first 10_000 x) ] } ])
