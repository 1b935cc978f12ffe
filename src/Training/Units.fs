namespace Fokker

open System

/// How data and the numbers that a network sees are related: x = shift + scale · y, one shift and one scale for all
/// coordinates of a sample, one of each for every coordinate of a vector [d], or one of each for every series of a window [C; L].
type Units =
    { Shift: float[]
      Scale: float[] }

    /// Data and network see the same numbers.
    static member Same = { Shift = [| 0.0 |]; Scale = [| 1.0 |] }

[<RequireQualifiedAccess>]
module Units =

    // Along the columns of [n; d], and along the series of [n; C; L].
    let private coefficient (x: Tensor) (values: float[]) =
        let shape = if x.Rank = 3 then [ values.Length; 1 ] else [ values.Length ]
        (Tensor.ofArray shape values).To x.Kind

    let private affine (units: Units) (one: float -> float -> Tensor) (many: Tensor -> Tensor -> Tensor) (x: Tensor) =
        if units.Shift.Length = 1 then
            one units.Shift[0] units.Scale[0]
        else
            many (coefficient x units.Shift) (coefficient x units.Scale)

    /// y = (x − shift)/scale: what the network sees of data x [B; …]. Inverse of `toData`.
    let toNetwork (units: Units) (x: Tensor) : Tensor =
        if units = Units.Same then
            x
        else
            affine units (fun shift scale -> (x - shift) / scale) (fun shift scale -> (x - shift) / scale) x

    /// x = shift + scale · y: samples y [B; …] of a network in the data's own units.
    let toData (units: Units) (y: Tensor) : Tensor =
        if units = Units.Same then
            y
        else
            affine units (fun shift scale -> y * scale + shift) (fun shift scale -> y * scale + shift) y

    /// log |dx/dy| for a sample of d coordinates, Σ log |scaleᵢ|: log p(x) = log p(y) − this, in nats.
    let logVolume (units: Units) (d: int) : float =
        let each = units.Scale |> Array.map (fun scale -> Math.Log(abs scale))
        float (d / each.Length) * Array.sum each

    /// Whether samples of this shape have so many shifts: one, or one for each coordinate of a vector or each series of a window.
    let fit (shape: int list) (units: Units) =
        units.Shift.Length = 1 || shape.Length <= 2 && shape.Head = units.Shift.Length

    /// Whether there is a positive scale for each shift, and at least one of them, all finite.
    let isSound (units: Units) =
        units.Shift.Length > 0
        && units.Shift.Length = units.Scale.Length
        && Array.forall Double.IsFinite units.Shift
        && Array.forall (fun scale -> scale > 0.0 && Double.IsFinite scale) units.Scale

    /// `shift…;scale…`, for checkpoints; `ofText` reads it back.
    let text (units: Units) =
        let numbers (values: float[]) =
            values
            |> Array.map (fun v -> v.ToString("R", Globalization.CultureInfo.InvariantCulture))
            |> String.concat ","

        $"{numbers units.Shift};{numbers units.Scale}"

    let ofText (text: string) : Units =
        let numbers (part: string) =
            part.Split ',' |> Array.map (fun v -> Double.Parse(v, Globalization.CultureInfo.InvariantCulture))

        match text.Split ';' with
        | [| shift; scale |] ->
            let units = { Shift = numbers shift; Scale = numbers scale }

            if not (isSound units) then
                invalidArg (nameof text) $"'{text}' is not a shift and a positive scale for each"

            units
        | _ -> invalidArg (nameof text) $"'{text}' is not a pair of shifts and scales"

    /// Whether samples of this shape are pixels of a byte each, as the common image files have them.
    let arePixels (shape: int list) (units: Units) =
        shape.Length = 3 && units.Shift = [| 127.5 |] && units.Scale = [| 127.5 |]

    /// Whether samples of this shape are text: vectors of bytes, as they are.
    let areText (shape: int list) (units: Units) =
        shape.Length = 1 && units.Shift = [| 127.5 |] && units.Scale = [| 127.5 |]

    /// Whether samples of this shape are windows of series: of several [C; L], or vectors of numbers whose places are alike, so that one shift and one scale serve them all.
    let areSeries (shape: int list) (units: Units) =
        shape.Length = 2
        || shape.Length = 1
           && units.Shift.Length = 1
           && shape.Head > 1
           && units <> Units.Same
           && not (areText shape units)

    /// Whether samples of this shape are pictures of black and white alone, 0 and 1.
    let areBinary (shape: int list) (units: Units) =
        shape.Length = 3 && units.Shift = [| 0.5 |] && units.Scale = [| 0.5 |]

    /// How many values coordinates have that are tokens by nature, which then lie evenly from −1 to 1 in the network's units: 256 of text, 2 of black and white. Neighbours are 1 apart in the
    /// data's units, so that a density that is even on their cells is the probability of the tokens. None where any number may be.
    let levels (shape: int list) (units: Units) : int option =
        if areText shape units then Some 256
        elif areBinary shape units then Some 2
        else None

    /// Whether float32, whose steps are |x| · 6e-8, is too coarse for numbers in the data's units: where a step at the shift is more than a ten-thousandth
    /// of the scale.
    let needDouble (units: Units) =
        Array.exists2 (fun (shift: float) (scale: float) -> abs shift * 6e-8 > 1e-4 * abs scale) units.Shift units.Scale
