namespace Fokker.Bridge

open System
open Fokker
open Fokker.Pictures

/// Samples as files. They are numbers in .NET's memory already: a picture needs no libtorch.
[<AbstractClass; Sealed>]
type internal FileWork =

    /// A picture of samples in the data's units, row by row: a grid of images [C; H; W], or points.
    static member Png(shape: int[], units: Units, values: float[]) : byte[] =
        let coordinates = Array.fold (*) 1 shape
        let n = values.Length / coordinates

        match shape with
        | [| channels; height; width |] ->
            let shown = min 100 n
            let inside x = Math.Clamp((x - units.Shift[0]) / units.Scale[0], -1.0, 1.0)

            Raster.imageGrid
                10
                { Pixels = Array.init (shown * coordinates) (fun i -> float32 (inside values[i]))
                  Channels = channels
                  Height = height
                  Width = width }
        | _ ->
            let points =
                [| for i in 0 .. min 10_000 n - 1 do
                       float32 values[i * coordinates]
                       if coordinates > 1 then float32 values[i * coordinates + 1] else 0.0f |]

            Raster.scatter
                560
                [ { Title = "samples"
                    Clouds = [ { Label = "samples"; Tone = Tone.Model; Points = points; Classes = [||] } ] } ]

    /// numpy's file of samples: bytes where the data are bytes, float32 elsewhere, or float64 where that is what they were computed in.
    static member Npy(file: string, shape: int[], units: Units, wide: bool, values: float[]) : unit =
        let n = values.Length / Array.fold (*) 1 shape
        let whole = Array.append [| n |] shape

        Scope.run0 (fun () ->
            if shape.Length = 3 && units.Shift = [| 127.5 |] && units.Scale = [| 127.5 |] then
                Npy.write
                    file
                    (Tensor.ofArray whole (values |> Array.map (fun x -> byte (Math.Clamp(Math.Round x, 0.0, 255.0)))))
            elif wide then
                Npy.write file (Tensor.ofArray whole values)
            else
                Npy.write file (Tensor.ofArray whole (Array.map float32 values)))

    /// numpy's file as numbers and their shape.
    static member ReadNpy(file: string) : struct (int[] * float[]) =
        Scope.run (fun () ->
            let x = Npy.read file
            struct (x.Shape, Tensor.toFloats x))
