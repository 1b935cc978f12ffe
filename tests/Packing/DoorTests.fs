/// How the door to libtorch is found and built, on machines that are made up: their cmake is a script that says what it was asked.
module Fokker.Tests.Packing.DoorTests

open System
open System.IO
open System.Threading.Tasks
open NUnit.Framework
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private write (file: string) (text: string) =
    Directory.CreateDirectory(nonNull (Path.GetDirectoryName file)) |> ignore
    File.WriteAllText(file, text)

let private executable (file: string) (text: string) =
    write file text
    File.SetUnixFileMode(file, UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute)

/// A libtorch as far as its CMake files go.
let private install (folder: string) (version: string) (cxx11: int) : string =
    let cmake = Path.Combine(folder, "share", "cmake", "Torch")
    write (Path.Combine(cmake, "TorchConfig.cmake")) $"set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI={cxx11}\")\n"
    write (Path.Combine(cmake, "TorchConfigVersion.cmake")) $"set(PACKAGE_VERSION \"{version}\")\n"
    cmake

/// A machine of a folder's own: a cache, programs, and the variables given.
let private machine (folder: string) (variables: (string * string) list) : Machine =
    let variables =
        Map([ "XDG_CACHE_HOME", Path.Combine(folder, "cache"); "PATH", Path.Combine(folder, "bin") ] @ variables)

    { Variable = fun name -> Map.tryFind name variables }

/// A compiler, make, and a cmake that notes what it is asked, wants the sources, and leaves a door where it is to build one.
let private tools (folder: string) =
    for name in [ "c++"; "make" ] do
        executable (Path.Combine(folder, "bin", name)) ""

    executable
        (Path.Combine(folder, "bin", "cmake"))
        $"""#!/bin/sh
echo "$@" >> '{folder}/asked'
if [ "$1" = --build ]; then
  /bin/sleep 0.1
  echo door > "$2/libfokker_torch.so"
  echo leaves > "$2/libfokker_torch.preload"
else
  test -f "$2/door.cpp" && /bin/mkdir "$4"
fi
"""

let private quiet (_: string) = ()

let private found (result: Result<'T, string>) : 'T =
    match result with
    | Ok value -> value
    | Error reason -> failwith reason

let private refusal (result: Result<'T, string>) : string =
    match result with
    | Ok _ -> failwith "nothing was refused"
    | Error reason ->
        Assert.That(reason, Does.Not.Contain '\n')
        reason

[<Test>]
let ``Torch_DIR says which libtorch, and else CMake's prefixes do`` () =
    inFolder (fun folder ->
        let one = install (Path.Combine(folder, "one")) "2.6.0" 1
        let other = install (Path.Combine(folder, "other")) "1.12.1" 0
        let prefix = "CMAKE_PREFIX_PATH", Path.Combine(folder, "other")

        let named = found (Libtorch.find (machine folder [ prefix; "Torch_DIR", one ]))
        Assert.That(named, Is.EqualTo { Folder = one; Version = "2.6.0"; Cxx11 = true })

        let usual = found (Libtorch.find (machine folder [ prefix ]))
        Assert.That(usual, Is.EqualTo { Folder = other; Version = "1.12.1"; Cxx11 = false }))

[<Test>]
let ``a Torch_DIR without a libtorch is refused by name`` () =
    let reason = refusal (Libtorch.find (machine "/nowhere" [ "Torch_DIR", "/nowhere/torch" ]))
    Assert.That(reason, Does.Contain "'/nowhere/torch'")
    Assert.That(reason, Does.Contain "TorchConfig.cmake")

[<Test>]
let ``a FOKKER_TORCH_LIBRARY that is not there is refused by name, and nothing else is tried`` () =
    let variables = [ "FOKKER_TORCH_LIBRARY", "/nowhere/door.so"; "Torch_DIR", "/nowhere" ]
    let reason = refusal (DoorLibrary.obtain (machine "/nowhere" variables))
    Assert.That(reason, Does.Contain "'/nowhere/door.so'")

/// The C++ that a package brings is the checkout's.
[<Test>]
let ``the assembly carries the door's sources`` () =
    let folder = Checkout.file "src/Torch/native"
    let wanted =
        Directory.GetFiles folder
        |> Array.map (fun file -> Path.GetRelativePath(folder, file))
        |> Array.sort
    let sources = DoorBuild.sources ()
    equal wanted (List.map fst sources)

    for name, content in sources do
        equal (File.ReadAllBytes(Path.Combine(folder, name))) content

/// A door is linked with one libtorch: whatever tells two apart, or changes the door, changes its place in the cache.
[<Test>]
let ``doors that differ have different places`` () =
    let libtorch = { Folder = "/usr/lib/Torch"; Version = "2.6.0+cu124"; Cxx11 = true }
    let sources = [ "a.cpp", [| 1uy; 2uy |]; "b.cpp", [| 3uy |] ]

    let places =
        [ DoorBuild.key sources libtorch
          DoorBuild.key sources { libtorch with Version = "2.7.0" }
          DoorBuild.key sources { libtorch with Cxx11 = false }
          DoorBuild.key sources { libtorch with Folder = "/opt/Torch" }
          DoorBuild.key [ "a.cpp", [| 1uy; 2uy |]; "b.cpp", [| 4uy |] ] libtorch
          DoorBuild.key [ "a.cpp", [| 1uy; 2uy |]; "c.cpp", [| 3uy |] ] libtorch
          DoorBuild.key [ "a", "bc"B ] libtorch
          // The same bytes in the same order, cut elsewhere.
          DoorBuild.key [ "ab", "c"B ] libtorch ]

    equal places (List.distinct places)
    equal places.Head (DoorBuild.key sources libtorch)

    for place in places do
        Assert.That(place, Does.Match "^[A-Za-z0-9._-]+$")

[<Test>]
let ``however many ask at once, the door is built once`` () =
    inFolder (fun folder ->
        tools folder
        let machine = machine folder [ "Torch_DIR", install folder "2.6.0" 1 ]
        let libtorch = found (Libtorch.find machine)
        let ask () = found (DoorBuild.obtain quiet machine libtorch)
        let doors = Task.WhenAll [ for _ in 1..4 -> Task.Factory.StartNew(ask, TaskCreationOptions.LongRunning) ]
        let door = doors.Result |> Array.distinct |> Array.exactlyOne
        equal "door\n" (File.ReadAllText door)
        equal "leaves\n" (File.ReadAllText(nonNull (Path.ChangeExtension(door, ".preload"))))

        let asked = File.ReadAllLines(Path.Combine(folder, "asked"))
        equal 2 asked.Length
        Assert.That(asked[0], Does.Contain $"-DTorch_DIR={libtorch.Folder}")
        Assert.That(asked[1], Does.StartWith "--build")
        // Nothing half-built stays beside it.
        equal 1 (Directory.GetDirectories(Path.Combine(folder, "cache", "fokker")).Length))

[<Test>]
let ``a cached door needs neither tools nor a cache that can be written`` () =
    inFolder (fun folder ->
        tools folder
        let libtorch = { Folder = install folder "2.6.0" 1; Version = "2.6.0"; Cxx11 = true }
        let door = found (DoorBuild.obtain quiet (machine folder []) libtorch)
        equal door (found (DoorBuild.obtain failwith (machine folder [ "PATH", "" ]) libtorch)))

[<Test>]
let ``what is missing for a build is named`` () =
    inFolder (fun folder ->
        let libtorch = { Folder = folder; Version = "2.6.0"; Cxx11 = true }
        let reason = refusal (DoorBuild.obtain quiet (machine folder []) libtorch)
        Assert.That(reason, Does.Contain "apt-get install cmake make g++")

        tools folder
        File.Delete(Path.Combine(folder, "bin", "c++"))
        let reason = refusal (DoorBuild.obtain quiet (machine folder []) libtorch)
        Assert.That(reason, Does.EndWith "apt-get install g++)"))

[<Test>]
let ``a cache that cannot be written is refused, with what to set`` () =
    inFolder (fun folder ->
        tools folder
        // A file in the cache's place: no permission makes it a folder, not even root's.
        write (Path.Combine(folder, "file")) ""
        let machine = machine folder [ "XDG_CACHE_HOME", Path.Combine(folder, "file") ]
        let reason = refusal (DoorBuild.obtain quiet machine { Folder = folder; Version = "2.6.0"; Cxx11 = true })
        Assert.That(reason, Does.Contain "XDG_CACHE_HOME"))

[<Test>]
let ``a build that fails leaves what the compiler said, and no door`` () =
    inFolder (fun folder ->
        tools folder
        executable (Path.Combine(folder, "bin", "cmake")) "#!/bin/sh\necho no such standard library >&2\nexit 1\n"
        let machine = machine folder []
        let reason = refusal (DoorBuild.obtain quiet machine { Folder = folder; Version = "2.6.0"; Cxx11 = true })
        let log = Directory.GetFiles(Path.Combine(folder, "cache", "fokker"), "*.log") |> Array.exactlyOne
        Assert.That(reason, Does.Contain log)
        Assert.That(File.ReadAllText log, Does.Contain "no such standard library")
        Assert.That(Directory.GetDirectories(Path.Combine(folder, "cache", "fokker")), Is.Empty))

let private mode (path: string) = File.GetUnixFileMode path
let private owner = UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute

/// Code is loaded from there: what others may write there is theirs to run here.
[<Test>]
let ``a cache that others can write is refused, and one's own is nobody else's`` () =
    inFolder (fun folder ->
        tools folder
        let machine = machine folder []
        let libtorch = { Folder = folder; Version = "2.6.0"; Cxx11 = true }
        let obtain () = DoorBuild.obtain quiet machine libtorch
        let door = found (obtain ())
        let cache = Path.Combine(folder, "cache", "fokker")
        let own =
            [ cache; nonNull (Path.GetDirectoryName door); door; nonNull (Path.ChangeExtension(door, ".preload")) ]

        // Whatever umask says.
        for path in own do
            Assert.That(mode path &&& ~~~owner, Is.EqualTo UnixFileMode.None, path)

        for path in own do
            let before = mode path

            for extra in [ UnixFileMode.GroupWrite; UnixFileMode.OtherWrite ] do
                File.SetUnixFileMode(path, before ||| extra)
                let reason = refusal (obtain ())
                Assert.That(reason, Does.Contain path)
                Assert.That(reason, Does.Contain "chmod go-w")

            File.SetUnixFileMode(path, before)
            equal door (found (obtain ()))

        // The folder above: nobody may rename what is in it, which the sticky bit sees to.
        let above = Path.Combine(folder, "cache")
        File.SetUnixFileMode(above, owner ||| UnixFileMode.OtherWrite)
        Assert.That(refusal (obtain ()), Does.Contain above)
        File.SetUnixFileMode(above, owner ||| UnixFileMode.OtherWrite ||| UnixFileMode.StickyBit)
        equal door (found (obtain ())))

[<Test>]
let ``a cache that is planted before the first build is refused, and nothing is built into it`` () =
    inFolder (fun folder ->
        tools folder
        let cache = Path.Combine(folder, "cache", "fokker")
        Directory.CreateDirectory cache |> ignore
        File.SetUnixFileMode(cache, owner ||| UnixFileMode.GroupWrite ||| UnixFileMode.OtherWrite)
        let reason =
            refusal (
                DoorBuild.obtain failwith (machine folder []) { Folder = folder; Version = "2.6.0"; Cxx11 = true }
            )
        Assert.That(reason, Does.Contain cache)
        Assert.That(Directory.GetFileSystemEntries cache, Is.Empty))

[<TestCase("cache")>]
[<TestCase("./cache")>]
[<TestCase("~/cache")>]
let ``a relative cache folder is refused, with what to set`` (relative: string) =
    let machine = machine "/nowhere" [ "XDG_CACHE_HOME", relative ]
    let reason = refusal (DoorBuild.obtain failwith machine { Folder = "/nowhere"; Version = "2.6.0"; Cxx11 = true })

    for part in [ "XDG_CACHE_HOME"; $"'{relative}'"; "full path" ] do
        Assert.That(reason, Does.Contain part)
