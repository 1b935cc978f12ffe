namespace Fokker

open System
open System.IO

/// What surrounds the program: its variables, and what they lead to. A value, so that a test can bring another.
type internal Machine = { Variable: string -> string option }

module internal Machine =

    /// The one that this program runs on; an empty variable counts as none.
    let here =
        { Variable =
            fun name ->
                match Environment.GetEnvironmentVariable name with
                | null
                | "" -> None
                | value -> Some value }

    /// Where to keep what can be made again: `fokker` in $XDG_CACHE_HOME, or in ~/.cache.
    let cache (machine: Machine) : string =
        let home () = Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".cache")
        Path.Combine(machine.Variable "XDG_CACHE_HOME" |> Option.defaultWith home, "fokker")

    /// Whether $PATH leads to a program of this name.
    let hasProgram (name: string) (machine: Machine) : bool =
        machine.Variable "PATH"
        |> Option.defaultValue ""
        |> _.Split(Path.PathSeparator)
        |> Array.exists (fun folder -> folder <> "" && File.Exists(Path.Combine(folder, name)))
