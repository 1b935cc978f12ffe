namespace Fokker.Report

open Fokker.Pictures
open System
open System.Globalization
open System.IO
open System.Reflection
open System.Security.Cryptography
open System.Text

/// A report: one run, or one study of several.
type Page =
    {
        /// What was run, such as the name of the run's folder.
        Name: string
        /// What it was trained on.
        DataSet: string
        Date: DateTimeOffset
        /// A sentence or two for a reader who reads nothing else.
        Summary: string
        Headlines: Headline list
        Sections: Section list
        /// Who wrote the page, with a version: it stands in the footer.
        Generator: string
    }

/// Writes a report as one HTML file that needs nothing else: no server, no network, no folder of assets.
module Page =

    let private resource (name: string) =
        match Assembly.GetExecutingAssembly().GetManifestResourceStream name with
        | null ->
            invalidOp
                $"the report's asset '{name}' is not in this assembly; the project file lists it as EmbeddedResource"
        | stream -> stream

    let private readText name =
        use reader = new StreamReader(resource name)
        reader.ReadToEnd()

    /// plotly.js, as its text and as it is packed: it is five megabytes; gzipped inside the page it is two. Compressing it takes a while, so it is done once.
    let private plotly =
        lazy
            (let isThere = Array.contains "plotly.min.js" (Assembly.GetExecutingAssembly().GetManifestResourceNames())

             use stream = resource (if isThere then "plotly.min.js" else "without-plotly.js")
             use memory = new MemoryStream()
             stream.CopyTo memory
             let bytes = memory.ToArray()
             // The page decodes it as charts.js does, which is what the policy's hash is of.
             Encoding.UTF8.GetString bytes, Convert.ToBase64String(Pack.gzip bytes))

    let private errors = readText "errors.js"

    /// In the order that they are to run in; the last one starts the page.
    let private scripts =
        [ "theme.js"
          "data.js"
          "plane.js"
          "player.js"
          "clouds.js"
          "field.js"
          "images.js"
          "charts.js"
          "main.js" ]

    let private body title =
        function
        | Body.Prose paragraphs -> Block.prose paragraphs
        | Body.Metrics metrics -> Block.metrics title metrics
        | Body.Table table -> Block.table title table
        | Body.Settings settings -> Block.settings settings
        | Body.Lines chart -> Figure.lines chart
        | Body.HeatMap map -> Figure.heatMap map
        | Body.Scatter scatter -> Figure.scatter scatter
        | Body.CloudMotion motion -> Figure.cloudMotion motion
        | Body.FieldMotion motion -> Figure.fieldMotion motion
        | Body.Images grids -> Block.images grids
        | Body.ImageMotion motion -> Figure.imageMotion motion
        | Body.Schematic schematic -> Svg.schematic schematic

    let private needsPlotly =
        function
        | Body.Lines _
        | Body.HeatMap _ -> true
        | _ -> false

    let private section index (section: Section) =
        Html.element
            "section"
            [ "id", $"section-{index}"; "aria-labelledby", $"title-{index}" ]
            [ Html.element "h2" [ "id", $"title-{index}" ] [ Html.text section.Title ]
              if section.Note <> "" then
                  Html.classed "p" "note" (Markup.inlines section.Note)
              for part in section.Bodies do
                  body section.Title part ]

    let private headline (headline: Headline) =
        Html.element
            "div"
            []
            [ Html.element "dt" [] (Markup.inlines headline.Label)
              Html.element "dd" [] [ Html.text headline.Value ]
              Html.classed "dd" "note" (Markup.inlines headline.Note) ]

    let private header page =
        let date =
            page.Date.ToString("d MMMM yyyy, HH:mm 'UTC'zzz", CultureInfo.InvariantCulture).Replace("UTC+00:00", "UTC")

        Html.element
            "header"
            []
            [ Html.classed
                  "p"
                  "origin"
                  [ Html.element "span" [ "class", "mark" ] [ Html.text "Fokker" ]
                    Html.element "span" [] [ Html.text page.DataSet ]
                    Html.element "time" [ "datetime", page.Date.ToString "o" ] [ Html.text date ] ]
              Html.element "h1" [] [ Html.text page.Name ]
              if page.Summary <> "" then
                  Html.classed "p" "summary" (Markup.inlines page.Summary)
              if not (List.isEmpty page.Headlines) then
                  Html.classed "dl" "headlines" (List.map headline page.Headlines) ]

    let private contents (sections: Section list) =
        let entry index (section: Section) =
            Html.element "li" [] [ Html.element "a" [ "href", $"#section-{index}" ] [ Html.text section.Title ] ]

        Html.element "nav" [ "aria-label", "Contents" ] [ Html.element "ol" [] (List.mapi entry sections) ]

    /// The browser itself is told to fetch nothing, and to run these scripts and no others: a reference to the network would be an error, not a
    /// request, and a script that a file's text had brought in would stay text.
    let private policy (scripts: string list) =
        let hash (script: string) =
            "'sha256-" + Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes script)) + "'"

        String.concat
            "; "
            [ "default-src 'none'"
              "script-src " + (scripts |> List.map hash |> String.concat " ")
              "style-src 'unsafe-inline'"
              "img-src data: blob:"
              "base-uri 'none'"
              "form-action 'none'" ]

    let private head page scripts =
        Html.element
            "head"
            []
            [ Html.element "meta" [ "charset", "utf-8" ] []
              Html.element "meta" [ "http-equiv", "Content-Security-Policy"; "content", policy scripts ] []
              Html.element "meta" [ "name", "viewport"; "content", "width=device-width, initial-scale=1" ] []
              Html.element "meta" [ "name", "color-scheme"; "content", "light dark" ] []
              Html.element "meta" [ "name", "generator"; "content", page.Generator ] []
              // Without this a browser asks the server of a page for /favicon.ico.
              Html.element "link" [ "rel", "icon"; "href", "data:," ] []
              Html.element "title" [] [ Html.text $"{page.Name} · Fokker" ]
              Html.element "style" [] [ Html.Verbatim(readText "page.css") ]
              Html.element "script" [] [ Html.Verbatim errors ] ]

    /// The page as the text of an HTML file.
    let render (page: Page) : string =
        let drawsCharts = page.Sections |> List.exists (_.Bodies >> List.exists needsPlotly)
        let script = scripts |> List.map readText |> String.concat "\n"
        let script = $"(() => {{\n\"use strict\";\n{script}\n}})();"
        let allowed = [ errors; script ] @ (if drawsCharts then [ fst plotly.Value ] else [])

        let html =
            Html.element
                "html"
                [ "lang", "en"; "data-errors", "0" ]
                [ head page allowed
                  Html.element
                      "body"
                      []
                      [ Html.element "a" [ "class", "skip"; "href", "#main" ] [ Html.text "Skip to the results" ]
                        header page
                        Html.classed
                            "div"
                            "columns"
                            [ contents page.Sections
                              Html.element "main" [ "id", "main" ] (List.mapi section page.Sections) ]
                        Html.element
                            "footer"
                            []
                            [ Html.text page.Generator
                              if drawsCharts then
                                  Html.text " · charts by plotly.js (MIT licence)" ]
                        if drawsCharts then
                            Html.element
                                "script"
                                [ "type", "application/gzip"; "id", "plotly" ]
                                [ Html.Verbatim(snd plotly.Value) ]
                        Html.element "script" [] [ Html.Verbatim script ] ] ]

        "<!doctype html>\n" + Html.render html + "\n"

    /// Writes the page to a file. The file is replaced in one step: a reader never finds half of it.
    let write (path: string) (page: Page) =
        let text = Encoding.UTF8.GetBytes(render page)
        Fokker.Disk.replace path (fun stream -> stream.Write(ReadOnlySpan text))
