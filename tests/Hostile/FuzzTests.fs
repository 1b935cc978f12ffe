/// Files that are almost what they should be: thousands of mutations of sound ones. Each is read, or refused in one line that names it; nothing else is
/// raised, no memory is lost, and none is taken beyond what a file of a few kilobytes may ask for.
module Fokker.Tests.Hostile.FuzzTests

open System
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

/// One kind of file: sound examples, and what reads it.
type private Format = { Name: string; Seeds: byte[] list; Read: string -> unit }

let private utf8 (text: string) = Encoding.UTF8.GetBytes text

let private written (write: string -> unit) : byte[] =
    let file = Path.GetTempFileName()

    try
        write file
        File.ReadAllBytes file
    finally
        File.Delete file

let private packed (bytes: byte[]) =
    use target = new MemoryStream()

    (use gzip = new GZipStream(target, CompressionMode.Compress, leaveOpen = true)
     gzip.Write bytes)

    target.ToArray()

let private images =
    Array.concat
        [ [| 0uy; 0uy; 8uy; 3uy; 0uy; 0uy; 0uy; 12uy; 0uy; 0uy; 0uy; 8uy; 0uy; 0uy; 0uy; 8uy |]
          [| for i in 0..767 -> byte (7 * i) |] ]

let private floats =
    Array.concat
        [ [| 0uy; 0uy; 13uy; 2uy; 0uy; 0uy; 0uy; 4uy; 0uy; 0uy; 0uy; 2uy |]
          [| for k in 1..8 do
                 yield! Array.rev (BitConverter.GetBytes(float32 k / 3.0f)) |] ]

/// A safetensors file without a digest, so that what is behind the digest is reached.
let private bare =
    let header =
        """{"__metadata__":{"format":"pt","step":"3"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I64","shape":[],"data_offsets":[24,32]},"c":{"dtype":"BOOL","shape":[3],"data_offsets":[32,35]}}"""

    Array.concat [ BitConverter.GetBytes(int64 header.Length); utf8 header; Array.create 35 1uy ]

let private network = Networks.mlp { Mlp.standard 2 with Width = 4; Depth = 1 }

let private points = Rng.normal Kind.Float64 [ 9; 2 ] (Rng.ofSeed 1L)

let private record () =
    written (fun file ->
        let folder = file + ".run"
        let settings name = Recipe.settings { Recipe.standardFor (Datasets.load "moons") with DataSet = name }
        let data =
            nonNull (Json.Nodes.JsonNode.Parse """{"shape":[2],"classes":["0","1"],"units":"0,0;1,1","summary":"s"}""")
        (use claim = Run.claim folder
         Run.create claim (("data", data) :: settings "memory:x"))

        File.Copy(Run.runFile folder, file, true)
        Directory.Delete(folder, true))

/// A file of Fokker's without its digest, which would hide what is behind it.
let private undigested (file: byte[]) =
    let length = int (BitConverter.ToInt64(file, 0))
    let header = Encoding.UTF8.GetString(file, 8, length)
    let at = header.IndexOf "\"fokker-sha256\""
    // The key, a colon, the digits in quotes, a comma.
    let header = utf8 (header.Remove(at, 15 + 1 + 66 + 1))
    Array.concat [ BitConverter.GetBytes(int64 header.Length); header; file[8 + length ..] ]

let private model =
    written (fun file ->
        let parameters = (Trainer.init Kind.Float32 (Rng.ofSeed 1L) network).Parameters
        ModelFile.write file (Fokker.Tests.Training.Support.trainedOf network parameters 3L))

let private formats =
    lazy
        [ { Name = "npy"
            Seeds =
              [ written (fun file -> Npy.write file points)
                written (fun file ->
                    Npy.write file (Tensor.zeros { Kind.Float32 with Dtype = Dtype.UInt8 } [ 3; 4; 4 ])) ]
            Read = fun file -> Datasets.load $"npy:{file}" |> ignore }
          { Name = "npz"
            Seeds = [ written (fun file -> Npz.write file [ "x", points; "y", Tensor.ones Kind.Int64 [ 3 ] ]) ]
            Read = fun file -> Npz.read file |> ignore }
          { Name = "csv"
            Seeds = [ utf8 "x,\"y, m\"\r\n1,2\r\n\"3.5\",-4e-3\r\n5,6\r\n"; utf8 "1,2,3\n4,5,6\n7,8,9\n\n" ]
            Read = fun file -> Datasets.load $"csv:{file}" |> ignore }
          { Name = "idx"
            Seeds = [ images; floats ]
            Read = fun file -> Datasets.load $"idx:{file}" |> ignore }
          { Name = "idx.gz"
            Seeds = [ packed images; packed floats ]
            Read = fun file -> Datasets.load $"idx:{file}" |> ignore }
          { Name = "labels"
            Seeds =
              [ [| 0uy
                   0uy
                   8uy
                   1uy
                   0uy
                   0uy
                   0uy
                   12uy
                   0uy
                   1uy
                   2uy
                   0uy
                   1uy
                   2uy
                   0uy
                   1uy
                   2uy
                   0uy
                   1uy
                   2uy |] ]
            Read =
              fun file ->
                  let of' = file + ".images"
                  File.WriteAllBytes(of', images)
                  Datasets.load $"idx:{of'},{file}" |> ignore }
          { Name = "safetensors"
            Seeds = [ bare; written (fun file -> Safetensors.write file [ "a", "b" ] [ "x", points ]) ]
            Read = fun file -> Safetensors.readAny file |> ignore }
          { Name = "checkpoint"
            Seeds =
              [ written (fun file ->
                    Checkpoint.write file network [] (Trainer.init Kind.Float32 (Rng.ofSeed 1L) network)) ]
            Read = fun file -> Checkpoint.read file network |> ignore }
          { Name = "model"
            Seeds = [ model; undigested model ]
            Read = fun file -> ModelFile.read OwnParts.none Device.Cpu None file |> ignore }
          { Name = "mixture"
            Seeds =
              [ utf8 """{"weights":[0.4,0.6],"means":[[-1.5,0],[1.0,2]],"stds":[0.25,0.4],"labels":[0,1]}"""
                utf8 """{"means":[[0,1]],"covariances":[[[1,0.5],[0.5,2]]]}"""
                utf8 """{"means":[[0],[1]],"stds":[[1],[2]]}""" ]
            Read = fun file -> Mixture.read file |> Mixture.sample 3 (Rng.ofSeed 1L) |> ignore }
          { Name = "run.json"
            Seeds = [ record () ]
            Read =
              fun file ->
                  let folder = file + ".run"
                  Directory.CreateDirectory folder |> ignore
                  File.Copy(file, Run.runFile folder, true)
                  let run = Runs.at folder
                  let recipe = Runs.recipe run
                  Runs.job recipe (Datasets.load "moons") |> ignore }
          { Name = "metrics.jsonl"
            Seeds =
              [ utf8 (
                    String.replicate
                        3
                        (Metrics.line { Step = 5L; Loss = 1.0; GradientNorm = 2.0; Rate = 0.1; Seconds = 3.0 } + "\n")
                ) ]
            Read = fun file -> Metrics.read file |> ignore } ]

// ---- mutations

let private numbers =
    [ "0"
      "-1"
      "1e999"
      "1e308"
      "-1e308"
      "2147483647"
      "2147483648"
      "4294967296"
      "9223372036854775807"
      "99999999999999999999"
      "1e-320"
      "NaN"
      "0.5"
      "1e15" ]

let private words =
    [ "\""
      "\\ud800"
      "\\u0000"
      "null"
      "{}"
      "[]"
      "true"
      ","
      "\n"
      "\000"
      "é"
      ":"
      "(1,)"
      "'"
      "inf"
      "../../etc/passwd" ]

let private extremes =
    [ 0L; 1L; -1L; 255L; 256L; 65535L; 0x7fffffffL; 0x80000000L; 0xffffffffL; Int64.MaxValue; Int64.MinValue ]

let private pick (random: Random) (items: 'T list) = items[random.Next items.Length]

let private isDigit (b: byte) = b >= byte '0' && b <= byte '9'

/// One change of the bytes.
let private mutate (random: Random) (others: byte[] list) (bytes: byte[]) : byte[] =
    let at () = random.Next(bytes.Length + 1)
    let spliced first last (middle: byte[]) = Array.concat [ bytes[.. first - 1]; middle; bytes[last..] ]

    if bytes.Length = 0 then
        utf8 (pick random words)
    else
        match random.Next 10 with
        | 0
        | 1 ->
            let copy = Array.copy bytes
            let k = random.Next bytes.Length
            copy[k] <- copy[k] ^^^ (1uy <<< random.Next 8)
            copy
        | 2 ->
            let copy = Array.copy bytes
            copy[random.Next bytes.Length] <-
                pick random [ 0uy; 1uy; 127uy; 128uy; 255uy; byte '"'; byte '{'; byte '9'; byte '-' ]
            copy
        | 3 -> bytes[.. random.Next bytes.Length - 1]
        | 4 ->
            let first = at ()
            spliced first (min bytes.Length (first + random.Next 16)) [||]
        | 5 ->
            let first = at ()
            let last = min bytes.Length (first + random.Next 64)
            spliced last last bytes[first .. last - 1]
        | 6 ->
            let k = at ()
            spliced k k (utf8 (pick random (words @ numbers)))
        | 7 ->
            // A number written in digits becomes another.
            match
                [| for k in 0 .. bytes.Length - 1 do
                       if isDigit bytes[k] && (k = 0 || not (isDigit bytes[k - 1])) then
                           k |]
            with
            | [||] -> spliced 0 0 (utf8 (pick random numbers))
            | starts ->
                let first = starts[random.Next starts.Length]
                let mutable last = first
                while last < bytes.Length && isDigit bytes[last] do
                    last <- last + 1
                spliced first last (utf8 (pick random numbers))
        | 8 ->
            let value = BitConverter.GetBytes(pick random extremes)
            let value = if random.Next 2 = 0 then value[.. 1 <<< random.Next 3] else Array.rev value[..3]
            let copy = Array.copy bytes
            let k = random.Next bytes.Length
            Array.blit value 0 copy k (min value.Length (bytes.Length - k))
            copy
        | _ ->
            let other = pick random others
            let k, j = at (), random.Next(other.Length + 1)
            Array.append bytes[.. k - 1] other[j..]

let private case (folder: string) (format: Format) (number: int) =
    let random = Random(number)
    let mutable bytes = pick random format.Seeds

    for _ in 0 .. random.Next 3 do
        bytes <- mutate random format.Seeds bytes

    let file = Path.Combine(folder, format.Name)
    File.WriteAllBytes(file, bytes)

    let fails what =
        let shown = Convert.ToBase64String(Array.truncate 4000 bytes)
        failtest $"{format.Name}, case {number}: {what}\n{shown}"

    try
        Scope.run0 (fun () -> format.Read file)
        true
    with
    | :? UserError as error ->
        if error.Message.Contains '\n' then
            fails $"more than a line: {error.Message}"

        // run.json says which part of it is unknown, by the option that sets it.
        if format.Name <> "run.json" && not (error.Message.Contains file) then
            fails $"the file is not named: {error.Message}"

        false
    // A device by name that this machine does not have.
    | :? EnvironmentException as error when format.Name = "run.json" && not (error.Message.Contains '\n') -> false
    | error ->
        fails $"{error}"
        false

let private fuzz (cases: int) =
    let folder = Directory.CreateTempSubdirectory("fokker-fuzz-").FullName

    try
        for format in formats.Value do
            // A sound file goes through, so that it is the mutations that are refused; and what is made once is made.
            for seed in format.Seeds do
                let file = Path.Combine(folder, "sound")
                File.WriteAllBytes(file, seed)
                Scope.run0 (fun () -> format.Read file)

            // What earlier tests left to the collector goes before the count.
            GC.Collect()
            GC.WaitForPendingFinalizers()
            let live = Scope.live ()
            let peak = (Torch.memory ()).Peak
            let allocated = GC.GetAllocatedBytesForCurrentThread()
            let count = cases / formats.Value.Length + 1
            let read = Seq.init count (case folder format) |> Seq.filter id |> Seq.length
            printfn "%s" $"{format.Name}: {read} of {count} were read, the others refused"
            Expect.isLessThanOrEqual (Scope.live ()) live ""
            // A megabyte for what the readers need themselves; a case of a few kilobytes has no reason for more.
            let each = (GC.GetAllocatedBytesForCurrentThread() - allocated) / int64 count
            Expect.isLessThan each (4L <<< 20) $"{format.Name}: managed bytes a case"
            Expect.isLessThan ((Torch.memory ()).Peak - peak) (256L <<< 20) $"{format.Name}: native bytes"
    finally
        Directory.Delete(folder, true)

[<Tests>]
let tests =
    testList
        "Hostile.Fuzz"
        [ testCase "a mutated file is read, or refused in one line" <| fun () -> fuzz 500

          full (testCase "ten thousand mutated files are read, or refused in one line" <| fun () -> fuzz 10_000) ]
