/// The report of a real run in a real browser.
module Fokker.Tests.Report.PageTests

open System
open System.IO
open System.Text.RegularExpressions
open System.Threading.Tasks
open Expecto
open Microsoft.Playwright
open Fokker.Tests
open Fokker.Tests.Browsing
open Fokker.Tests.CommandLine.Support
open Fokker.Pictures
open Fokker.Report

let private wait (work: Task<'T>) : 'T = work.GetAwaiter().GetResult()

/// What the page's script says of itself.
let private said (page: IPage) (name: string) : string =
    wait ((page.Locator "html").GetAttributeAsync $"data-{name}")
    |> Option.ofObj
    |> Option.defaultValue ""

[<Tests>]
let tests =
    testList
        "Report.Page"
        [ testCase "a run's report draws all its figures without an error"
          <| fun () ->
              match Browser.Missing with
              | null -> ()
              | missing when Browser.MayBeMissing -> skiptest missing
              | missing -> failtest missing

              use folder = new Folder()
              let root = folder.File "runs"
              let outcome = fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small)
              Expect.equal outcome.Code 0 outcome.Error
              let file = Path.Combine(root, "first", "report.html")
              let browser = wait (Browser.StartAsync())

              try
                  for scheme in [ ColorScheme.Light; ColorScheme.Dark ] do
                      let page = wait (browser.OpenAsync(BrowserNewPageOptions(ColorScheme = scheme)))
                      wait (page.GotoAsync $"file://{file}#check") |> ignore
                      // Every figure is drawn, every slider moved and every button pressed.
                      page.Locator("html[data-check=done]").WaitForAsync().GetAwaiter().GetResult()
                      Expect.equal (said page "errors") "0" (said page "error")
                      Expect.equal (said page "figures") (said page "expected") ""
                      // Samples, animation, field and loss.
                      Expect.isGreaterThanOrEqual (int (said page "figures")) 4 ""
                      let words = wait (page.ContentAsync())

                      for expected in
                          [ "Samples beside data"
                            "From noise to data"
                            "Velocity field"
                            "How to repeat this run"
                            "./fokker train moons" ] do
                          Expect.stringContains words expected ""
                      Expect.isEmpty (wait (browser.ComplaintsAsync page)) $"{scheme}"
              finally
                  (browser :> IAsyncDisposable).DisposeAsync().AsTask().GetAwaiter().GetResult()

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
