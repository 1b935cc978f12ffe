namespace Fokker.Interop

open System
open Fokker
open Fokker.Pictures

/// Samples as files. They are numbers in .NET's memory already: a picture needs no libtorch.
[<AbstractClass; Sealed>]
type internal FileWork =

    /// The values that a picture shows of numbers in units of their own.
    static member Range(values: float[]) : struct (float * float) =
        match Array.filter Double.IsFinite values with
        | [||] -> struct (-1.0, 1.0)
        | finite ->
            let low, high = Dataset.rangeOfNumbers (Array.min finite) (Array.max finite)
            struct (low, high)

    /// A picture of samples in the data's units, row by row: a grid of images [C; H; W], whose values are in the range, or points.
    static member Png(shape: int[], low: float, high: float, values: float[]) : byte[] =
        let coordinates = Array.fold (*) 1 shape
        let n = values.Length / coordinates

        if shape.Length = 3 then
            let shown = Array.truncate (100 * coordinates) values
            Raster.imageGrid 10 (SamplePicture.ofNumbers (low, high) (List.ofArray shape) shown)
        else
            let points =
                [| for i in 0 .. min 10_000 n - 1 do
                       float32 values[i * coordinates]
                       if coordinates > 1 then float32 values[i * coordinates + 1] else 0.0f |]

            Raster.scatter
                560
                [ { Title = "samples"
                    Clouds = [ { Label = "samples"; Tone = Tone.Model; Points = points; Classes = [||] } ] } ]

    /// numpy's file of samples: bytes where they are pixels, float64 where that is said, float32 elsewhere.
    static member Npy(file: string, shape: int[], pixels: bool, wide: bool, values: float[]) : unit =
        let whole = Array.append [| values.Length / Array.fold (*) 1 shape |] shape

        Scope.run0 (fun () ->
            if pixels then
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
