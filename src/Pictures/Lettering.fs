namespace Fokker.Pictures

/// A small alphabet of strokes: the few words on a PNG are drawn without a browser, a font or a native library.
module Lettering =

    /// Each glyph's width and its strokes, on a grid whose y runs from 0 (descender) over 2 (baseline) and 6 (x-height)
    /// to 8 (capital height). A point is two digits, x and y. `~` begins an open curve and `@` a closed one: quadratic
    /// B-splines with these points as their polygon. The others are straight.
    let private glyphs =
        dict
            [ ' ', (2, "")
              '0', (4, "@02084842")
              '1', (2, "062822")
              '2', (4, "~060848450202 0242")
              '3', (4, "~0708484515 ~1545420203")
              '4', (4, "32380444")
              '5', (4, "480805 ~0545420203")
              '6', (4, "@02054542 ~380804")
              '7', (4, "084812")
              '8', (4, "@05084845 @02054542")
              '9', (4, "@05084845 ~464212")
              '.', (0, "0202")
              ',', (0, "0201")
              ':', (0, "0202 0505")
              '·', (0, "0404")
              '-', (3, "0535")
              '−', (4, "0545")
              '+', (4, "0545 2327")
              '=', (4, "0444 0646")
              '_', (4, "0141")
              '/', (3, "0138")
              '(', (2, "~280421")
              ')', (2, "~082401")
              'a', (4, "@02064642 4642")
              'b', (4, "0802 @02064642")
              'c', (4, "~454606024243")
              'd', (4, "@02064642 4842")
              'e', (4, "0444 ~444606024243")
              'f', (3, "~381812 0636")
              'g', (4, "@02064642 ~4642400001")
              'h', (4, "0802 ~03064642")
              'i', (0, "0602 0808")
              'j', (1, "~161000 1818")
              'k', (3, "0802 360432")
              'l', (0, "0802")
              'm', (4, "0602 ~03062622 ~23264642")
              'n', (4, "0602 ~03064642")
              'o', (4, "@02064642")
              'p', (4, "0600 @02064642")
              'q', (4, "@02064642 4640")
              'r', (3, "0602 ~030636")
              's', (4, "~4546060444420203")
              't', (3, "~18131232 0636")
              'u', (4, "~06024245 4642")
              'v', (4, "062246")
              'w', (4, "0612253246")
              'x', (4, "0642 0246")
              'y', (4, "0622 4610")
              'z', (4, "06460242")
              'A', (4, "022842 1434")
              'B', (4, "0208 ~08484505 ~05454202")
              'C', (4, "~474808024243")
              'D', (4, "0802 ~08484202")
              'E', (4, "48080242 0535")
              'F', (4, "480802 0535")
              'G', (4, "~474808024244 4424")
              'H', (4, "0802 4842 0545")
              'I', (0, "0802")
              'J', (3, "~38320203")
              'K', (4, "0802 480442")
              'L', (4, "080242")
              'M', (4, "0208254842")
              'N', (4, "02084248")
              'O', (4, "@02084842")
              'P', (4, "0208 ~08484505")
              'Q', (4, "@02084842 2442")
              'R', (4, "0208 ~08484505 2542")
              'S', (4, "~4748080545420203")
              'T', (4, "0848 2822")
              'U', (4, "~08024248")
              'V', (4, "082248")
              'W', (4, "0812253248")
              'X', (4, "0842 0248")
              'Y', (4, "0825 482522")
              'Z', (4, "08480242") ]

    let private gap = 1.9f

    /// A letter that the alphabet lacks is drawn as a dot: figures must not fail over a label.
    let private glyph character =
        match glyphs.TryGetValue character with
        | true, found -> found
        | _ -> glyphs['·']

    let private middle (ax: float32, ay: float32) (bx: float32, by: float32) = (ax + bx) / 2.0f, (ay + by) / 2.0f

    /// A parabola from `a` to `c` that leaves and arrives along its control point `b`.
    let private arc a b c =
        [ for step in 1..6 do
              let s = float32 step / 6.0f
              let weigh a b c = (1.0f - s) * (1.0f - s) * a + 2.0f * s * (1.0f - s) * b + s * s * c
              weigh (fst a) (fst b) (fst c), weigh (snd a) (snd b) (snd c) ]

    let private polyline (stroke: string) =
        let digits = stroke.TrimStart('~', '@')

        let points =
            [| for i in 0..2 .. digits.Length - 2 ->
                   float32 digits[i] - float32 '0', float32 digits[i + 1] - float32 '0' |]

        let last = points.Length - 1

        match stroke[0] with
        | '@' ->
            let cyclic i = points[i % points.Length]
            let start = middle (cyclic last) (cyclic 0)

            start
            :: [ for i in 0..last do
                     yield! arc (middle (cyclic (i + last)) (cyclic i)) (cyclic i) (middle (cyclic i) (cyclic (i + 1))) ]
        | '~' ->
            points[0]
            :: [ for i in 1 .. last - 1 do
                     let from = if i = 1 then points[0] else middle points[i - 1] points[i]
                     let onto = if i = last - 1 then points[last] else middle points[i] points[i + 1]
                     yield! arc from points[i] onto ]
        | _ -> List.ofArray points

    /// How wide a text is, in capital heights.
    let width (text: string) =
        let advance character = float32 (fst (glyph character)) + gap
        max 0.0f (Seq.sumBy advance text - gap) / 6.0f

    /// The strokes of a text as polylines, in capital heights from the left end of its baseline, with y upwards.
    let strokes (text: string) : (float32 * float32) list list =
        let starts = text |> Seq.scan (fun x character -> x + float32 (fst (glyph character)) + gap) 0.0f

        [ for start, character in Seq.zip starts text do
              for stroke in (snd (glyph character)).Split(' ', System.StringSplitOptions.RemoveEmptyEntries) do
                  polyline stroke |> List.map (fun (x, y) -> (start + x) / 6.0f, (y - 2.0f) / 6.0f) ]
