namespace Fokker

open System.IO
open System.Runtime.InteropServices
open System.Text.RegularExpressions

/// A libtorch that can be built against.
type internal Libtorch =
    {
        /// Where its TorchConfig.cmake is: what CMake calls Torch_DIR.
        Folder: string
        /// As its CMake files state it, for instance `2.6.0`.
        Version: string
        /// Whether its strings are C++11's (`_GLIBCXX_USE_CXX11_ABI`); what is linked with it must agree.
        Cxx11: bool
    }

module internal Libtorch =

    [<Literal>]
    let private Config = "TorchConfig.cmake"

    /// Where CMake would look without being told: its own prefixes, then the system's.
    let private usual (machine: Machine) =
        let prefixes =
            match machine.Variable "CMAKE_PREFIX_PATH" with
            | Some paths -> paths.Split(Path.PathSeparator) |> List.ofArray
            | None -> []

        let multiarch =
            match RuntimeInformation.ProcessArchitecture with
            | Architecture.Arm64 -> "aarch64-linux-gnu"
            | _ -> "x86_64-linux-gnu"

        [ for prefix in prefixes @ [ "/usr/local"; "/usr" ] do
              for place in [ $"lib/{multiarch}/cmake"; "lib/cmake"; "share/cmake" ] ->
                  Path.Combine(prefix, place, "Torch")
          for prefix in prefixes -> Path.Combine(prefix, "Torch") ]

    let private hasConfig folder = File.Exists(Path.Combine(folder, Config))

    /// The value of the first match's group, in a file that may not be there.
    let private read (file: string) (pattern: string) =
        if File.Exists file then
            let found = Regex.Match(File.ReadAllText file, pattern)
            if found.Success then Some found.Groups[1].Value else None
        else
            None

    let private at (folder: string) : Libtorch =
        let flag = read (Path.Combine(folder, Config)) "_GLIBCXX_USE_CXX11_ABI=([01])"
        let version = read (Path.Combine(folder, "TorchConfigVersion.cmake")) "PACKAGE_VERSION \"([^\"]+)\""

        { Folder = Path.GetFullPath folder
          Version = version |> Option.defaultValue "unknown"
          Cxx11 = flag <> Some "0" }

    /// The libtorch that Torch_DIR names, else the first in the usual places; an error is one line with the remedy.
    let find (machine: Machine) : Result<Libtorch, string> =
        match machine.Variable "Torch_DIR" with
        | Some folder when hasConfig folder -> Ok(at folder)
        | Some folder ->
            Error
                $"Torch_DIR is '{folder}', which has no {Config}: expected the folder of libtorch that has it, share/cmake/Torch"
        | None ->
            match usual machine |> List.tryFind hasConfig with
            | Some folder -> Ok(at folder)
            | None ->
                Error
                    "libtorch and its headers are not on this machine: install them (Debian: apt-get install libtorch-dev libopenblas0-openmp), or set Torch_DIR to the folder of another one's TorchConfig.cmake"
