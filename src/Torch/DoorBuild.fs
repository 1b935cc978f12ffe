namespace Fokker

open System
open System.Diagnostics
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Security.Cryptography
open System.Text
open System.Threading

/// The door to libtorch, compiled for the libtorch of this machine and kept for the next program. It is linked with one
/// libtorch's C++ and serves no other, so each has a folder of its own in the cache.
module internal DoorBuild =

    [<Literal>]
    let FileName = "libfokker_torch.so"

    /// What stands in native/, by name: it travels inside this assembly and so is wherever the assembly is.
    let sources () : (string * byte[]) list =
        let assembly = Assembly.GetExecutingAssembly()

        [ for name in assembly.GetManifestResourceNames() |> Array.filter _.StartsWith("native/") |> Array.sort do
              use stream = nonNull (assembly.GetManifestResourceStream name)
              use bytes = new MemoryStream()
              stream.CopyTo bytes
              name.Substring "native/".Length, bytes.ToArray() ]

    /// `VERSION-ABI-ARCHITECTURE-HASH`, the last of the sources and of where libtorch is, since the door is linked with that
    /// very file.
    let key (sources: (string * byte[]) list) (libtorch: Libtorch) : string =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256

        for name, content in ("libtorch", Encoding.UTF8.GetBytes libtorch.Folder) :: sources do
            hash.AppendData(Encoding.UTF8.GetBytes $"{name} {content.Length}\n")
            hash.AppendData content

        let digest = Convert.ToHexStringLower(hash.GetHashAndReset()).Substring(0, 12)
        let version = libtorch.Version |> String.map (fun c -> if Char.IsLetterOrDigit c || c = '.' then c else '_')
        let abi = if libtorch.Cxx11 then "cxx11" else "cxx98"
        let architecture = RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()
        $"{version}-{abi}-{architecture}-{digest}"

    /// What a build needs and $PATH does not lead to, by Debian's names.
    let private missing (machine: Machine) =
        let has name = Machine.hasProgram name machine

        [ if not (has "cmake") then
              "cmake"
          if not (has "make" || Option.isSome (machine.Variable "CMAKE_GENERATOR")) then
              "make"
          if not (List.exists has [ "c++"; "g++"; "clang++" ] || Option.isSome (machine.Variable "CXX")) then
              "g++" ]

    /// $PATH without folders that hold a libtorch: F# Interactive puts those of its packages there, and CMake looks for a library in every folder of $PATH before it looks
    /// beside the libtorch that it was told of, so that the door would be linked with both.
    let private withoutLibtorch (path: string) : string =
        path.Split Path.PathSeparator
        |> Array.filter (fun folder -> not (File.Exists(Path.Combine(folder, "libc10.so"))))
        |> fun folders -> String.Join(Path.PathSeparator, folders)

    /// Runs CMake with the machine's PATH; all it printed is the error where it fails.
    let private cmake (machine: Machine) (arguments: string list) : Result<unit, string> =
        let start = ProcessStartInfo("/usr/bin/env", "cmake" :: arguments)
        start.RedirectStandardOutput <- true
        start.RedirectStandardError <- true
        machine.Variable "PATH"
        |> Option.iter (fun path -> start.Environment["PATH"] <- withoutLibtorch path)

        use cmake = nonNull (Process.Start start)
        let errors = cmake.StandardError.ReadToEndAsync()
        let output = cmake.StandardOutput.ReadToEnd()
        cmake.WaitForExit()

        if cmake.ExitCode = 0 then
            Ok()
        else
            Error $"""cmake {String.concat " " arguments}{"\n"}{output}{errors.Result}"""

    /// Compiles in `work` and puts what a program needs into `folder`, which appears complete or not at all.
    let private compile machine (sources: (string * byte[]) list) (libtorch: Libtorch) (work: string) (folder: string) =
        let from, into = Path.Combine(work, "native"), Path.Combine(work, "build")
        Directory.CreateDirectory from |> ignore

        for name, content in sources do
            File.WriteAllBytes(Path.Combine(from, name), content)

        cmake machine [ "-S"; from; "-B"; into; $"-DTorch_DIR={libtorch.Folder}" ]
        |> Result.bind (fun () -> cmake machine [ "--build"; into; "-j"; string Environment.ProcessorCount ])
        |> Result.map (fun () ->
            let half = $"{folder}.{Environment.ProcessId}"
            Machine.makePrivate half

            for name in [ nonNull (Path.ChangeExtension(FileName, ".preload")); FileName ] do
                if File.Exists(Path.Combine(into, name)) then
                    let copy = Path.Combine(half, name)
                    File.Copy(Path.Combine(into, name), copy, true)
                    File.SetUnixFileMode(
                        copy,
                        UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute
                    )

            Directory.Move(half, folder))

    /// Held by one process at a time, and let go by the system where that process dies.
    let rec private enter (path: string) : FileStream =
        let again = 11 // EAGAIN, Linux's word for "locked by somebody else"

        let attempt =
            try
                Some(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None))
            with :? IOException as e when e.HResult = again ->
                None

        match attempt with
        | Some held -> held
        | None ->
            Thread.Sleep 100
            enter path

    /// Where a door for this libtorch is kept in a cache, and whether what is there is nobody else's: whoever can write there can have code of
    /// theirs run here.
    let private place (libtorch: Libtorch) (cache: string) : string * string * (unit -> Result<unit, string>) =
        let folder = Path.Combine(cache, key (sources ()) libtorch)
        let library = Path.Combine(folder, FileName)
        let files = [ cache; folder; library; nonNull (Path.ChangeExtension(library, ".preload")) ]
        folder, library, (fun () -> Machine.trusted (Path.GetDirectoryName cache) files)

    let private obtainIn
        (say: string -> unit)
        (machine: Machine)
        (libtorch: Libtorch)
        (cache: string)
        : Result<string, string> =
        let folder, library, trusted = place libtorch cache
        let found () = trusted () |> Result.map (fun () -> library)

        let build () =
            say $"Building Fokker's door to libtorch {libtorch.Version}, once, into {folder}"
            let work = Directory.CreateTempSubdirectory("fokker-").FullName

            try
                compile machine (sources ()) libtorch work folder
                |> Result.mapError (fun said ->
                    File.WriteAllText(folder + ".log", said)

                    $"the door to libtorch {libtorch.Version} could not be built for {libtorch.Folder}; all that CMake and the compiler said is in {folder}.log")
            finally
                Directory.Delete(work, true)

        if File.Exists library then
            found ()
        else
            match missing machine with
            | [] ->
                try
                    Machine.makePrivate cache

                    match trusted () with
                    | Error reason -> Error reason
                    | Ok() ->
                        use _ = enter (folder + ".lock")
                        if File.Exists library then found () else build () |> Result.bind found
                with
                | :? IOException
                | :? UnauthorizedAccessException when File.Exists library -> found () // a file system without locks let another in
                | :? IOException
                | :? UnauthorizedAccessException as e ->
                    Error
                        $"the door to libtorch {libtorch.Version} cannot be built into {cache} ({e.Message.Trim()}): set XDG_CACHE_HOME to a folder that can be written"
            | names ->
                let names = String.concat " " names

                Error
                    $"the door to libtorch {libtorch.Version} has to be built, and that needs {names}: install it (Debian: apt-get install {names})"

    /// The door for this libtorch: from the cache, or built there, by one process while others wait for it. `say` is told
    /// before a build starts. An error is one line with the remedy.
    let obtain (say: string -> unit) (machine: Machine) (libtorch: Libtorch) : Result<string, string> =
        Machine.cache machine |> Result.bind (obtainIn say machine libtorch)

    /// The door for this libtorch where an earlier program built it.
    let cached (machine: Machine) (libtorch: Libtorch) : Result<string, string> =
        Machine.cache machine
        |> Result.bind (fun cache ->
            match place libtorch cache with
            | _, library, trusted when File.Exists library -> trusted () |> Result.map (fun () -> library)
            | _ -> Error $"the door to libtorch {libtorch.Version} has not been built")
