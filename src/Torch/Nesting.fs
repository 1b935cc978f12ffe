namespace Fokker

open System

/// Which derivatives are being taken around the current call on this thread. It tells the engine whether a derivative
/// will itself be differentiated, and the few operators whose derivatives libtorch does not nest to stand aside for
/// compositions of others; users never see it.
[<AbstractClass; Sealed>]
type internal Nesting() =
    [<ThreadStatic; DefaultValue>]
    static val mutable private reverse: int

    [<ThreadStatic; DefaultValue>]
    static val mutable private level: int64

    /// How many reverse derivatives.
    static member Reverse = Nesting.reverse

    /// Whether a forward derivative; they do not nest.
    static member Forward = Nesting.level > 0L

    /// libtorch's number for the forward derivative's tangents.
    static member Level = Nesting.level - 1L

    /// Both kinds, in whichever order: forward rules are differentiated backwards, or backward formulas forwards.
    static member Mixed = Nesting.reverse > 0 && Nesting.level > 0L

    static member Reversing(f: unit -> 'T) : 'T =
        Nesting.reverse <- Nesting.reverse + 1

        try
            f ()
        finally
            Nesting.reverse <- Nesting.reverse - 1

    static member Forwarding(level: int64, f: unit -> 'T) : 'T =
        Nesting.level <- level + 1L

        try
            f ()
        finally
            Nesting.level <- 0L
