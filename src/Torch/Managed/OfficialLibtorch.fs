namespace Fokker

open System
open System.IO
open System.Reflection
open System.Runtime.InteropServices

/// The official libtorch, as NuGet's packages `libtorch-cpu-…` bring it: where it is, and its loading.
module internal OfficialLibtorch =

    /// The one whose C ABI and C++ names this assembly was written for.
    [<Literal>]
    let Release = "2.10.0"

    /// `linux-x64`, `win-x64`, `osx-arm64`, …: .NET's word for this machine in a package's folders.
    let private platform =
        let system =
            if OperatingSystem.IsWindows() then "win"
            elif OperatingSystem.IsMacOS() then "osx"
            else "linux"

        $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}"

    /// The package that brings it here.
    let package = $"libtorch-cpu-{platform}"

    let private file (name: string) =
        if OperatingSystem.IsWindows() then $"{name}.dll"
        elif OperatingSystem.IsMacOS() then $"lib{name}.dylib"
        else $"lib{name}.so"

    /// Where it may lie: the folder that FOKKER_LIBTORCH names; with the program, as the package's files do after a build; in the
    /// folder of NuGet's packages, where they are under `dotnet fsi` and in a checkout.
    let private folders (machine: Machine) : string list =
        let noted =
            match AppContext.GetData "NATIVE_DLL_SEARCH_DIRECTORIES" with
            | :? string as folders -> folders.Split(Path.PathSeparator) |> List.ofArray |> List.filter ((<>) "")
            | _ -> []

        let native = Path.Combine("runtimes", platform, "native")

        let own =
            match Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) with
            | null
            | "" -> []
            | folder -> [ folder ]

        // An assembly that is still in its package, NAME/VERSION/lib/net10.0, has the others' packages three folders up.
        let packages =
            [ yield! machine.Variable "NUGET_PACKAGES" |> Option.toList
              for folder in own -> Path.GetFullPath(Path.Combine(folder, "..", "..", "..", ".."))
              yield Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages") ]

        [ yield! noted
          for folder in AppContext.BaseDirectory :: own do
              yield folder
              yield Path.Combine(folder, native)
          for folder in packages -> Path.Combine(folder, package, Release, native) ]

    /// The folder that it lies in; an error is one line with the remedy.
    let find (machine: Machine) : Result<string, string> =
        let library = file "torch_cpu"
        let isThere (folder: string) = File.Exists(Path.Combine(folder, library))

        match machine.Variable "FOKKER_LIBTORCH" with
        | Some folder when isThere folder -> Ok folder
        | Some folder ->
            Error
                $"FOKKER_LIBTORCH is '{folder}', which has no {library}: expected the folder of libtorch {Release}'s libraries"
        | None ->
            match folders machine |> List.tryFind isThere with
            | Some folder -> Ok folder
            | None ->
                Error
                    $"the official libtorch is not on this machine: dotnet add package {package} --version {Release}, or set FOKKER_LIBTORCH to the folder of its libraries"

    /// Its two libraries, loaded.
    type Loaded = { Folder: string; Cpu: nativeint; C10: nativeint }

    let private missing (loaded: Loaded) : string list =
        let lacks (library: nativeint) (name: string) = not (fst (NativeLibrary.TryGetExport(library, name)))

        [ yield! Abi.names () |> List.filter (lacks loaded.Cpu)
          for name in [ Cpp.mutableGrad; Cpp.requiresGrad; Cpp.tangent ] do
              if lacks loaded.C10 name.Here then
                  yield name.Here
          for name in [ Cpp.openLevel; Cpp.closeLevel; Cpp.setThreads; Cpp.cudaDevices ] do
              if lacks loaded.Cpu name.Here then
                  yield name.Here ]

    /// Loads it and sees that everything that is called is there; an error is one line with the remedy.
    let load (machine: Machine) : Result<Loaded, string> =
        match find machine with
        | Error reason -> Error reason
        | Ok folder ->
            let at name = Path.Combine(folder, file name)

            try
                // macOS's libraries ask for OpenMP's by a path of the machine that they were made on; one that is loaded answers to it.
                if OperatingSystem.IsMacOS() && File.Exists(at "omp") then
                    NativeLibrary.Load(at "omp") |> ignore

                let c10 = NativeLibrary.Load(at "c10")
                let loaded = { Folder = folder; C10 = c10; Cpu = NativeLibrary.Load(at "torch_cpu") }

                match missing loaded with
                | [] -> Ok loaded
                | names ->
                    let some = names |> List.truncate 3 |> String.concat ", "
                    let more = if names.Length > 3 then $" and {names.Length - 3} more" else ""

                    Error
                        $"the libtorch in {folder} has no {some}{more}, which Fokker calls: expected the package {package} {Release}"
            with :? DllNotFoundException as e ->
                let reason =
                    e.Message.Split '\n'
                    |> Array.tryFind (fun line -> line.Contains ".so" || line.Contains ".d")
                    |> Option.defaultValue ""

                Error $"the libtorch in {folder} cannot be loaded ({reason.Trim()})"
