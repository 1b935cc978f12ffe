/// The guide's figures and checks. A figure is a piece of SVG in the page: no script, and its colours are those of the page, light or dark.
module Figures

open System
open System.Globalization

/// What a figure shows, each with a word for the legend; an empty one is left out of it.
type Mark =
    | Curve of name: string * (float * float) seq
    | Dashed of name: string * (float * float) seq
    | Dots of name: string * (float * float) seq
    /// A faint line with no place in the legend: a trajectory among others.
    | Trace of (float * float) seq

type Axes =
    {
        X: string
        Y: string
        /// The window; fitted to the marks where there is none.
        Window: ((float * float) * (float * float)) option
        LogX: bool
        LogY: bool
    }

let axes x y = { X = x; Y = y; Window = None; LogX = false; LogY = false }

let private colours =
    [| "var(--one)"; "var(--two)"; "var(--three)"; "var(--four)"; "var(--five)" |]
let private text (v: float) = v.ToString("0.##", CultureInfo.InvariantCulture)

/// About five round numbers within an interval; of a logarithmic axis the powers of ten.
let private ticks isLog (low: float, high: float) =
    if isLog then
        [ for k in ceil low .. floor high -> k, $"10^{k}" ]
    else
        let raw = (high - low) / 5.0
        let power = 10.0 ** floor (log10 raw)
        let step =
            power
            * ([ 1.0; 2.0; 5.0; 10.0 ]
               |> List.find (fun m -> m * power >= raw * 0.999))
        [ for k in ceil (low / step) .. floor (high / step) ->
              k * step, (k * step).ToString("0.####", CultureInfo.InvariantCulture) ]

/// 10^-3 with its exponent raised.
let private label (s: string) =
    match s.Split '^' with
    | [| b; e |] -> $"{b}<tspan dy='-5' font-size='9'>{e}</tspan>"
    | _ -> s

let private points mark =
    match mark with
    | Curve(_, p)
    | Dashed(_, p)
    | Dots(_, p)
    | Trace p -> p

/// Names of clip paths are the page's: each is used once.
let mutable private clips = 0

/// One panel of the given width and height.
let private panel (width: float) (height: float) (axes: Axes) (marks: Mark list) =
    let scale isLog v = if isLog then log10 v else v
    let at (x, y) = scale axes.LogX x, scale axes.LogY y

    let marks =
        marks
        |> List.map (fun mark ->
            let all =
                points mark
                |> Seq.map at
                |> Seq.filter (fun (x, y) ->
                    Double.IsFinite x && Double.IsFinite y)
                |> Array.ofSeq
            mark, all)

    let (x0, x1), (y0, y1) =
        match axes.Window with
        | Some((a, b), (c, d)) ->
            (scale axes.LogX a, scale axes.LogX b),
            (scale axes.LogY c, scale axes.LogY d)
        | None ->
            let all = marks |> Seq.collect snd |> Array.ofSeq
            let range f = (Array.min (Array.map f all), Array.max (Array.map f all))
            let widened (low, high) =
                let m = 0.04 * (high - low) in low - m, high + m
            widened (range fst), widened (range snd)

    let inset, foot, top = 46.0, 38.0, 24.0
    let px x = inset + (x - x0) / (x1 - x0) * (width - inset - 12.0)
    let py y = height - foot - (y - y0) / (y1 - y0) * (height - foot - top)
    let line (p: (float * float)[]) =
        p
        |> Array.map (fun (x, y) -> $"{text (px x)},{text (py y)}")
        |> String.concat " "
    clips <- clips + 1
    let clip = $"clip{clips}"

    let named =
        marks
        |> List.filter (fun (m, _) ->
            match m with
            | Trace _
            | Dots("", _) -> false
            | _ -> true)

    let colour mark =
        match
            List.tryFindIndex (fun (m, _) -> Object.ReferenceEquals(m, mark)) named
        with
        | Some i -> colours[i % colours.Length]
        | None -> "var(--ink)"

    [ $"<clipPath id='{clip}'><rect x='{text (px x0)}' y='{text (py y1)}' width='{text (px x1 - px x0)}' height='{text (py y0 - py y1)}'/></clipPath>"
      for v, s in ticks axes.LogX (x0, x1) do
          $"<line class='tick' x1='{text (px v)}' x2='{text (px v)}' y1='{text (py y0)}' y2='{text (py y1)}'/>"
          $"<text x='{text (px v)}' y='{text (py y0 + 16.0)}' text-anchor='middle'>{label s}</text>"
      for v, s in ticks axes.LogY (y0, y1) do
          $"<line class='tick' x1='{text (px x0)}' x2='{text (px x1)}' y1='{text (py v)}' y2='{text (py v)}'/>"
          $"<text x='{text (px x0 - 7.0)}' y='{text (py v + 4.0)}' text-anchor='end'>{label s}</text>"
      $"<text x='{text (0.5 * (px x0 + px x1))}' y='{text (height - 4.0)}' text-anchor='middle'>{axes.X}</text>"
      $"<text x='{text (px x0)}' y='12'>{axes.Y}</text>"
      $"<g clip-path='url(#{clip})'>"
      for mark, p in marks do
          match mark with
          | Trace _ ->
              $"<polyline class='curve' stroke='var(--soft)' stroke-opacity='0.35' style='stroke-width:1' points='{line p}'/>"
          | Curve _ ->
              $"<polyline class='curve' stroke='{colour mark}' points='{line p}'/>"
          | Dashed _ ->
              $"<polyline class='curve' stroke='{colour mark}' stroke-dasharray='6 4' points='{line p}'/>"
          | Dots _ ->
              let r = if p.Length > 60 then 1.4 else 3.0
              for x, y in p do
                  $"<circle cx='{text (px x)}' cy='{text (py y)}' r='{r}' fill='{colour mark}' fill-opacity='0.7'/>"
      "</g>"
      let legend =
          [ for m, _ in named do
                match m with
                | Curve(n, _)
                | Dashed(n, _)
                | Dots(n, _) when n <> "" -> yield (n, colour m)
                | _ -> () ]
      let mutable right = px x1
      for name, colour in List.rev legend do
          $"<text x='{text right}' y='12' text-anchor='end' style='fill:{colour}'>{name}</text>"
          right <- right - 7.0 * float name.Length - 16.0 ]
    |> String.concat "\n"
    |> fun inner ->
        $"<svg viewBox='0 0 {text width} {text height}' style='max-width:{text (1.25 * width)}px' role='img'>{inner}</svg>"

/// Panels side by side, one below the other where the page is narrow, with a caption below. Letters have one size on either, so that a single panel is drawn
/// twice, wide and narrow, and the page shows one of them.
let panels (caption: string) (shown: (Axes * Mark list) list) : string =
    let draw width height =
        shown |> List.map (fun (axes, marks) -> panel width height axes marks)
    let figures =
        match shown with
        | [ _ ] ->
            [ for kind, drawn in
                  [ "wide", draw 760.0 300.0; "narrow", draw 380.0 270.0 ] ->
                  $"<div class='panels {kind}'>{List.head drawn}</div>" ]
        | _ ->
            let inner =
                draw
                    (760.0 / float shown.Length)
                    (if shown.Length = 2 then 270.0 else 230.0)
                |> String.concat "\n"
            [ $"<div class='panels'>{inner}</div>" ]
    let figures = String.concat "\n" figures
    $"<figure>{figures}<figcaption>{caption}</figcaption></figure>"

let figure caption axes marks = panels caption [ (axes, marks) ]

/// f at n even places of an interval.
let sampled n (low: float, high: float) f =
    [ for k in 0 .. n - 1 ->
          let x = low + (high - low) * float k / float (n - 1) in (x, f x) ]

/// The share of values per unit of length in cells of an interval: what a density is compared with.
let histogram cells (low: float, high: float) (values: float[]) =
    let width = (high - low) / float cells
    let counts = Array.zeroCreate cells
    for v in values do
        let k = int (floor ((v - low) / width))
        if k >= 0 && k < cells then
            counts[k] <- counts[k] + 1
    [ for k in 0 .. cells - 1 ->
          low + (float k + 0.5) * width,
          float counts[k] / (float values.Length * width) ]

/// A number that the text relies on. The guide does not build where it is not what the text says.
let expect (what: string) (wanted: float) (tolerance: float) (found: float) =
    if not (abs (found - wanted) <= tolerance) then
        failwith $"{what}: {found} where the text says {wanted} ± {tolerance}"
