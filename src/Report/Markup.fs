namespace Fokker.Report

open Fokker.Pictures
open System
open System.Globalization

/// The few marks that running text understands — `code`, *emphasis* and $formula$ — and how numbers are printed.
module Markup =

    /// What a sub- or superscript at this place holds, and where the text after it starts: a {group}, a name such as min, or one
    /// character. A superscript is no name: e^ab is not said.
    let private script (names: bool) (source: string) start =
        if start < source.Length && source[start] = '{' then
            match source.IndexOf('}', start) with
            | -1 -> source.Substring(start + 1), source.Length
            | close -> source.Substring(start + 1, close - start - 1), close + 1
        else
            let mutable stop = min (start + 1) source.Length

            while names && stop < source.Length && Char.IsAsciiLetter source[start] && Char.IsAsciiLetter source[stop] do
                stop <- stop + 1

            source.Substring(start, stop - start), stop

    /// A formula of one line: `_` and `^` lower and raise what comes next (`script`).
    let rec private formula (source: string) =
        let rec go index pieces =
            if index >= source.Length then
                List.rev pieces
            else
                match source[index] with
                | '_' ->
                    let inner, next = script true source (index + 1)
                    go next (Html.element "sub" [] (formula inner) :: pieces)
                | '^' ->
                    let inner, next = script false source (index + 1)
                    go next (Html.element "sup" [] (formula inner) :: pieces)
                | letter when Char.IsLetter letter ->
                    let mutable stop = index + 1

                    // A combining dot, as in σ̇, belongs to its letter; Greek letters are always variables.
                    while stop < source.Length && Char.IsAsciiLetter source[stop] && Char.IsAsciiLetter letter do
                        stop <- stop + 1

                    let mutable accent = stop

                    while accent < source.Length
                          && Char.GetUnicodeCategory source[accent] = UnicodeCategory.NonSpacingMark do
                        accent <- accent + 1

                    let run = source.Substring(index, accent - index)

                    // One letter is a variable; several are a name, such as log.
                    let html = if stop - index = 1 then Html.element "i" [] [ Html.text run ] else Html.text run

                    go accent (html :: pieces)
                | '-' -> go (index + 1) (Html.text "−" :: pieces)
                | other -> go (index + 1) (Html.text (string other) :: pieces)

        go 0 []

    let private wrap mark (inner: string) =
        match mark with
        | '`' -> Html.element "code" [] [ Html.text inner ]
        | '$' -> Html.classed "span" "math" (formula inner)
        | _ -> Html.element "em" [] [ Html.text inner ]

    /// Running text as HTML. A mark without its partner stands for itself.
    let inlines (source: string) =
        let rec go start from pieces =
            let plain stop =
                if stop > start then Html.text (source.Substring(start, stop - start)) :: pieces else pieces

            match source.IndexOfAny([| '`'; '$'; '*' |], from) with
            | -1 -> List.rev (plain source.Length)
            | opening ->
                match source.IndexOf(source[opening], opening + 1) with
                | closing when closing > opening + 1 ->
                    let inner = source.Substring(opening + 1, closing - opening - 1)
                    go (closing + 1) (closing + 1) (wrap source[opening] inner :: plain opening)
                | _ -> go start (opening + 1) pieces

        go 0 0 []

    let private superscript (exponent: int) =
        string exponent
        |> String.map (fun c ->
            match c with
            | '-' -> '⁻'
            | digit -> "⁰¹²³⁴⁵⁶⁷⁸⁹"[int digit - int '0'])

    /// A number with so many significant digits, in powers of ten where it is very large or very small: 0.0312, 1.2×10⁻⁷.
    let significant digits (value: float) =
        if Double.IsNaN value then
            "not a number"
        elif Double.IsInfinity value then
            (if value > 0.0 then "∞" else "−∞")
        elif value = 0.0 then
            "0"
        else
            let scientific = value.ToString($"E{digits - 1}", CultureInfo.InvariantCulture).Split 'E'

            let exponent = int scientific[1]

            let shown =
                if exponent < -4 || exponent > 6 then
                    $"{scientific[0]}×10{superscript exponent}"
                elif value = Math.Round value then
                    value.ToString("F0", CultureInfo.InvariantCulture)
                else
                    let decimals = max 0 (digits - 1 - exponent)
                    value.ToString($"F{decimals}", CultureInfo.InvariantCulture)

            shown.Replace('-', '−')

    /// A whole number with thin spaces between its thousands: 12 000.
    let count (value: int) = value.ToString("#,0", CultureInfo.InvariantCulture).Replace(',', '\u202F')

    /// "1 sample", "2 samples".
    let plural (value: int) (noun: string) = if value = 1 then $"1 {noun}" else $"{count value} {noun}s"
