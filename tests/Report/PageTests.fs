/// The report of a real run in a real browser.
module Fokker.Tests.Report.PageTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open NUnit.Framework
open Fokker.Tests.CommandLine.Support

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

[<Test>]
let ``a run's report draws all its figures without an error`` () =
    match chromium () with
    | None when Environment.GetEnvironmentVariable "CI" = "true" ->
        Assert.Fail "chromium is not installed: apt-get install chromium"
    | None -> Assert.Ignore "chromium is not installed: apt-get install chromium"
    | Some browser ->
        use folder = new Folder()
        let root = folder.File "runs"
        let outcome = fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small)
        Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)
        let page = Path.Combine(root, "first", "report.html")
        let dom = rendered browser page
        Assert.That(attribute "errors" dom, Is.EqualTo "0", attribute "error" dom)
        Assert.That(attribute "check" dom, Is.EqualTo "done")
        Assert.That(attribute "figures" dom, Is.EqualTo(attribute "expected" dom))
        // Samples, animation, field and loss.
        Assert.That(int (attribute "figures" dom), Is.GreaterThanOrEqualTo 4)

        for words in
            [ "Samples beside data"
              "From noise to data"
              "Velocity field"
              "How to repeat this run"
              "./fokker train moons" ] do
            Assert.That(dom, Does.Contain words)

/// The page must not need anything beside itself.
[<Test>]
let ``a report refers to nothing outside`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    let outcome = fokker ([ "train"; "rings"; "--name"; "first"; "--runs"; root ] @ small)
    Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)
    let text = File.ReadAllText(Path.Combine(root, "first", "report.html"))
    Assert.That(Regex.IsMatch(text, "<(script|img|iframe)[^>]+src=\"(https?:)?//"), Is.False)
    Assert.That(Regex.IsMatch(text, "<link[^>]+href=\"https?:"), Is.False)

/// A script that somebody's text had brought into the page would stay text.
[<Test>]
let ``a report lets its own scripts run and no others`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    let outcome = fokker ([ "train"; "rings"; "--name"; "first"; "--runs"; root ] @ small)
    Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)
    let html = File.ReadAllText(Path.Combine(root, "first", "report.html"))
    let policy = Regex.Match(html.Replace("&#39;", "'"), "script-src ([^;]*);").Groups[1].Value
    Assert.That(policy, Does.Not.Contain "unsafe")

    // Each script that a browser runs has its hash there; the data blocks of other types are none.
    let scripts =
        [ for m in Regex.Matches(html, "<script>(.*?)</script>", RegexOptions.Singleline) -> m.Groups[1].Value ]
    Assert.That(scripts.Length, Is.EqualTo 2)

    for script in scripts do
        let digest = Security.Cryptography.SHA256.HashData(Text.Encoding.UTF8.GetBytes script)
        Assert.That(policy, Does.Contain("'sha256-" + Convert.ToBase64String digest + "'"))
