namespace Fokker

open System
open System.IO
open System.Reflection
open System.Runtime.InteropServices

/// Which file is the door to libtorch, and its loading. In this order: the file that FOKKER_TORCH_LIBRARY names; the
/// checkout's own, beside the assembly; the package's, linked with the libtorch of the Debian that it was packed on; one
/// built for the libtorch that is here.
module internal DoorLibrary =

    /// The package's door; another name than the checkout's, which is taken whatever Torch_DIR says.
    [<Literal>]
    let Packaged = "libfokker_torch-debian.so"

    /// The folder of this assembly; none in a program of one file.
    let private own =
        match Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) with
        | null
        | "" -> None
        | folder -> Some folder

    let private beside () =
        AppContext.BaseDirectory :: Option.toList own
        |> List.map (fun folder -> Path.Combine(folder, DoorBuild.FileName))

    /// Where the files of the package Fokker.Torch.Native end up: with the program, in the folders that .NET's host has noted, or, as under
    /// `dotnet fsi`, still in the package, which lies beside this assembly's own: NAME/VERSION/lib/net10.0/.
    let private packaged () =
        let noted =
            match AppContext.GetData "NATIVE_DLL_SEARCH_DIRECTORIES" with
            | :? string as folders -> folders.Split(Path.PathSeparator) |> List.ofArray |> List.filter ((<>) "")
            | _ -> []

        let native = Path.Combine("runtimes", "linux-x64", "native")

        [ yield! noted
          match own with
          | Some folder ->
              folder
              Path.Combine(folder, native)
              let version = Path.GetFullPath(Path.Combine(folder, "..", ".."))
              Path.Combine(version, "..", "..", "fokker.torch.native", string (Path.GetFileName version), native)
          | None -> () ]
        |> List.map (fun folder -> Path.Combine(folder, Packaged))

    /// Loads what libtorch is linked with, one by one, leaves first, where the build left a list of it; false where one is not
    /// there. The loader resolves each symbol by going through everything that is loaded along with what needs it: 280
    /// libraries for Debian's libtorch at once, a few for each by itself, which takes a quarter off the time to load.
    let private preload (library: string) =
        let list = nonNull (Path.ChangeExtension(library, ".preload"))

        not (File.Exists list)
        || File.ReadAllLines list
           |> Seq.filter ((<>) "")
           |> Seq.forall (fun name -> fst (NativeLibrary.TryLoad name))

    let private load (library: string) : Result<nativeint, string> =
        preload library |> ignore

        try
            Ok(NativeLibrary.Load library)
        with :? DllNotFoundException as e ->
            let reason =
                e.Message.Split('\n') |> Array.tryFind (fun line -> line.Contains ".so") |> Option.defaultValue ""

            Error
                $"libtorch cannot be loaded ({reason.Trim()}): install it (Debian: apt-get install libtorch-dev libopenblas0-openmp), or set Torch_DIR to the folder of another one's TorchConfig.cmake"

    /// The package's door where it fits, which the loader decides: it asks for `libtorch_cpu.so.1.13`, say, by name.
    let private loadPackaged (machine: Machine) : nativeint option =
        match machine.Variable "Torch_DIR" with
        | Some _ -> None
        | None ->
            packaged ()
            |> List.tryFind File.Exists
            |> Option.bind (fun library ->
                match preload library, NativeLibrary.TryLoad library with
                | true, (true, handle) -> Some handle
                | _ -> None)

    let private find
        (build: Machine -> Libtorch -> Result<string, string>)
        (machine: Machine)
        : Result<nativeint, string> =
        match machine.Variable "FOKKER_TORCH_LIBRARY" with
        | Some path when File.Exists path -> load path
        | Some path ->
            Error $"FOKKER_TORCH_LIBRARY is '{path}', where there is no file: expected a built {DoorBuild.FileName}"
        | None ->
            match beside () |> List.tryFind File.Exists, lazy (loadPackaged machine) with
            | Some path, _ -> load path
            | None, Lazy(Some handle) -> Ok handle
            | None, _ -> Libtorch.find machine |> Result.bind (build machine) |> Result.bind load

    /// The loaded door; an error is one line with the remedy.
    let obtain (machine: Machine) : Result<nativeint, string> = find (DoorBuild.obtain (eprintfn "%s")) machine

    /// The same where it takes no compiler.
    let ready (machine: Machine) : Result<nativeint, string> = find DoorBuild.cached machine
