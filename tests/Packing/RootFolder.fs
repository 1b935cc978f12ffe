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

/// The folder of a release (`bookworm`, `trixie`) with packages beside what every Debian has, made at the first use and kept in artifacts/. Ends the test where it
/// cannot be made here.
let private folder (release: string) (packages: string list) : string =
    let missing = [ "debootstrap"; "unshare"; "chroot" ] |> List.filter (isThere >> not)

    if not missing.IsEmpty || Environment.UserName <> "root" then
        let names = String.concat ", " missing
        skiptest $"a bare Debian takes root and debootstrap (missing: {names}): apt-get install debootstrap"

    let folder = Checkout.file $"""artifacts/roots/{String.concat "-" (release :: packages)}"""

    if not (File.Exists(Path.Combine(folder, "complete"))) then
        Directory.CreateDirectory folder |> ignore
        // What .NET itself asks for, to restore over TLS: OpenSSL comes with the certificates.
        let including = String.concat "," (List.distinct ("libstdc++6" :: "ca-certificates" :: packages))
        let words = [ "--variant=minbase"; $"--include={including}"; release; folder ]
        let code, said = run' "debootstrap" words

        if code <> 0 then
            skiptest $"debootstrap {release} failed, which it does without a network: {said}"

        // One that was cut short is made anew.
        File.WriteAllText(Path.Combine(folder, "complete"), "")

    folder

/// Runs a command in a root folder, whose arguments are the folders' names and what `inside` says of itself, a line of sh that ends in `chroot "$root" … sh "$@"`:
/// .NET is there at its own place, `work` as /project, NuGet's packages of this machine as /packages for reading, its network and its certificates. The mounts go with it.
let private within (root: string) (work: string) (inside: string) (command: string list) : string =
    let packages =
        match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
        | null
        | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")
        | given -> given

    let mounts =
        "root=$1 dotnet=$2 work=$3 packages=$4; shift 4; set -e
         mkdir -p \"$root$dotnet\" \"$root/project\" \"$root/packages\"
         mount --bind \"$dotnet\" \"$root$dotnet\"
         mount --bind \"$work\" \"$root/project\"
         mount --bind \"$packages\" \"$root/packages\"
         mount -o remount,ro,bind \"$root/packages\"
         mount --bind /etc/ssl \"$root/etc/ssl\"
         test ! -f /etc/resolv.conf || { touch \"$root/etc/resolv.conf\"; mount --bind /etc/resolv.conf \"$root/etc/resolv.conf\"; }
         mount -t proc proc \"$root/proc\"
         mount --bind /dev \"$root/dev\"\n"

    let code, said =
        run'
            "unshare"
            ([ "--mount"; "sh"; "-c"; mounts + inside; "sh"; root; dotnet.TrimEnd '/'; work; packages ] @ command)

    Expect.equal code 0 $"in {root}: {said}"
    said

/// What a program printed, which must succeed: run by root in a bare Debian with `work` as /project, the folder it starts in. Of this machine's environment
/// nothing is left. (.NET itself would ask for ICU, or to be told that no languages are asked for.)
let run (release: string) (work: string) (command: string list) : string =
    within
        (folder release [])
        work
        "exec chroot \"$root\" /usr/bin/env -i HOME=/root PATH=\"$dotnet:/usr/bin:/bin\" DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 \
         /bin/sh -c 'cd /project && exec \"$@\"' sh \"$@\""
        command

/// The same as a user without root, in /project/checkout: on its PATH are the programs of coreutils, bash, sh and git, and `dotnet`, and nothing else. The folder
/// /project is the user's, its home in it; NuGet's packages that this machine has are not fetched once more.
let runAsUser (release: string) (work: string) (variables: (string * string) list) (command: string list) : string =
    let variables = variables |> List.map (fun (name, value) -> $" {name}='{value}'") |> String.concat ""

    within
        (folder release [ "git"; "ca-certificates" ])
        work
        ("chroot \"$root\" /bin/sh -c '
            mkdir -p /project/bin /project/home/.nuget/packages
            for file in $(dpkg -L coreutils bash dash git); do
              case $file in */bin/*) ln -sf \"$file\" /project/bin/ ;; esac
            done
            ln -sf \"$1/dotnet\" /project/bin/
            for package in /packages/*; do ln -sfn \"$package\" /project/home/.nuget/packages/; done
            chown -R 1000:1000 /project' sh \"$dotnet\"
         exec chroot \"$root\" setpriv --reuid 1000 --regid 1000 --clear-groups \
         env -i HOME=/project/home PATH=/project/bin DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1"
         + variables
         + " /bin/sh -c 'cd /project/checkout && exec \"$@\"' sh \"$@\"")
        command
