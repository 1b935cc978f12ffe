/// How the door to libtorch is found and built, on machines that are made up: their cmake is a script that says what it was asked.
module Fokker.Tests.Packing.DoorTests

open System
open System.IO
open System.Threading.Tasks
open Expecto
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
        Expect.stringLacks reason "\n" ""
        reason

let private mode (path: string) = File.GetUnixFileMode path
let private owner = UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute

[<Tests>]
let tests =
    testList
        "Packing.Door"
        [ testCase "Torch_DIR says which libtorch, and else CMake's prefixes do"
          <| fun () ->
              inFolder (fun folder ->
                  let one = install (Path.Combine(folder, "one")) "2.6.0" 1
                  let other = install (Path.Combine(folder, "other")) "1.12.1" 0
                  let prefix = "CMAKE_PREFIX_PATH", Path.Combine(folder, "other")

                  let named = found (Libtorch.find (machine folder [ prefix; "Torch_DIR", one ]))
                  Expect.equal named { Folder = one; Version = "2.6.0"; Cxx11 = true } ""

                  let usual = found (Libtorch.find (machine folder [ prefix ]))
                  Expect.equal usual { Folder = other; Version = "1.12.1"; Cxx11 = false } "")

          testCase "a Torch_DIR without a libtorch is refused by name"
          <| fun () ->
              let reason = refusal (Libtorch.find (machine "/nowhere" [ "Torch_DIR", "/nowhere/torch" ]))
              Expect.stringContains reason "'/nowhere/torch'" ""
              Expect.stringContains reason "TorchConfig.cmake" ""

          testCase "a FOKKER_TORCH_LIBRARY that is not there is refused by name, and nothing else is tried"
          <| fun () ->
              let variables = [ "FOKKER_TORCH_LIBRARY", "/nowhere/door.so"; "Torch_DIR", "/nowhere" ]
              let reason = refusal (DoorLibrary.obtain (machine "/nowhere" variables))
              Expect.stringContains reason "'/nowhere/door.so'" ""

          // The C++ that a package brings is the checkout's.
          testCase "the assembly carries the door's sources"
          <| fun () ->
              let folder = Checkout.file "src/Torch/native"
              let wanted =
                  Directory.GetFiles folder
                  |> Array.map (fun file -> Path.GetRelativePath(folder, file))
                  |> Array.sort
              let sources = DoorBuild.sources ()
              equal wanted (List.map fst sources)

              for name, content in sources do
                  equal (File.ReadAllBytes(Path.Combine(folder, name))) content

          // A door is linked with one libtorch: whatever tells two apart, or changes the door, changes its place in the cache.
          testCase "doors that differ have different places"
          <| fun () ->
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
                  Expect.isMatch place "^[A-Za-z0-9._-]+$" ""

          testCase "however many ask at once, the door is built once"
          <| fun () ->
              inFolder (fun folder ->
                  tools folder
                  let machine = machine folder [ "Torch_DIR", install folder "2.6.0" 1 ]
                  let libtorch = found (Libtorch.find machine)
                  let ask () = found (DoorBuild.obtain quiet machine libtorch)
                  let doors =
                      Task.WhenAll [ for _ in 1..4 -> Task.Factory.StartNew(ask, TaskCreationOptions.LongRunning) ]
                  let door = doors.Result |> Array.distinct |> Array.exactlyOne
                  equal "door\n" (File.ReadAllText door)
                  equal "leaves\n" (File.ReadAllText(nonNull (Path.ChangeExtension(door, ".preload"))))

                  let asked = File.ReadAllLines(Path.Combine(folder, "asked"))
                  equal 2 asked.Length
                  Expect.stringContains (asked[0]) $"-DTorch_DIR={libtorch.Folder}" ""
                  Expect.stringStarts (asked[1]) "--build" ""
                  // Nothing half-built stays beside it.
                  equal 1 (Directory.GetDirectories(Path.Combine(folder, "cache", "fokker")).Length))

          testCase "a cached door needs neither tools nor a cache that can be written"
          <| fun () ->
              inFolder (fun folder ->
                  tools folder
                  let libtorch = { Folder = install folder "2.6.0" 1; Version = "2.6.0"; Cxx11 = true }
                  let door = found (DoorBuild.obtain quiet (machine folder []) libtorch)
                  equal door (found (DoorBuild.obtain failwith (machine folder [ "PATH", "" ]) libtorch)))

          testCase "what is missing for a build is named"
          <| fun () ->
              inFolder (fun folder ->
                  let libtorch = { Folder = folder; Version = "2.6.0"; Cxx11 = true }
                  let reason = refusal (DoorBuild.obtain quiet (machine folder []) libtorch)
                  Expect.stringContains reason "apt-get install cmake make g++" ""

                  tools folder
                  File.Delete(Path.Combine(folder, "bin", "c++"))
                  let reason = refusal (DoorBuild.obtain quiet (machine folder []) libtorch)
                  Expect.stringEnds reason "apt-get install g++)" "")

          testCase "a cache that cannot be written is refused, with what to set"
          <| fun () ->
              inFolder (fun folder ->
                  tools folder
                  // A file in the cache's place: no permission makes it a folder, not even root's.
                  write (Path.Combine(folder, "file")) ""
                  let machine = machine folder [ "XDG_CACHE_HOME", Path.Combine(folder, "file") ]
                  let reason =
                      refusal (DoorBuild.obtain quiet machine { Folder = folder; Version = "2.6.0"; Cxx11 = true })
                  Expect.stringContains reason "XDG_CACHE_HOME" "")

          testCase "a build that fails leaves what the compiler said, and no door"
          <| fun () ->
              inFolder (fun folder ->
                  tools folder
                  executable
                      (Path.Combine(folder, "bin", "cmake"))
                      "#!/bin/sh\necho no such standard library >&2\nexit 1\n"
                  let machine = machine folder []
                  let reason =
                      refusal (DoorBuild.obtain quiet machine { Folder = folder; Version = "2.6.0"; Cxx11 = true })
                  let log = Directory.GetFiles(Path.Combine(folder, "cache", "fokker"), "*.log") |> Array.exactlyOne
                  Expect.stringContains reason log ""
                  Expect.stringContains (File.ReadAllText log) "no such standard library" ""
                  Expect.isEmpty (Directory.GetDirectories(Path.Combine(folder, "cache", "fokker"))) "")

          // Code is loaded from there: what others may write there is theirs to run here.
          testCase "a cache that others can write is refused, and one's own is nobody else's"
          <| fun () ->
              inFolder (fun folder ->
                  tools folder
                  let machine = machine folder []
                  let libtorch = { Folder = folder; Version = "2.6.0"; Cxx11 = true }
                  let obtain () = DoorBuild.obtain quiet machine libtorch
                  let door = found (obtain ())
                  let cache = Path.Combine(folder, "cache", "fokker")
                  let own =
                      [ cache
                        nonNull (Path.GetDirectoryName door)
                        door
                        nonNull (Path.ChangeExtension(door, ".preload")) ]

                  // Whatever umask says.
                  for path in own do
                      Expect.equal (mode path &&& ~~~owner) UnixFileMode.None path

                  for path in own do
                      let before = mode path

                      for extra in [ UnixFileMode.GroupWrite; UnixFileMode.OtherWrite ] do
                          File.SetUnixFileMode(path, before ||| extra)
                          let reason = refusal (obtain ())
                          Expect.stringContains reason path ""
                          Expect.stringContains reason "chmod go-w" ""

                      File.SetUnixFileMode(path, before)
                      equal door (found (obtain ()))

                  // The folder above: nobody may rename what is in it, which the sticky bit sees to.
                  let above = Path.Combine(folder, "cache")
                  File.SetUnixFileMode(above, owner ||| UnixFileMode.OtherWrite)
                  Expect.stringContains (refusal (obtain ())) above ""
                  File.SetUnixFileMode(above, owner ||| UnixFileMode.OtherWrite ||| UnixFileMode.StickyBit)
                  equal door (found (obtain ())))

          testCase "a cache that is planted before the first build is refused, and nothing is built into it"
          <| fun () ->
              inFolder (fun folder ->
                  tools folder
                  let cache = Path.Combine(folder, "cache", "fokker")
                  Directory.CreateDirectory cache |> ignore
                  File.SetUnixFileMode(cache, owner ||| UnixFileMode.GroupWrite ||| UnixFileMode.OtherWrite)
                  let reason =
                      refusal (
                          DoorBuild.obtain
                              failwith
                              (machine folder [])
                              { Folder = folder; Version = "2.6.0"; Cxx11 = true }
                      )
                  Expect.stringContains reason cache ""
                  Expect.isEmpty (Directory.GetFileSystemEntries cache) "")

          testTheory "a relative cache folder is refused, with what to set" [ "cache"; "./cache"; "~/cache" ]
          <| fun (relative: string) ->
              let machine = machine "/nowhere" [ "XDG_CACHE_HOME", relative ]
              let reason =
                  refusal (DoorBuild.obtain failwith machine { Folder = "/nowhere"; Version = "2.6.0"; Cxx11 = true })

              for part in [ "XDG_CACHE_HOME"; $"'{relative}'"; "full path" ] do
                  Expect.stringContains reason part "" ]
