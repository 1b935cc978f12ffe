namespace Fokker.Report

open Fokker.Pictures
open System.Text

/// A piece of HTML. Text is escaped where it is written out, so that no caller can forget to.
[<RequireQualifiedAccess>]
type Html =
    | Text of string
    /// Text that stands in the page as it is: our own style sheet and scripts.
    | Verbatim of string
    | Element of name: string * attributes: (string * string) list * children: Html list

/// Builds HTML and writes it out.
module Html =

    /// Elements that have no closing tag.
    let private isVoid =
        function
        | "meta"
        | "link"
        | "img"
        | "br" -> true
        | _ -> false

    /// Characters outside ASCII stay readable: the page is UTF-8, and only markup has to be escaped.
    let escape (text: string) =
        let builder = StringBuilder(text.Length)

        for character in text do
            match character with
            | '&' -> builder.Append "&amp;"
            | '<' -> builder.Append "&lt;"
            | '>' -> builder.Append "&gt;"
            | '"' -> builder.Append "&quot;"
            | '\'' -> builder.Append "&#39;"
            | '\000' -> builder.Append '\uFFFD'
            | other -> builder.Append other
            |> ignore

        builder.ToString()

    let element name attributes children = Html.Element(name, attributes, children)

    /// An element that has a class and no other attribute.
    let classed name className children = Html.Element(name, [ "class", className ], children)

    let text value = Html.Text value

    let rec private append (builder: StringBuilder) html =
        match html with
        | Html.Text value -> builder.Append(escape value) |> ignore
        | Html.Verbatim value -> builder.Append value |> ignore
        | Html.Element(name, attributes, children) ->
            builder.Append('<').Append name |> ignore

            for key, value in attributes do
                builder.Append(' ').Append(key).Append("=\"").Append(escape value).Append '"' |> ignore

            builder.Append '>' |> ignore

            if not (isVoid name) then
                List.iter (append builder) children
                builder.Append("</").Append(name).Append '>' |> ignore

    /// The HTML as text.
    let render html =
        let builder = StringBuilder()
        append builder html
        builder.ToString()
