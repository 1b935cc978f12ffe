namespace Fokker

open System

/// What is wrong with what a person asked for: a file, an option, a combination. One line that names it and says what was
/// expected; the command line prints it and exits with 2.
type UserError(message: string, inner: exn | null) =
    inherit Exception(message, inner)
    new(message) = UserError(message, null)
