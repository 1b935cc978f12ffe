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

    /// A picture of the first so many samples in the data's units, row by row: a grid of images [C; H; W], whose values are in the range, in so many columns and
    /// each of their pixels so many wide (0: what suits their size), or points.
    static member Png
        (shape: int[], low: float, high: float, values: float[], count: int, columns: int, scale: int)
        : byte[] =
        let coordinates = Array.fold (*) 1 shape
        let n = min count (values.Length / coordinates)

        if shape.Length = 3 then
            let images =
                SamplePicture.ofNumbers (low, high) (List.ofArray shape) (Array.truncate (n * coordinates) values)

            if scale = 0 then Raster.imageGrid columns images else Tiles.grid columns scale images
        else
            let points =
                [| for i in 0 .. n - 1 do
                       float32 values[i * coordinates]
                       if coordinates > 1 then float32 values[i * coordinates + 1] else 0.0f |]

            Raster.scatter
                560
                [ { Title = "samples"
                    Clouds = [ { Label = "samples"; Tone = Tone.Model; Points = points; Classes = [||] } ] } ]

    /// PNG of the first few of so many windows of series, each a curve, the series under each other.
    static member Curves(shape: int[], columns: Column list, count: int, values: float[]) : byte[] =
        let values = Array.truncate (count * Array.fold (*) 1 shape) values
        SamplePicture.curvesPng columns [ "samples", SamplePicture.curvesOf (List.ofArray shape) values ]

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

    /// The picture of a file as bytes' numbers and their shape [1; C; H; W]: grey where it has no colour.
    static member ReadImage(file: string) : struct (int[] * float[]) =
        let height, width = ImageFile.size file
        let pixels = ImageFile.read None file
        let pixels = if ImageFile.isGrey pixels then Array.truncate (height * width) pixels else pixels
        struct ([| 1; pixels.Length / (height * width); height; width |], Array.map float pixels)

    /// A table of samples of a shape [d] or [C; L], number after number: the cells that a model's columns make of them, or numbers where it has none.
    static member Csv(file: string, columns: Column list, shape: int[], values: float[]) : unit =
        let header, cells = TableFile.ofColumns columns (TableFile.rows (List.ofArray shape) values)
        Runs.writeBytes file (TableFile.text header cells)

    /// Samples of bytes, so many numbers each, as text in one line each.
    static member Lines(d: int, values: float[]) : string[] = TextFile.ofNumbers d values

    /// Whether the samples of a model are text, whether they are windows of a series, and whether they are bytes in a file.
    static member Kind(model: GenerativeModel) : struct (bool * bool * bool) =
        let isToken = (Units.levels model.Shape model.Units).IsSome && model.Dynamics.IsJumping

        struct (Units.areText model.Shape model.Units,
                Units.areSeries model.Shape model.Units,
                isToken || Units.arePixels model.Shape model.Units)

    /// The rows of a file as samples of a model in its data's units: a missing cell a value like any other, or open (NaN).
    static member ReadCsv(model: GenerativeModel, file: string, isOpen: bool) : struct (int[] * float[]) =
        Scope.run (fun () ->
            let given = if isOpen then snd (TableFile.withHoles model file) else TableFile.samples model file

            let x = if isOpen then given.Values else Validation.samples model Setting.Data given
            struct (x.Shape, Tensor.toFloats x))

    /// What a file tells a model of samples, as numbers and their shape.
    static member ReadGiven(model: GenerativeModel, file: string) : struct (int[] * float[]) =
        Scope.run (fun () ->
            let x = (TableFile.given model file).Values
            struct (x.Shape, Tensor.toFloats x))

    /// numpy's file as numbers and their shape.
    static member ReadNpy(file: string) : struct (int[] * float[]) =
        Scope.run (fun () ->
            let x = Npy.read file
            struct (x.Shape, Tensor.toFloats x))
