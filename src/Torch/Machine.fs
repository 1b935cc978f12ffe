namespace Fokker

open System
open System.Buffers.Binary
open System.IO
open System.Runtime.InteropServices
open System.Runtime.Intrinsics.X86

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

    /// Where to keep what can be made again: `fokker` in $XDG_CACHE_HOME, or in ~/.cache. An error is one line with the remedy.
    let cache (machine: Machine) : Result<string, string> =
        match machine.Variable "XDG_CACHE_HOME" with
        | Some folder when not (Path.IsPathRooted folder) ->
            // What a relative one means changes from folder to folder, and so does who may write there.
            Error $"XDG_CACHE_HOME is '{folder}', which is relative: set it to a folder's full path, or unset it"
        | Some folder -> Ok(Path.Combine(folder, "fokker"))
        | None -> Ok(Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".cache", "fokker"))

    [<DllImport("libc", SetLastError = true)>]
    extern int private statx(int folder, string path, int flags, uint32 mask, byte[] result)

    [<DllImport("libc")>]
    extern uint32 private geteuid()

    /// Owner and mode of what a path leads to (statx(2): the one call whose answer has the same layout everywhere).
    let private owner (path: string) : struct (uint32 * UnixFileMode) option =
        let result = Array.zeroCreate<byte> 256

        if statx (-100, path, 0, 0x7ffu, result) = 0 then
            let mode = int (BinaryPrimitives.ReadUInt16LittleEndian(ReadOnlySpan(result, 28, 2)))
            Some(struct (BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(result, 20, 4)), enum (mode &&& 0xfff)))
        else
            None

    let private others = UnixFileMode.GroupWrite ||| UnixFileMode.OtherWrite

    /// Whether what is loaded from these files and folders is this user's or root's alone to change, and the folder above them cannot be
    /// rearranged by everybody; else why not, in one line with the remedy.
    let trusted (above: string | null) (paths: string list) : Result<unit, string> =
        let refusal (path: string) =
            match owner path with
            | None -> None // not there: nobody has changed it
            | Some(struct (user, mode)) ->
                if user <> 0u && user <> geteuid () then Some $"{path} belongs to another user (number {user})"
                elif mode &&& others <> UnixFileMode.None then Some $"{path} can be written by others"
                else None

        // In a folder that is everybody's the sticky bit keeps others from renaming what is not theirs.
        let shared =
            match above with
            | null -> None
            | above ->
                match owner above with
                | Some(struct (_, mode)) when
                    mode.HasFlag UnixFileMode.OtherWrite && not (mode.HasFlag UnixFileMode.StickyBit)
                    ->
                    Some $"{above} can be written by everybody"
                | _ -> None

        match shared |> Option.orElse (List.tryPick refusal paths) with
        | None -> Ok()
        | Some reason ->
            Error
                $"{reason}, and code is loaded from there: remove it or chmod go-w it, or set XDG_CACHE_HOME to a folder of your own"

    /// Makes a folder that is its owner's alone, whatever umask says, and those above it as they are usual.
    let makePrivate (folder: string) : unit =
        match Path.GetDirectoryName folder with
        | null -> ()
        | above -> Directory.CreateDirectory above |> ignore

        let alone = UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute
        Directory.CreateDirectory(folder, alone) |> ignore

    /// Whether the processor multiplies numbers of bfloat16 by itself, with AVX-512's instructions or AMX's (Intel's manual, volume 2A, CPUID, leaf 7).
    let multipliesBFloat16 () : bool =
        let bit n (register: int) = register &&& (1 <<< n) <> 0

        X86Base.IsSupported
        && Avx512F.IsSupported
        && (let struct (highest, _, _, amx) = X86Base.CpuId(7, 0)
            bit 22 amx
            || (highest >= 1
                && (let struct (avx512, _, _, _) = X86Base.CpuId(7, 1)
                    bit 5 avx512)))

    /// Whether $PATH leads to a program of this name.
    let hasProgram (name: string) (machine: Machine) : bool =
        machine.Variable "PATH"
        |> Option.defaultValue ""
        |> _.Split(Path.PathSeparator)
        |> Array.exists (fun folder -> folder <> "" && File.Exists(Path.Combine(folder, name)))
