/// The report of a real run in a real browser.
module Fokker.Tests.Report.PageTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Expecto
open Fokker.Tests
open Fokker.Tests.CommandLine.Support
open Fokker.Pictures
open Fokker.Report

let private chromium () =
    [ "chromium"; "chromium-browser"; "google-chrome" ]
    |> List.collect (fun name ->
        [ for folder in (Environment.GetEnvironmentVariable "PATH" |> string).Split ':' -> Path.Combine(folder, name) ])
    |> List.tryFind File.Exists

/// The page's elements after every figure was drawn, every slider moved and every button pressed.
let private rendered (browser: string) (page: string) =
    use profile = new Folder()
    let info =
        ProcessStartInfo(browser, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false)

    for word in
        [ "--headless"
          "--no-sandbox"
          "--disable-gpu"
          $"--user-data-dir={profile.Path}"
          // Time of the page's own, which waits for its scripts: not a time of the machine.
          "--virtual-time-budget=120000"
          "--dump-dom"
          $"file://{page}#check" ] do
        info.ArgumentList.Add word

    match Process.Start info with
    | null -> failwith $"{browser} did not start"
    | child ->
        use child = child
        // Read, or a full pipe would stop it.
        child.ErrorDataReceived.Add ignore
        child.BeginErrorReadLine()
        let dom = child.StandardOutput.ReadToEnd()
        child.WaitForExit()
        dom

let private attribute (name: string) (dom: string) =
    Regex.Match(dom, $"<html[^>]* data-{name}=\"([^\"]*)\"").Groups[1].Value

[<Tests>]
let tests =
    testList
        "Report.Page"
        [ testCase "a run's report draws all its figures without an error"
          <| fun () ->
              match chromium () with
              | None when Environment.GetEnvironmentVariable "CI" = "true" ->
                  failtest "chromium is not installed: apt-get install chromium"
              | None -> skiptest "chromium is not installed: apt-get install chromium"
              | Some browser ->
                  use folder = new Folder()
                  let root = folder.File "runs"
                  let outcome = fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small)
                  Expect.equal outcome.Code 0 outcome.Error
                  let page = Path.Combine(root, "first", "report.html")
                  let dom = rendered browser page
                  Expect.equal (attribute "errors" dom) "0" (attribute "error" dom)
                  Expect.equal (attribute "check" dom) "done" ""
                  Expect.equal (attribute "figures" dom) (attribute "expected" dom) ""
                  // Samples, animation, field and loss.
                  Expect.isGreaterThanOrEqual (int (attribute "figures" dom)) 4 ""

                  for words in
                      [ "Samples beside data"
                        "From noise to data"
                        "Velocity field"
                        "How to repeat this run"
                        "./fokker train moons" ] do
                      Expect.stringContains dom words ""

          // The page must not need anything beside itself.
          testCase "a report refers to nothing outside"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let outcome = fokker ([ "train"; "rings"; "--name"; "first"; "--runs"; root ] @ small)
              Expect.equal outcome.Code 0 outcome.Error
              let text = File.ReadAllText(Path.Combine(root, "first", "report.html"))
              Expect.isFalse (Regex.IsMatch(text, "<(script|img|iframe)[^>]+src=\"(https?:)?//")) ""
              Expect.isFalse (Regex.IsMatch(text, "<link[^>]+href=\"https?:")) ""

          // A script that somebody's text had brought into the page would stay text.
          testCase "a report lets its own scripts run and no others"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let outcome = fokker ([ "train"; "rings"; "--name"; "first"; "--runs"; root ] @ small)
              Expect.equal outcome.Code 0 outcome.Error
              let html = File.ReadAllText(Path.Combine(root, "first", "report.html"))
              let policy = Regex.Match(html.Replace("&#39;", "'"), "script-src ([^;]*);").Groups[1].Value
              Expect.stringLacks policy "unsafe" ""

              // Each script that a browser runs has its hash there; the data blocks of other types are none.
              let scripts =
                  [ for m in Regex.Matches(html, "<script>(.*?)</script>", RegexOptions.Singleline) -> m.Groups[1].Value ]
              Expect.equal scripts.Length 2 ""

              for script in scripts do
                  let digest = Security.Cryptography.SHA256.HashData(Text.Encoding.UTF8.GetBytes script)
                  Expect.stringContains policy ("'sha256-" + Convert.ToBase64String digest + "'") ""

          testCase "a schematic is drawn in the page itself, and what is not a number leaves a gap"
          <| fun () ->
              let window: Window = { Left = 0.0f; Right = 1.0f; Bottom = 0.0f; Top = 1.0f }

              let drawn =
                  Svg.schematic
                      { Columns = 1
                        Legend = [ Tone.Data, "<b>law</b>" ]
                        Panels =
                          [ { Title = "panel"
                              XLabel = "x₁"
                              YLabel = "x₂"
                              Window = window
                              EqualAxes = true
                              Marks =
                                [ Mark.Shade(Tone.Data, 2, [| 0.0; 1.0; nan; 2.0 |])
                                  Mark.Curves(
                                      Tone.Model,
                                      Stroke.Solid,
                                      [| [| 0.0, 0.0; 0.5, nan; 0.7, 0.7; 1.0, 1.0 |] |]
                                  )
                                  Mark.Arrows(
                                      Tone.Model,
                                      [| struct (0.5, 0.5, 0.0, 0.0); struct (0.2, 0.2, 0.3, 0.0) |]
                                  )
                                  Mark.Dots(Tone.Data, [| 0.5, 0.5; 7.0, 0.5 |]) ] } ] }
                  |> Html.render

              Expect.isFalse (drawn.Contains "NaN") "no number that is none"
              Expect.isFalse (drawn.Contains "<script") "no script"
              Expect.stringContains drawn "&lt;b&gt;law" "text is escaped"
              Expect.equal (drawn.Split("<circle").Length - 1) 1 "the dot outside is not drawn"
              Expect.stringContains drawn "data:image/png;base64," "the shade"
              Theory.Expect.raises<ArgumentException, _>(fun () ->
                  Svg.schematic { Columns = 1; Panels = []; Legend = [] })
              |> Theory.Expect.names [ "at least one panel" ] ]
