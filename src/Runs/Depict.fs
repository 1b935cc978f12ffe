namespace Fokker

open Fokker.Pictures

/// Samples as pictures.
[<RequireQualifiedAccess>]
module Depict =

    /// Interleaved x₀ y₀ x₁ y₁ … of the first two coordinates; a line's points lie on the axis.
    let plane (x: Tensor) : float32[] =
        Scope.run (fun () ->
            let columns = if x.Shape[1] = 1 then Tensor.cat 1 [ x; Tensor.zerosLike x ] else Tensor.narrow 1 0 2 x

            Tensor.toArray<float32>(columns.To Dtype.Float32))

    let cloud label tone (x: Tensor) : Cloud = { Label = label; Tone = tone; Points = plane x; Classes = [||] }

    /// Images in [−1, 1] from samples in the data's units.
    let images (data: Dataset) (x: Tensor) : Images =
        Scope.run (fun () ->
            let x = Tensor.clamp -1.0 1.0 (Units.toNetwork data.Units x)

            { Pixels = Tensor.toArray<float32>(x.To Dtype.Float32)
              Channels = x.Shape[1]
              Height = x.Shape[2]
              Width = x.Shape[3] })

    let first n (x: Tensor) = Tensor.narrow 0 0 (min n x.Shape[0]) x

    /// A picture of samples [n; …] as PNG: a grid of images, or points of the plane.
    let samples (data: Dataset) (x: Tensor) : byte[] =
        Scope.run (fun () ->
            if data.IsImage then
                Raster.imageGrid 10 (images data (first 100 x))
            else
                Raster.scatter 560 [ { Title = "samples"; Clouds = [ cloud "samples" Tone.Model (first 10_000 x) ] } ])
