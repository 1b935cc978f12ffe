namespace Fokker

open System
open System.IO
open System.Text.Json

/// One line of `metrics.jsonl`: means over the steps since the line before.
[<Struct>]
type Metric =
    {
        /// The last step that it covers; the first step of a run is 1.
        Step: int64
        Loss: float
        GradientNorm: float
        /// The learning rate of that last step.
        Rate: float
        /// Of training, those before a resumption included.
        Seconds: float
    }

/// The history of a run, one JSON object a line.
[<RequireQualifiedAccess>]
module Metrics =

    let private text (value: float) = value.ToString("R", Globalization.CultureInfo.InvariantCulture)

    /// As a line of JSON, without the line's end.
    let line (m: Metric) =
        let seconds = m.Seconds.ToString("F3", Globalization.CultureInfo.InvariantCulture)

        $"{{\"step\":{m.Step},\"loss\":{text m.Loss},\"gradient_norm\":{text m.GradientNorm},\"rate\":{text m.Rate},\"seconds\":{seconds}}}"

    /// The inverse of `line`; none where the line is not whole, as the last one of a killed run may be.
    let ofLine (line: string) : Metric option =
        try
            use document = JsonDocument.Parse line
            let number (name: string) = document.RootElement.GetProperty(name).GetDouble()

            let step, seconds = number "step", number "seconds"

            // No run takes 2⁵³ steps, nor thirty thousand years.
            if step >= 0.0 && step < 9e15 && seconds >= 0.0 && seconds < 1e12 then
                Some
                    { Step = int64 step
                      Loss = number "loss"
                      GradientNorm = number "gradient_norm"
                      Rate = number "rate"
                      Seconds = seconds }
            else
                None
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? System.Collections.Generic.KeyNotFoundException -> None

    /// All whole lines of a file; none where there is no file.
    let read (file: string) : Metric list =
        if File.Exists file then
            Disk.read file (fun stream ->
                use reader = new StreamReader(stream)

                [ let mutable line = reader.ReadLine()

                  while not (isNull line) do
                      yield! Option.toList (ofLine (nonNull line))
                      line <- reader.ReadLine() ])
        else
            []

    /// The line as an event of TensorBoard's, in a training that has taken no second at the time `start`.
    let internal event (start: float) (m: Metric) : byte[] =
        EventFile.scalars
            (start + m.Seconds)
            m.Step
            [ "loss", m.Loss; "gradient norm", m.GradientNorm; "learning rate", m.Rate ]

    /// Whether a line is due after step k: after every step at first, then about 200 times while k grows tenfold.
    let isDue (k: int64) =
        let rec power p = if 10L * p <= k then power (10L * p) else p
        k % max 1L (power 1L / 20L) = 0L

/// Writes the history as it happens, and the same for TensorBoard beside it. Opening it cuts off what lies after `step`: lines that a killed run wrote after
/// its last checkpoint, and will write again.
[<Sealed>]
type internal MetricsWriter(file: string, step: int64) =
    let kept = Metrics.read file |> List.filter (fun m -> m.Step <= step)

    let refused (error: exn) =
        raise (
            UserError(
                $"{file}: cannot be written ({error.Message}): make room or give it its permissions back, then resume the run",
                error
            )
        )

    let events = Path.Combine(string (Path.GetDirectoryName file), EventFile.name)
    let seconds = kept |> List.tryLast |> Option.map _.Seconds |> Option.defaultValue 0.0
    // The events are a function of the lines, and of when the run began.
    let start = EventFile.timeOf events |> Option.defaultWith (fun () -> EventFile.now () - seconds)

    let stream =
        try
            let stream = new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read)

            try
                // Lines are kept as they are: numbers that are parsed and printed again need not be the same text.
                let text =
                    use reader = new StreamReader(stream, leaveOpen = true)
                    reader.ReadToEnd().Split '\n'

                let whole =
                    text
                    |> Array.filter (fun line ->
                        match Metrics.ofLine line with
                        | Some m -> m.Step <= step
                        | None -> false)
                    |> Array.map (fun line -> line + "\n")
                    |> String.concat ""
                    |> Text.Encoding.UTF8.GetBytes

                stream.Position <- 0L
                stream.Write(ReadOnlySpan whole)
                stream.SetLength(int64 whole.Length)
                stream
            with _ ->
                stream.Dispose()
                reraise ()
        with
        | :? IOException as e -> refused e
        | :? UnauthorizedAccessException as e -> refused e

    let board =
        try
            let board = new FileStream(events, FileMode.Create, FileAccess.Write, FileShare.Read)

            try
                board.Write(ReadOnlySpan(EventFile.beginning start))

                for m in kept do
                    board.Write(ReadOnlySpan(Metrics.event start m))

                board.Flush()
                board
            with _ ->
                board.Dispose()
                reraise ()
        with
        | :? IOException as e ->
            stream.Dispose()
            refused e
        | :? UnauthorizedAccessException as e ->
            stream.Dispose()
            refused e

    let mutable loss = 0.0
    let mutable norm = 0.0
    let mutable count = 0
    let mutable last = Unchecked.defaultof<Metric>

    let write () =
        let line = Metrics.line { last with Loss = loss / float count; GradientNorm = norm / float count }

        try
            stream.Write(ReadOnlySpan(Text.Encoding.UTF8.GetBytes(line + "\n")))
            stream.Flush()
            Metrics.ofLine line |> Option.iter (fun m -> board.Write(ReadOnlySpan(Metrics.event start m)))
            board.Flush()
        with :? IOException as e ->
            refused e

        loss <- 0.0
        norm <- 0.0
        count <- 0

    /// Seconds of training that the kept lines cover.
    member _.Seconds = seconds

    /// Adds a step; writes a line where one is due.
    member _.Add (info: StepInfo) (seconds: float) =
        loss <- loss + info.Loss
        norm <- norm + info.GradientNorm
        count <- count + 1

        last <-
            { Step = info.Step
              Loss = info.Loss
              GradientNorm = info.GradientNorm
              Rate = info.Rate
              Seconds = seconds }

        if Metrics.isDue info.Step then
            write ()

    /// Every step so far is in a line on the disk when this returns: a checkpoint is not to be ahead of its history.
    member _.Sync() =
        if count > 0 then
            write ()

        try
            stream.Flush true
        with :? IOException as e ->
            refused e

    interface IDisposable with
        member _.Dispose() =
            stream.Dispose()
            board.Dispose()
