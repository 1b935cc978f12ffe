namespace Fokker.Tool

open System
open System.Diagnostics
open System.Globalization
open System.Threading
open Spectre.Console
open Spectre.Console.Rendering
open Fokker

/// The text to the right of the bar. Spectre's own columns know nothing of losses.
type private DetailColumn() =
    inherit ProgressColumn()
    member val Detail = "" with get, set

    override column.Render(_, _, _) : IRenderable = Text(column.Detail, Style(Nullable Color.Grey))

    override _.NoWrap = true

[<RequireQualifiedAccess>]
module Progress =

    /// Seconds between two lines where there is no screen: nothing is ever silent for ten seconds.
    [<Literal>]
    let private Interval = 4.0

    /// `1:02:03`, `4:05` or `12 s`.
    let duration (seconds: float) : string =
        // A .NET time span ends at some 9e11 seconds.
        if not (seconds >= 0.0 && seconds < 1e11) then
            "?"
        elif seconds < 99.5 then
            seconds.ToString("0", CultureInfo.InvariantCulture) + " s"
        else
            let span = TimeSpan.FromSeconds seconds

            if span.TotalHours >= 1.0 then
                $"{int span.TotalHours}:{span.Minutes:D2}:{span.Seconds:D2}"
            else
                $"{span.Minutes}:{span.Seconds:D2}"

    /// Seconds that are left at the pace so far, for work that began at one share of the whole, a resumed training's for instance, and came to another.
    let remaining (began: float) (share: float) (seconds: float) : float option =
        if share > began && seconds > 0.0 then Some(seconds * (1.0 - share) / (share - began)) else None

    /// Says how long is still to go; the first share that it hears of is where the work began.
    let private left (clock: Stopwatch) : float -> string =
        let mutable began = nan

        fun share ->
            if Double.IsNaN began then
                began <- share

            if share >= 1.0 then
                "in " + duration clock.Elapsed.TotalSeconds
            elif clock.Elapsed.TotalSeconds < 1.0 then
                ""
            else
                match remaining began share clock.Elapsed.TotalSeconds with
                | Some seconds -> duration seconds + " left"
                | None -> ""

    let private joined (parts: string list) = String.Join(" · ", List.filter ((<>) "") parts)

    let private onScreen (terminal: Terminal) (title: string) (total: float) (work: Ticker -> 'T) : 'T =
        let settings = AnsiConsoleSettings()
        settings.Out <- AnsiConsoleOutput(Terminal.reader terminal)
        let console = AnsiConsole.Create settings

        let words = DetailColumn()

        let columns: ProgressColumn[] = [| TaskDescriptionColumn(); ProgressBarColumn(); PercentageColumn(); words |]

        let progress = console.Progress().Columns(columns).AutoRefresh(true)
        progress.RefreshRate <- TimeSpan.FromMilliseconds 200.0

        progress.Start(fun context ->
            let task = context.AddTask(Markup.Escape title, maxValue = total)
            let clock = Stopwatch.StartNew()
            let left = left clock
            let mutable isSilent = true

            let report done' detail =
                isSilent <- false
                task.Value <- done'
                words.Detail <- joined [ detail; left (done' / total) ]

            let result = work report

            // Work that never said how far it was has come to its end.
            if isSilent then
                report total ""

            task.StopTask()
            result)

    let private inLines (terminal: Terminal) (title: string) (total: float) (work: Ticker -> 'T) : 'T =
        let writer = Terminal.reader terminal
        let clock = Stopwatch.StartNew()
        let left = left clock
        let gate = obj ()
        let mutable position = 0.0
        let mutable words = ""
        let mutable spokenAt = 0.0
        let mutable spoken = ""

        let speak () =
            let share = position / total
            let percent = (100.0 * Math.Clamp(share, 0.0, 1.0)).ToString("0", CultureInfo.InvariantCulture)

            let line = $"""{title}: {joined [ percent + " %"; words; left share ]}"""

            // Work that reports nothing for a while is still at work, and says so.
            let line = if line = spoken then $"{line} · {duration clock.Elapsed.TotalSeconds} so far" else line
            spoken <- line
            spokenAt <- clock.Elapsed.TotalSeconds
            writer.WriteLine line
            writer.Flush()

        let beat _ =
            lock gate (fun () ->
                if clock.Elapsed.TotalSeconds - spokenAt >= Interval - 0.5 then
                    speak ())

        use timer = new Timer(beat, null, TimeSpan.FromSeconds Interval, TimeSpan.FromSeconds Interval)

        let result =
            work (fun done' detail ->
                lock gate (fun () ->
                    // Whoever is told a share first says where the work began.
                    left (done' / total) |> ignore
                    position <- done'
                    words <- detail))

        lock gate (fun () ->
            // Work that took no time needs no line.
            if spoken <> "" || clock.Elapsed.TotalSeconds > 1.0 then
                speak ())

        result

    /// Runs work of `total` units under a bar on a screen, under a line every few seconds elsewhere.
    /// Raises Stopped at the first report after a stop was asked for.
    let run (terminal: Terminal) (title: string) (total: float) (work: Ticker -> 'T) : 'T =
        let work (report: Ticker) =
            work (fun done' detail ->
                if terminal.Stop() then
                    raise Stopped

                report done' detail)

        if terminal.Quiet then work (fun _ _ -> ())
        elif terminal.IsScreen then onScreen terminal title total work
        else inLines terminal title total work
