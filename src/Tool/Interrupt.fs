namespace Fokker.Tool

open System
open System.Runtime.InteropServices
open System.Threading

/// Ctrl-C and SIGTERM as a question that long work asks between two steps. The first signal is noted, so that the work
/// can save and end; a second one kills the process as usual.
[<Sealed>]
type Interrupt private () =
    let mutable signal = 0

    let note code (context: PosixSignalContext) = context.Cancel <- Interlocked.CompareExchange(&signal, code, 0) = 0

    let registrations =
        [ PosixSignalRegistration.Create(PosixSignal.SIGINT, note Exit.Interrupted)
          PosixSignalRegistration.Create(PosixSignal.SIGTERM, note Exit.Terminated) ]

    /// Listens until it is disposed of.
    static member Watch() = new Interrupt()

    /// Whether a stop was asked for.
    member _.IsRequested = Volatile.Read &signal <> 0

    /// The exit code that says by which signal, 0 without one.
    member _.ExitCode = Volatile.Read &signal

    /// Runs work whose progress asks whether to stop. Where it stops, the bar is closed, a line says so, and the exit code is the
    /// signal's: a process killed under a bar leaves the terminal without its cursor.
    static member Around (terminal: Terminal) (work: Terminal -> int) : int =
        use interrupt = Interrupt.Watch()

        try
            work { terminal with Stop = fun () -> interrupt.IsRequested }
        with Stopped ->
            terminal.Error.WriteLine "stopped"
            interrupt.ExitCode

    interface IDisposable with
        member _.Dispose() =
            for registration in registrations do
                registration.Dispose()
