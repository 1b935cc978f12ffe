/// Shapes, sizes and pointers that nobody in good faith writes: an exception that says so, and nothing else is touched.
module Fokker.Tests.Hostile.SizesTests

open System
open System.IO
open System.IO.Compression
open System.Collections.Concurrent
open System.Text
open System.Threading
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

#nowarn "9" // the native functions take addresses

let private npy (shape: string) (data: byte[]) =
    let header = Encoding.ASCII.GetBytes $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}"
    Array.concat
        [ [| 0x93uy; 0x4Euy; 0x55uy; 0x4Duy; 0x50uy; 0x59uy; 1uy; 0uy |]
          BitConverter.GetBytes(uint16 header.Length)
          header
          data ]

let private safetensors (shape: string) (data: byte[]) =
    let header =
        Encoding.ASCII.GetBytes $"""{{"x":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,{data.Length}]}}}}"""

    Array.concat [ BitConverter.GetBytes(int64 header.Length); header; data ]

let private npz (entry: byte[]) =
    use stream = new MemoryStream()

    (use archive = new ZipArchive(stream, ZipArchiveMode.Create, true)
     use target = archive.CreateEntry("x.npy").Open()
     target.Write(ReadOnlySpan entry))

    stream.ToArray()

let private idx (sizes: int list) (data: byte[]) =
    Array.concat
        [ [| 0uy; 0uy; 8uy; byte sizes.Length |]
          Array.collect (fun (n: int) -> Array.rev (BitConverter.GetBytes n)) (Array.ofList sizes)
          data ]

let private ones rank = List.replicate (rank - 2) 1 @ [ 40; 2 ]
let private text (sizes: int list) = String.Join(", ", sizes)

/// Every format's file of one shape and 320 bytes, with what reads it.
let private files (sizes: int list) =
    let data = Array.zeroCreate<byte> 320

    [ "x.npy", npy (text sizes) data, Npy.read >> ignore
      "x.npz", npz (npy (text sizes) data), Npz.read >> ignore
      "x.safetensors", safetensors (text sizes) data, Safetensors.read >> ignore
      if sizes.Length < 256 then
          "x-idx", idx sizes data[..79], Idx.read >> ignore ]

let private written (folder: string) (name: string) (bytes: byte[]) =
    let path = Path.Combine(folder, name)
    File.WriteAllBytes(path, bytes)
    path

let private arg (t: Tensor) : Arg = { Tag = 1; Bits = 0L; Ref = t }

let private fails parts (action: unit -> 'T) = raises<TensorException> parts (fun () -> action () |> ignore)

// ---- tensors that another thread frees

/// The tensors that are alive once the collector has freed what other tests left behind: from here on the number is this test's.
let private settled () =
    for _ in 1..2 do
        GC.Collect()
        GC.WaitForPendingFinalizers()

    Scope.live ()

/// What `users` threads do with a tensor while another frees it, many times over: right results or ObjectDisposedException,
/// and no memory is lost.
let private race (rounds: int) (free: Tensor -> unit) (work: Tensor -> unit) =
    let users = 3
    // Whatever is made once and kept.
    Scope.run0 (fun () -> work (Tensor.ones Kind.Float32 [ 64; 64 ]))
    let before = settled ()
    let wrong = ConcurrentBag<exn>()
    let seen = ref 0

    for _ in 1..rounds do
        let x = Scope.run (fun () -> Tensor.ones Kind.Float32 [ 64; 64 ])
        use start = new Barrier(users + 1)

        let threads =
            [ for _ in 1..users ->
                  Thread(fun () ->
                      start.SignalAndWait()

                      try
                          while true do
                              Scope.run0 (fun () -> work x)
                      with
                      | :? ObjectDisposedException -> Interlocked.Increment &seen.contents |> ignore
                      | error -> wrong.Add error) ]

        for thread in threads do
            thread.Start()

        start.SignalAndWait()
        free x

        for thread in threads do
            thread.Join()

    equal [] wrong
    equal (rounds * users) seen.Value
    equal before (Scope.live ())

let private uses: (string * (Tensor -> unit)) list =
    [ "an operator",
      (fun x ->
          if (Tensor.sum (x + x)).ToFloat() <> 8192.0 then
              failwith "another sum")
      "a list",
      (fun x ->
          if (Tensor.cat 0 [ x; x; x ]).Count <> 12288L then
              failwith "another count")
      "its elements",
      (fun x ->
          if Array.sum (Tensor.toArray<float32> x) <> 4096.0f then
              failwith "another sum")
      "a gradient",
      (fun x ->
          let g = Diff.grad (fun x -> Tensor.sum (x * x)) x
          if (Tensor.sum g).ToFloat() <> 8192.0 then
              failwith "another gradient")
      "a view",
      (fun x ->
          if Tensor.transpose 0 1 x |> Tensor.select 0 1 |> _.Count <> 64L then
              failwith "another count") ]

let private racing rounds =
    for name, work in uses do
        printfn "%s" name
        race rounds (fun x -> x.Dispose()) work

[<Tests>]
let tests =
    testList
        "Hostile.Sizes"
        [
          // From 256 on the rank, which the door keeps in eight bits, comes round to what looks harmless.
          testTheory
              "a file with more dimensions than a tensor has is refused, whatever its format"
              [ 65; 127; 128; 129; 130; 255; 256; 257; 258; 300; 514 ]
          <| fun (rank: int) ->
              inFolder (fun folder ->
                  for name, bytes, read in files (ones rank) do
                      let path = written folder name bytes
                      refused [ path; $"{rank} dimensions"; "at most 64" ] (fun () -> read path))

          testCase "sixty-four dimensions are read, and known"
          <| fun () ->
              inFolder (fun folder ->
                  let shape = ones 64
                  for name, bytes, read in files shape do
                      read (written folder name bytes)

                  let x = Npy.read (written folder "x.npy" (npy (text shape) (Array.zeroCreate 320)))
                  equal 64 x.Rank
                  equal shape x.Shape)

          // The products of these sizes leave 64 bits, to 0 or to below it; an empty dimension hides nothing.
          testTheory
              "a shape that no memory holds is refused"
              [ "2147483647, 2147483647, 2147483647"
                "0, 2147483647, 2147483647, 2147483647"
                "2147483647, 2147483647, 4, 0"
                "65536, 65536, 65536, 65536"
                "2147483648"
                "0, 4294967296"
                "-1"
                "-2, -40" ]
          <| fun (shape: string) ->
              inFolder (fun folder ->
                  for data in [ [||]; Array.zeroCreate 320 ] do
                      for path, read in
                          [ written folder "x.npy" (npy shape data), Npy.read >> ignore
                            written folder "x.npz" (npz (npy shape data)), Npz.read >> ignore
                            written folder "x.safetensors" (safetensors shape data), Safetensors.read >> ignore ] do
                          refused [ path ] (fun () -> read path)

                  let sizes = [ for size in shape.Split ", " -> int (uint32 (int64 size)) ]
                  let path = written folder "x-idx" (idx sizes [||])
                  if List.exists (fun size -> size < 0) sizes || sizes.Length > 2 then
                      refused [ path ] (fun () -> Idx.read path |> ignore))

          testCase "an operator's result of more than 64 dimensions is an exception"
          <| fun () ->
              let x = Tensor.zeros Kind.Float32 [ 2 ]
              equal 64 (Tensor.reshape (List.replicate 63 1 @ [ 2 ]) x).Rank

              for rank in [ 65; 256; 258; 1000 ] do
                  fails [ "reshape"; $"{rank} dimensions" ] (fun () ->
                      Tensor.reshape (List.replicate (rank - 1) 1 @ [ 2 ]) x)

          testCase "elements that do not fill a shape whose product goes around are refused"
          <| fun () ->
              for shape in
                  [ [ 65536; 65536; 65536; 65536 ]; [ -1; -1 ]; [ Int32.MaxValue; Int32.MaxValue; Int32.MaxValue; 0 ] ] do
                  for data in [ [||]; [| 1.0f |] ] do
                      fails [ "ofArray" ] (fun () -> Tensor.ofArray shape data)
                      fails [ "ofArray" ] (fun () -> Tensor.lend shape data)

          // Sizes whose bytes an allocator that rounds up takes past 2⁶⁴, to almost nothing.
          testCase "memory that no machine has is refused"
          <| fun () ->
              for shape in [ [ Int32.MaxValue; 1 <<< 30 ]; [ Int32.MaxValue; 1 <<< 29 ]; [ 1 <<< 30; 1 <<< 20 ] ] do
                  fails [ "zeros" ] (fun () -> Tensor.zeros Kind.Float64 shape)

          testCase "a size that .NET's integers do not hold is an exception, not another size"
          <| fun () ->
              let x = Tensor.expand [ 65536; 65536; 2 ] (Tensor.zeros Kind.Float32 [ 1 ])
              // 2³³ elements in a row, without the memory for them.
              let long =
                  Door.one
                      (Ops.over "expand" "")
                      [| arg (Tensor.zeros Kind.Float32 [ 1 ]); { Tag = 5; Bits = 0L; Ref = [| 1L <<< 33 |] } |]
              equal [ 65536; 65536; 2 ] x.Shape
              fails [ string (1L <<< 33) ] (fun () -> long.Shape)

          testCase "more threads than a system gives are refused"
          <| fun () ->
              for n in [ -1; 0; 1025; Int32.MaxValue ] do
                  raises<ArgumentException> [ string n ] (fun () -> Torch.setThreads n)
                  raises<ArgumentException> [ string n ] (fun () -> Torch.setOwnThreads n)

          // The fused step reads the parameters' number of elements from each.
          testCase "an optimizer's state of another shape is refused"
          <| fun () ->
              let long, short = Tensor.ones Kind.Float32 [ 100_000 ], Tensor.ones Kind.Float32 [ 3 ]
              let sound = { Parameters = [| long |]; Average = [| long |]; First = [| long |]; Second = [| long |] }
              let step gradient moments =
                  fun () -> Optimizer.step Optimizer.adam Average.standard 0L [| gradient |] moments |> ignore

              for what, gradient, moments in
                  [ "gradient", short, sound
                    "first moment", long, { sound with First = [| short |] }
                    "second moment", long, { sound with Second = [| short |] }
                    "average", long, { sound with Average = [| short |] } ] do
                  raises<TensorException> [ "adam"; what ] (step gradient moments)

              raises<TensorException> [ "adam"; "2 averages" ] (step long { sound with Average = [| long; long |] })

          // Its potentials would leave float64, and the places of what is no number were before the arrays' beginnings.
          testCase "costs whose sums leave float64 are refused"
          <| fun () ->
              for n in [ 2; 31; 32; 64 ] do
                  let cost = (1.0 + Rng.uniform Kind.Float64 [ n; n ] (Rng.ofSeed 1L)) * 8e307
                  fails [ "assignment" ] (fun () -> Assignment.solve cost)
                  fails [ "assignment" ] (fun () -> Assignment.solve (cost - 1.2e308))

          testCase "draws of a type that has none are refused"
          <| fun () ->
              for dtype in [ Dtype.Int64; Dtype.Bool; Dtype.UInt8; enum 99 ] do
                  fails [ "normal" ] (fun () -> Rng.normal { Kind.Float32 with Dtype = dtype } [ 2 ] (Rng.ofSeed 1L))

          testCase "null tensors are an exception"
          <| fun () ->
              let x = Tensor.zeros Kind.Float32 [ 2 ]
              fails [ "null" ] (fun () -> Door.one Ops.add [| arg x; arg (Unchecked.defaultof<Tensor>) |])
              fails [ "null" ] (fun () -> Tensor.cat 0 [ x; Unchecked.defaultof<Tensor> ])

          // What the managed side never asks for, asked of the engine itself.
          testCase "the engine refuses sizes that do not fit"
          <| fun () ->
              let engine = Engines.Current
              let data = [| 1.0f; 2.0f |]
              use at = fixed data
              let at = NativeInterop.NativePtr.toNativeInt at
              let sizes = [| 2L; 1L; 1L |]
              use sizesAt = fixed sizes
              let sizesAt = NativeInterop.NativePtr.toNativeInt sizesAt
              let mutable value = Unchecked.defaultof<NativeValue>
              let refuses (rc: int) (part: string) =
                  Expect.isLessThan rc 0 ""
                  Expect.stringContains (engine.Error()) part ""

              let float = int Dtype.Float32
              equal 1 (engine.FromMemory(at, 8L, float, sizesAt, 3, &value))
              use x = Door.accept value
              refuses (engine.FromMemory(at, 4L, float, sizesAt, 3, &value)) "takes 8 bytes"
              refuses (engine.FromMemory(at, 8L, float, sizesAt, -1, &value)) "-1 dimensions"
              refuses (engine.FromMemory(at, 8L, float, sizesAt, 65, &value)) "65 dimensions"
              refuses (engine.FromMemory(at, 8L, 99, sizesAt, 3, &value)) "element type 99"
              refuses (engine.FromMemory(at, 8L, -1, sizesAt, 3, &value)) "element type -1"
              // A release that were called would be called at address 0.
              refuses (engine.Lend(at, 4L, float, sizesAt, 3, 0n, 0n, &value)) "takes 8 bytes"
              refuses (engine.Lend(at, 8L, float, sizesAt, 1000, 0n, 0n, &value)) "1000 dimensions"

              let room = [| 7L; 7L; 7L; 7L |]
              use roomAt = fixed room
              let roomAt = NativeInterop.NativePtr.toNativeInt roomAt
              let pointer = x.Use()
              refuses (engine.Shape(pointer, roomAt, roomAt, 2)) "room for 2"
              x.Leave()
              equal [ 7L; 7L; 7L; 7L ] room

              refuses (engine.Shape(0n, roomAt, roomAt, 4)) "null"
              refuses (engine.Call(0n, 0n, 0, 0n, 0)) "null"
              refuses (engine.Call(Ops.add.Handle, 0n, -1, 0n, 0)) "-1"
              refuses (engine.Call(Ops.add.Handle, 0n, 100, 0n, 0)) "100"
              refuses (engine.Leaf(0n, &value)) "null"
              refuses (engine.Pullback(0n, 0n, 0n, -1, false, false, false, 0n)) "-1"
              refuses (engine.ExitDual 0L) "nobody"

          testCase "a tensor that another thread frees is an exception or whole" <| fun () -> racing 40

          full (
              testCase "a tensor that another thread frees is an exception or whole, many times over"
              <| fun () -> racing 400
          )

          // Two that free the same tensor, and a scope's end among them, free it once.
          testCase "a tensor is freed once, by whoever comes first"
          <| fun () ->
              let before = settled ()

              for _ in 1..300 do
                  use start = new Barrier 2
                  let shared: Tensor[] = Array.zeroCreate 1

                  let other =
                      Thread(fun () ->
                          start.SignalAndWait()
                          shared[0].Dispose())

                  other.Start()

                  Scope.run0 (fun () ->
                      let x = Tensor.ones Kind.Float32 [ 8 ]
                      shared[0] <- x
                      start.SignalAndWait())

                  other.Join()
                  equal true shared[0].IsDisposed

                  // The same where the collector's guard has it.
                  let y = Tensor.ones Kind.Float32 [ 8 ]
                  let both = [ for _ in 1..2 -> Thread(fun () -> y.Dispose()) ]
                  for thread in both do
                      thread.Start()
                  for thread in both do
                      thread.Join()

              equal before (Scope.live ()) ]
