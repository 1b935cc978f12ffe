/// The guide's pages and the links between them, without building it: `./build.sh Docs` runs them and checks every anchor besides.
module Fokker.Tests.CommandLine.GuideTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Expecto
open Fokker.Tests

let private docs = Checkout.file "docs"

/// Every page: what becomes one is Markdown or a script.
let private pages =
    [ for pattern in [ "*.md"; "*.fsx" ] do
          yield! Directory.GetFiles(docs, pattern, SearchOption.AllDirectories) ]
    |> List.sort

let private short (page: string) = Path.GetRelativePath(Checkout.root, page)

/// The values of a page's front matter.
let private front (page: string) =
    let text = File.ReadAllText page
    let found = Regex.Match(text, @"\A(?:\(\*\*\s*)?---\n(.*?)\n---\n", RegexOptions.Singleline)
    Expect.isTrue found.Success $"{short page} has no front matter"

    Map
        [ for line in found.Groups[1].Value.Split '\n' do
              match line.Split(": ", 2) with
              | [| key; value |] -> key, value
              | _ -> () ]

/// The text that is read: no code, neither in blocks nor in lines.
let private prose (page: string) =
    let text = File.ReadAllText page
    let text = Regex.Replace(text, "^```.*?^```", "", RegexOptions.Singleline ||| RegexOptions.Multiline)

    let text =
        if page.EndsWith ".fsx" then
            [ for block in
                  Regex.Matches(text, @"^\(\*\*[^*](.*?)\*\)$", RegexOptions.Singleline ||| RegexOptions.Multiline) ->
                  block.Groups[1].Value ]
            |> String.concat "\n"
        else
            text

    Regex.Replace(text, "`[^`]*`", "")

let private links (page: string) =
    [ for found in Regex.Matches(prose page, @"\]\(([^)\s]+)\)") -> found.Groups[1].Value ]

/// A link to a page is one to its source, or to the .html that it becomes; anything else is a file of the checkout. The reference is made from the library.
let private leadsSomewhere (page: string) (target: string) =
    let path = (target.Split '#')[0]
    let file = Path.GetFullPath(Path.Combine(nonNull (Path.GetDirectoryName page), path))

    path = ""
    || Regex.IsMatch(target, "^[a-z]+:")
    || Path.GetRelativePath(docs, file) = Path.Combine("reference", "index.html")
    || File.Exists file
    || file.EndsWith ".html"
       && [ ".md"; ".fsx" ] |> List.exists (fun ending -> File.Exists(Path.ChangeExtension(file, ending)))

[<Tests>]
let tests =
    testList
        "CommandLine.Guide"
        [ testCase "every link between the guide's pages leads somewhere"
          <| fun () ->
              let all =
                  [ for page in Checkout.file "README.md" :: pages do
                        for target in links page -> page, target ]
              Expect.isGreaterThan all.Length 40 ""

              for page, target in all do
                  Expect.isTrue (leadsSomewhere page target) $"{short page}: {target}"

          // The first sentence after the title says what a reader has of the page.
          testCase "every page begins with what its reader can do after it"
          <| fun () ->
              for page in pages do
                  let first = Regex.Match(prose page, @"^# .+\n\n(.+)", RegexOptions.Multiline).Groups[1].Value
                  Expect.isMatch first "^After this (page|chapter) you (can|know) " (short page)

          testCase "every page has a place in the menu, and no two the same"
          <| fun () ->
              let places =
                  [ for page in pages do
                        let front = front page
                        Expect.isTrue (front.ContainsKey "title") $"{short page}: title"
                        (front["categoryindex"], front["category"]), int front["index"], short page ]

              for (category, index), same in places |> List.groupBy (fun (category, index, _) -> category, index) do
                  Expect.equal same.Length 1 $"{category}, {index}: {same}"

              // A category has one place.
              let categories = places |> List.map (fun (category, _, _) -> category) |> List.distinct
              Expect.equal (List.distinctBy fst categories) categories ""
              Expect.equal (List.distinctBy snd categories) categories ""

          testCase "the first page leads to every other one"
          <| fun () ->
              let index = Path.Combine(docs, "index.md")

              let reached =
                  [ for target in links index ->
                        Path.ChangeExtension(Path.GetFullPath(Path.Combine(docs, (target.Split '#')[0])), null) ]

              for page in pages do
                  if page <> index then
                      Expect.contains reached (Path.ChangeExtension(page, null)) (short page)

          // `./build.sh Docs` runs them, which takes minutes; that they still know the library by its names takes seconds.
          testCase "every script of the guide compiles"
          <| fun () ->
              let file = Path.Combine(Path.GetTempPath(), $"fokker-guide-{Guid.NewGuid():N}.fsx")

              try
                  // One compilation for all of them; nothing is run.
                  File.WriteAllLines(
                      file,
                      [ for page in pages do
                            if page.EndsWith ".fsx" then
                                $"#load @\"{page}\"" ]
                  )
                  let words = [ "fsi"; "--quiet"; "--typecheck-only"; file ]
                  let info =
                      ProcessStartInfo("dotnet", words, RedirectStandardError = true, RedirectStandardOutput = true)
                  use child = nonNull (Process.Start info)
                  let error = child.StandardError.ReadToEndAsync()
                  let out = child.StandardOutput.ReadToEnd()
                  child.WaitForExit()
                  Expect.equal child.ExitCode 0 (out + error.Result)
              finally
                  File.Delete file ]
