namespace Fokker.Tests.Browsing

open System
open System.Collections.Concurrent
open System.IO
open System.Threading.Tasks
open Deque.AxeCore.Commons
open Deque.AxeCore.Playwright
open Microsoft.Playwright

/// The machine's own Chromium without a screen, driven by Playwright. What its pages complain of is kept.
[<Sealed>]
type Browser private (playwright: IPlaywright, chromium: IBrowser) =

    // Longer than anything takes on a busy machine.
    static let patience = 120_000.0f

    static let program =
        [ for name in [ "chromium"; "chromium-browser"; "google-chrome" ] do
              for folder in
                  (Environment.GetEnvironmentVariable "PATH" |> Option.ofObj |> Option.defaultValue "").Split ':' ->
                  Path.Combine(folder, name) ]
        |> List.tryFind File.Exists

    // The driver stays where the package has it: a copy in each project's folder would be another 134 MB.
    static let driver =
        let version = (nonNull (typeof<IPlaywright>.Assembly.GetName().Version)).ToString 3

        let packages =
            match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
            | null
            | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")
            | folder -> folder

        Path.Combine(packages, "microsoft.playwright", version)

    let complaints = ConcurrentQueue<string>()

    let listen (page: IPage) =
        page.PageError.Add complaints.Enqueue

        page.Console.Add(fun message ->
            if message.Type = "error" || message.Type = "warning" then
                complaints.Enqueue $"{message.Text} {message.Location}")

    /// Why there is no browser here, as a line for a test that is skipped; null where there is one.
    static member Missing: string | null =
        match program with
        | Some _ -> null
        | None -> "chromium is not installed: apt-get install chromium"

    /// Whether a test may do without it: in CI it is there.
    static member MayBeMissing: bool = Environment.GetEnvironmentVariable "CI" <> "true"

    /// Starts it, in a folder of its own that goes with it.
    static member StartAsync() : Task<Browser> =
        task {
            Environment.SetEnvironmentVariable("PLAYWRIGHT_DRIVER_SEARCH_PATH", driver)
            let! playwright = Playwright.CreateAsync()
            Assertions.SetDefaultExpectTimeout patience

            let! chromium =
                playwright.Chromium.LaunchAsync(
                    BrowserTypeLaunchOptions(
                        ExecutablePath = Option.get program,
                        // Root has no sandbox, and the pages are ours.
                        ChromiumSandbox = false,
                        Timeout = patience
                    )
                )

            return new Browser(playwright, chromium)
        }

    /// A page by itself: of a desktop, or with the options of another screen.
    member _.OpenAsync(options: BrowserNewPageOptions) : Task<IPage> =
        task {
            let! page = chromium.NewPageAsync options
            page.SetDefaultTimeout patience
            listen page
            return page
        }

    /// What pages complained of since this was last asked: errors and warnings of their scripts, and of the browser about them.
    member _.ComplaintsAsync(page: IPage) : Task<string array> =
        task {
            // An answer comes after everything that was said before it.
            let! _ = page.EvaluateAsync "0"
            let found = complaints.ToArray()
            complaints.Clear()
            return found
        }

    /// What axe finds on a page that keeps somebody from using it: the rule, what it asks for, and the element. Rules of WCAG 2, levels A and AA, and of good practice.
    static member BarriersAsync(page: IPage) : Task<string array> =
        task {
            let! found = page.RunAxe(AxeRunOptions())

            return
                [| for rule in found.Violations do
                       for node in rule.Nodes -> $"{rule.Id}: {rule.Help}: {node.Html}" |]
        }

    interface IAsyncDisposable with
        member _.DisposeAsync() : ValueTask =
            ValueTask(
                task {
                    do! chromium.CloseAsync()
                    playwright.Dispose()
                }
                :> Task
            )
