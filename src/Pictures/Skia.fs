namespace Fokker.Pictures

open System
open System.IO
open System.Runtime.InteropServices
open System.Runtime.Loader
open Fokker
open SkiaSharp

/// SkiaSharp's native library: it is loaded when the first picture is read or written, and not before.
module internal Skia =

    /// .NET finds a package's native file by the list of what belongs to a program. A script that refers to an assembly alone has none: there the file lies in
    /// the package's own folders beside the assembly.
    let private beside (assembly: Reflection.Assembly) (name: string) : nativeint =
        match Path.GetDirectoryName assembly.Location with
        | null
        | "" -> 0n
        | folder ->
            let machine = RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()
            let mutable library = 0n
            let file = Path.Combine(folder, "runtimes", $"linux-{machine}", "native", name + ".so")
            if NativeLibrary.TryLoad(file, &library) then library else 0n

    let private loaded: Lazy<Result<unit, string>> =
        lazy
            (try
                let assembly = typeof<SKBitmap>.Assembly

                match AssemblyLoadContext.GetLoadContext assembly with
                | null -> ()
                | context -> context.add_ResolvingUnmanagedDll beside

                use _ = new SKBitmap(1, 1)
                Ok()
             with
             | :? TypeInitializationException
             | :? DllNotFoundException
             | :? BadImageFormatException as e ->
                 Error
                     $"pictures are read and written by SkiaSharp, whose native library cannot be loaded here ({e.GetBaseException().Message})")

    /// Raises EnvironmentException where the native library is not there.
    let require () : unit =
        match loaded.Value with
        | Ok() -> ()
        | Error reason -> raise (EnvironmentException reason)
