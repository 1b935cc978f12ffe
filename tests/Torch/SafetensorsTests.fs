module Fokker.Tests.Torch.SafetensorsTests

open System
open System.IO
open System.Text
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private file (header: string) (data: byte[]) =
    let text = Encoding.UTF8.GetBytes header
    Array.concat [ BitConverter.GetBytes(int64 text.Length); text; data ]

let private reading (bytes: byte[]) (test: string -> unit) =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "x.safetensors")
        File.WriteAllBytes(path, bytes)
        test path)

let private zeros n = Array.zeroCreate<byte> n

[<Tests>]
let tests =
    testList
        "Torch.Safetensors"
        [ testCase "a file written by hand after the format's description is read"
          <| fun () ->
              let header =
                  """{"b":{"data_offsets":[8,12],"dtype":"I16","shape":[2,1]},"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"none":{"dtype":"F64","shape":[0,3],"data_offsets":[12,12]}}  """

              reading
                  (file header [| 0uy; 0uy; 0x80uy; 0x3Fuy; 0uy; 0uy; 0x20uy; 0xC0uy; 5uy; 0uy; 0xFFuy; 0xFFuy |])
                  (fun path ->
                      let found = Safetensors.read path
                      equal [ "format", "pt" ] (Map.toList found.Metadata)
                      equal [ "a"; "b"; "none" ] found.Tensors.Keys
                      equal [ 1.0f; -2.5f ] (Tensor.toArray<float32> found.Tensors["a"])
                      equal [ 5s; -1s ] (Tensor.toArray<int16> found.Tensors["b"])
                      equal [ 2; 1 ] (found.Tensors["b"].Shape)
                      equal [ 0; 3 ] (found.Tensors["none"].Shape))

          testCase "every element type comes back bit for bit, aligned, and equal contents are equal bytes"
          <| fun () ->
              inFolder (fun folder ->
                  let path name = Path.Combine(folder, name)
                  let x = Rng.ofSeed 1L |> Rng.normal Kind.Float64 [ 3; 5 ] |> (fun x -> x * 50.0)

                  let tensors =
                      [ for dtype in
                            [ Dtype.Bool
                              Dtype.UInt8
                              Dtype.Int8
                              Dtype.Int16
                              Dtype.BFloat16
                              Dtype.Float16
                              Dtype.Int32
                              Dtype.Float32
                              Dtype.Int64
                              Dtype.Float64 ] -> $"of.{Dtype.name dtype} \"ü\"", x.To dtype ]
                      @ [ "scalar", Tensor.scalar Kind.Float32 2.0; "turned", Tensor.transpose 0 1 x ]

                  let metadata = [ "step", "12"; "a\n\"b\"", "é\\" ]
                  Safetensors.write (path "1") metadata tensors
                  Safetensors.write (path "2") metadata tensors
                  let bytes = File.ReadAllBytes(path "1")
                  equal (File.ReadAllBytes(path "2")) bytes
                  let back = Safetensors.read (path "1")
                  equal (List.sort metadata) (Map.toList back.Metadata)
                  equal tensors.Length back.Tensors.Count
                  for name, x in tensors do
                      Expect.isTrue (Tensor.same back.Tensors[name] x) name

                  // The header is a multiple of 8 bytes, and each tensor begins at a multiple of its element's size.
                  let length = BitConverter.ToInt64(bytes, 0)
                  equal 0L (length % 8L)
                  use header = Json.JsonDocument.Parse(ReadOnlyMemory(bytes, 8, int length))

                  for name, x in tensors do
                      let entry = header.RootElement.GetProperty name
                      let offsets = entry.GetProperty "data_offsets"
                      let first = offsets[0].GetInt64()
                      equal 0L (first % int64 (Dtype.size x.Dtype)))

          testCase "a file that is missing, is no safetensors file or contradicts itself is refused in one line"
          <| fun () ->
              let broken (bytes: byte[]) parts =
                  reading bytes (fun path -> refused (path :: parts) (fun () -> ignore (Safetensors.read path)))
              let one entry = file $"{{\"w\":{entry}}}"
              refused [ "no-such.safetensors"; "no such file" ] (fun () ->
                  Safetensors.read "no-such.safetensors" |> ignore)
              broken (zeros 3) [ "no safetensors file"; "3 bytes" ]
              broken (Array.create 64 0xFFuy) [ "no safetensors file"; "header" ]
              broken (Array.append (BitConverter.GetBytes 1000L) (zeros 5)) [ "truncated"; "1000"; "5" ]
              broken (file "{\"w\":" [||]) [ "not JSON" ]
              broken (file "[1]" [||]) [ "no JSON object" ]
              broken (one """{"dtype":"F32","shape":[2]}""" (zeros 8)) [ "'w'"; "data_offsets" ]
              broken
                  (one """{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}""" (zeros 2))
                  [ "'w'"; "F8_E4M3"; "expected one of" ]
              broken
                  (one """{"dtype":"F32","shape":[2],"data_offsets":[0,4]}""" (zeros 4))
                  [ "'w'"; "8 bytes"; "span 4" ]
              broken (one """{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}""" (zeros 8)) [ "'w'"; "-2" ]
              broken (one """{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""" (zeros 4)) [ "truncated"; "8"; "4" ]
              broken (one """{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""" (zeros 9)) [ "longer" ]
              broken (one """{"dtype":"F32","shape":[2],"data_offsets":[4,12]}""" (zeros 12)) [ "0 to 4"; "no tensor" ]
              broken
                  (one """{"dtype":"F32","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,8]}""" (zeros 8))
                  [ "'w'" ]

              broken
                  (file
                      """{"w":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"v":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}}"""
                      (zeros 6))
                  [ "'v'"; "inside" ]

              broken
                  (file
                      """{"w":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}}"""
                      (zeros 2))
                  [ "not JSON"; "w" ]

          testCase "names that come twice are the program's fault, and touch no file"
          <| fun () ->
              inFolder (fun folder ->
                  let path = Path.Combine(folder, "x")
                  let w = Tensor.ones Kind.Float32 [ 2 ]
                  raises<ArgumentException> [ "'w'" ] (fun () -> Safetensors.write path [] [ "w", w; "w", w ])
                  raises<ArgumentException> [ "__metadata__" ] (fun () ->
                      Safetensors.write path [] [ "__metadata__", w ])
                  raises<ArgumentException> [ "'k'" ] (fun () ->
                      Safetensors.write path [ "k", ""; "k", "" ] [ "w", w ])
                  Expect.isEmpty (Directory.GetFiles folder) "") ]
