/// Programs in a bare Debian: a folder that debootstrap fills, in which nothing of this machine is but .NET.
module Fokker.Tests.Packing.RootFolder

open System
open System.Diagnostics
open System.IO
open Expecto
open Fokker.Tests

let private run' (program: string) (words: string list) : int * string =
    let info = ProcessStartInfo(program, words, RedirectStandardOutput = true, RedirectStandardError = true)
    use child = nonNull (Process.Start info)
    let error = child.StandardError.ReadToEndAsync()
    let out = child.StandardOutput.ReadToEnd()
    child.WaitForExit()
    child.ExitCode, out + error.Result

let private isThere (program: string) =
    (nonNull (Environment.GetEnvironmentVariable "PATH")).Split ':'
    |> Array.exists (fun folder -> File.Exists(Path.Combine(folder, program)))

/// Where .NET is: three folders above its libraries, shared/Microsoft.NETCore.App/VERSION.
let private dotnet =
    Path.GetFullPath(Path.Combine(Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."))

/// The folder of a release (`bookworm`, `trixie`), made at the first use and kept in artifacts/. Ends the test where it cannot be made here.
let private folder (release: string) : string =
    let missing = [ "debootstrap"; "unshare"; "chroot" ] |> List.filter (isThere >> not)

    if not missing.IsEmpty || Environment.UserName <> "root" then
        let names = String.concat ", " missing
        skiptest $"a bare Debian takes root and debootstrap (missing: {names}): apt-get install debootstrap"

    let folder = Checkout.file $"artifacts/roots/{release}"

    if not (File.Exists(Path.Combine(folder, "etc", "debian_version"))) then
        Directory.CreateDirectory folder |> ignore
        let words = [ "--variant=minbase"; "--include=libstdc++6"; release; folder ]
        let code, said = run' "debootstrap" words

        if code <> 0 then
            skiptest $"debootstrap {release} failed, which it does without a network: {said}"

    folder

/// What a program printed, which must succeed (.NET itself would ask for ICU, or to be told that no languages are asked for): run in that Debian with .NET at its own place and `work` as /work, the folder it starts in. The mounts are its own and go
/// with it; of this machine's environment nothing is left.
let run (release: string) (work: string) (command: string list) : string =
    let mounts =
        "mkdir -p \"$1$2\" \"$1/work\" && mount --bind \"$2\" \"$1$2\" && mount --bind \"$3\" \"$1/work\" \
         && mount -t proc proc \"$1/proc\" && mount --bind /dev \"$1/dev\" \
         && root=$1 && path=$2 && shift 3 && exec chroot \"$root\" /usr/bin/env -i HOME=/root PATH=\"$path:/usr/bin:/bin\" DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 \
         /bin/sh -c 'cd /work && exec \"$@\"' sh \"$@\""

    let words = [ "--mount"; "sh"; "-c"; mounts; "sh"; folder release; dotnet.TrimEnd '/'; work ] @ command
    let code, said = run' "unshare" words
    Expect.equal code 0 $"in {release}: {said}"
    said
