namespace Fokker.Report

open Fokker.Pictures
open System

/// The parts of a report that are plain HTML: prose, tables, settings and grids of still images.
module Block =

    let private cell =
        function
        | Cell.Text value -> Html.element "td" [] (Markup.inlines value)
        | Cell.Number value -> Html.classed "td" "number" [ Html.text (Markup.significant 4 value) ]
        | Cell.Missing -> Html.classed "td" "number missing" [ Html.text "–" ]

    let private heading className title =
        Html.element
            "th"
            [ "scope", "col"
              if className <> "" then
                  "class", className ]
            (Markup.inlines title)

    /// Wide tables scroll on their own, and can be scrolled from the keyboard.
    let private scrollable label table =
        Html.element "div" [ "class", "scroll"; "tabindex", "0"; "role", "group"; "aria-label", label ] [ table ]

    /// A table; a column is set flush right when every value in it is a number.
    let table title (table: Table) =
        for row in table.Rows do
            if row.Length <> table.Columns.Length then
                invalidArg (nameof table) $"a row of {row.Length} cells in a table of {table.Columns.Length} columns"

        let isNumeric index =
            table.Rows
            |> List.forall (fun row ->
                match row[index] with
                | Cell.Text _ -> false
                | _ -> true)

        let headings =
            table.Columns
            |> List.mapi (fun index column -> heading (if isNumeric index then "number" else "") column)

        scrollable
            title
            (Html.element
                "table"
                []
                [ Html.element "thead" [] [ Html.element "tr" [] headings ]
                  Html.element "tbody" [] (table.Rows |> List.map (List.map cell >> Html.element "tr" [])) ])

    let private metric (metric: Metric) =
        let value =
            match metric.Error with
            | Some error -> $"{Markup.significant 3 metric.Value} ± {Markup.significant 2 error}"
            | None -> Markup.significant 3 metric.Value

        let floor =
            match metric.Floor with
            | Some floor -> Markup.significant 3 floor
            | None -> "–"

        Html.element
            "tr"
            []
            [ Html.element "th" [ "scope", "row" ] (Markup.inlines metric.Name)
              Html.classed "td" "number" [ Html.text value ]
              Html.element "td" [ "class", "number"; "data-label", "floor" ] [ Html.text floor ]
              Html.classed "td" "note verdict" (Markup.inlines metric.Verdict)
              Html.classed "td" "note" (Markup.inlines metric.Note) ]

    /// Each metric beside its noise floor, with what it says.
    let metrics title (values: Metric list) =
        scrollable
            title
            (Html.element
                "table"
                [ "class", "metrics" ]
                [ Html.element
                      "thead"
                      []
                      [ Html.element
                            "tr"
                            []
                            [ heading "" "metric"
                              heading "number" "value"
                              heading "number" "noise floor"
                              heading "" "verdict"
                              heading "" "how it is measured" ] ]
                  Html.element "tbody" [] (List.map metric values) ])

    /// The command that repeats the run, with a button that copies it, and the settings in groups.
    let settings (settings: Settings) =
        let group (title: string, entries) =
            Html.classed
                "div"
                "group"
                [ Html.element "h3" [] [ Html.text title ]
                  Html.element
                      "dl"
                      []
                      [ for name: string, value: string in entries do
                            Html.element
                                "div"
                                []
                                [ Html.element "dt" [] [ Html.text name ]; Html.element "dd" [] [ Html.text value ] ] ] ]

        Html.element
            "div"
            []
            [ if settings.Command <> "" then
                  Html.classed
                      "div"
                      "command"
                      [ Html.element "pre" [ "tabindex", "0" ] [ Html.element "code" [] [ Html.text settings.Command ] ]
                        Html.element "button" [ "type", "button"; "class", "copy" ] [ Html.text "Copy" ] ]
              Html.classed "div" "groups" (List.map group settings.Groups) ]

    /// Small images are shown at a whole multiple of their size, so that each pixel is a square.
    let private shownWidth width = width * max 1 (int (Math.Round(64.0 / float width)))

    /// Letters that a line under a tile holds: one of ten columns where two grids stand side by side, and one of its own width.
    let private narrow, wide = 5, 9

    /// Columns whose tiles have their own width where two grids stand side by side: a divisor, so that what stood in a column still does.
    let private fewer (columns: int) =
        [ 5; 4; 3 ] |> List.tryFind (fun n -> columns % n = 0) |> Option.defaultValue 5 |> min columns

    /// A grid whose tiles have labels of so many letters at the most under them, or none.
    let private imageGrid (letters: int) (grid: ImageGrid) =
        let images = grid.Images

        if grid.Labels.Length > 0 && grid.Labels.Length <> images.Count then
            invalidArg (nameof grid) $"{grid.Labels.Length} labels for {images.Count} images"

        let columns = Math.Clamp(grid.Columns, 1, max 1 images.Count)
        let columns = if letters > narrow then fewer columns else columns
        let lines =
            if letters = 0 then 0
            elif letters > wide then 2
            else 1
        let width = shownWidth images.Width

        let tile index =
            let image =
                Html.element
                    "img"
                    [ "src", Figure.pngAddress (Tiles.one images index)
                      "alt", ""
                      "width", string images.Width
                      "height", string images.Height ]
                    []

            if lines = 0 then
                image
            else
                // A tile without a label keeps its place: the rows of grids side by side are of one height.
                let label = if grid.Labels.Length = 0 then "\u00a0" else grid.Labels[index]
                Html.classed "span" "tile" [ image; Html.element "span" [] [ Html.text label ] ]

        Html.classed
            "div"
            "images"
            [ Html.element "h3" [] [ Html.text grid.Title ]
              Html.element
                  "div"
                  [ "class", "tiles"
                    "role", "img"
                    "aria-label", grid.Title + ": " + Markup.plural images.Count "image"
                    "style", $"--columns:{columns};--width:{width}px;--lines:{lines}" ]
                  (List.init images.Count tile) ]

    /// Grids of images side by side.
    let images (grids: ImageGrid list) =
        let letters = grids |> Seq.collect (fun grid -> grid.Labels |> Seq.map String.length) |> Seq.fold max 0
        Html.classed "figure" "figure image-grids" (List.map (imageGrid letters) grids)

    /// Paragraphs.
    let prose paragraphs = Html.classed "div" "prose" (paragraphs |> List.map (Markup.inlines >> Html.element "p" []))
