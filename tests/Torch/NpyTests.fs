module Fokker.Tests.Torch.NpyTests

open System
open System.IO
open System.Text
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

/// The bytes of an npy file as NumPy 1.24 wrote it: version, header, length to which the header is padded, data.
let private numpy (version: byte) (padded: int) (dictionary: string) (data: string) =
    [| yield! [| 0x93uy; 0x4Euy; 0x55uy; 0x4Duy; 0x50uy; 0x59uy; version; 0uy |]
       yield! BitConverter.GetBytes padded |> Array.take (if version = 1uy then 2 else 4)
       yield! Encoding.UTF8.GetBytes(dictionary.PadRight(padded - 1) + "\n")
       yield! Convert.FromHexString data |]

let private header descr fortran shape = $"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}"

let private six =
    "0000000000000000000000000000e03f000000000000f03f000000000000f83f00000000000000400000000000000440"

let private reading (bytes: byte[]) (test: string -> unit) =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "x.npy")
        File.WriteAllBytes(path, bytes)
        test path)

let private reads (bytes: byte[]) dtype (shape: int list) (values: float list) =
    reading bytes (fun path ->
        let x = Npy.read path
        equal dtype x.Dtype
        equal shape x.Shape
        equal values (Tensor.toFloats x))

let private half = [ 0.0; 0.5; 1.0; 1.5; 2.0; 2.5 ]
let private whole = [ 0.0; 1.0; 2.0; 3.0; 4.0; 5.0 ]

/// What `numpy.savez_compressed(b, x=[1.5, 2.5], y=arange(3, int32))` wrote.
let private compressed =
    "UEsDBBQAAAAIAAAAIQCU3hHITAAAAJAAAAAFABQAeC5ucHkBABAAkAAAAAAAAABMAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqGuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6mjoKtQoUAC4GMPhhD6FZHABQSwMEFAAAAAgAAAAhAALsvalMAAAAjAAAAAUAFAB5Lm5weQEAEACMAAAAAAAAAEwAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNpoq6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkaxjqaOgq1ChQALgYgYARiJiAGAFBLAQIUAxQAAAAIAAAAIQCU3hHITAAAAJAAAAAFAAAAAAAAAAAAAACAAQAAAAB4Lm5weVBLAQIUAxQAAAAIAAAAIQAC7L2pTAAAAIwAAAAFAAAAAAAAAAAAAACAAYMAAAB5Lm5weVBLBQYAAAAAAgACAGYAAAAGAQAAAAA="

[<Tests>]
let tests =
    testList
        "Torch.Npy"
        [ testCase "NumPy's files are read: every element size, both byte orders, both memory orders, all versions"
          <| fun () ->
              reads (numpy 1uy 118 (header "<f8" "False" "(2, 3)") six) Dtype.Float64 [ 2; 3 ] half

              reads
                  (numpy
                      1uy
                      118
                      (header ">f8" "True" "(2, 3)")
                      "00000000000000003ff80000000000003fe000000000000040000000000000003ff00000000000004004000000000000")
                  Dtype.Float64
                  [ 2; 3 ]
                  half

              reads
                  (numpy 1uy 118 (header ">i2" "False" "(2, 3)") "000000010002000300040005")
                  Dtype.Int16
                  [ 2; 3 ]
                  whole
              reads
                  (numpy 1uy 118 (header ">i4" "False" "(2, 3)") "000000000000000100000002000000030000000400000005")
                  Dtype.Int32
                  [ 2; 3 ]
                  whole
              reads
                  (numpy 1uy 118 (header "|b1" "False" "(2, 3)") "010001000100")
                  Dtype.Bool
                  [ 2; 3 ]
                  [ 1.0; 0.0; 1.0; 0.0; 1.0; 0.0 ]
              reads
                  (numpy 1uy 118 (header "<f2" "False" "(2, 3)") "00000038003c003e00400041")
                  Dtype.Float16
                  [ 2; 3 ]
                  half
              reads (numpy 1uy 118 (header "<f4" "False" "()") "00002040") Dtype.Float32 [] [ 2.5 ]
              reads
                  (numpy 1uy 118 (header "<i8" "False" "(2,)") "0100000000000000feffffffffffffff")
                  Dtype.Int64
                  [ 2 ]
                  [ 1.0; -2.0 ]
              reads (numpy 1uy 118 (header "<f4" "False" "(0, 3)") "") Dtype.Float32 [ 0; 3 ] []
              reads
                  (numpy 2uy 116 (header "|i1" "False" "(2, 3)") "0001020304ff")
                  Dtype.Int8
                  [ 2; 3 ]
                  [ 0.0; 1.0; 2.0; 3.0; 4.0; -1.0 ]
              reads
                  (numpy 3uy 116 (header "|u1" "False" "(2, 3)") "0001020304ff")
                  Dtype.UInt8
                  [ 2; 3 ]
                  [ 0.0; 1.0; 2.0; 3.0; 4.0; 255.0 ]

              reads
                  (numpy 1uy 118 (header "<u2" "False" "(2, 2)") "0000ff7f0080ffff")
                  Dtype.Int32
                  [ 2; 2 ]
                  [ 0.0; 32767.0; 32768.0; 65535.0 ]
              reads
                  (numpy 1uy 118 (header ">u4" "True" "(2, 2)") "00000000800000007fffffffffffffff")
                  Dtype.Int64
                  [ 2; 2 ]
                  [ 0.0; 2147483647.0; 2147483648.0; 4294967295.0 ]

          testCase "a bool byte that is neither 0 nor 1 is true, and only that"
          <| fun () -> reads (numpy 1uy 118 (header "|b1" "False" "(2,)") "0200") Dtype.Bool [ 2 ] [ 1.0; 0.0 ]

          testCase "what is written is byte for byte what NumPy writes"
          <| fun () ->
              inFolder (fun folder ->
                  let path = Path.Combine(folder, "x.npy")
                  Npy.write path (f64 [ 2; 3 ] half)
                  equal (numpy 1uy 118 (header "<f8" "False" "(2, 3)") six) (File.ReadAllBytes path)
                  Npy.write path (Tensor.scalar Kind.Float32 2.5)
                  equal (numpy 1uy 118 (header "<f4" "False" "()") "00002040") (File.ReadAllBytes path)
                  Npy.write path (Tensor.ofArray [ 2 ] [| 1L; -2L |])
                  equal
                      (numpy 1uy 118 (header "<i8" "False" "(2,)") "0100000000000000feffffffffffffff")
                      (File.ReadAllBytes path))

          testCase "every element type but bfloat16 comes back bit for bit, slices and transposes too"
          <| fun () ->
              inFolder (fun folder ->
                  let path = Path.Combine(folder, "x.npy")
                  let x = Rng.ofSeed 1L |> Rng.normal Kind.Float64 [ 5; 7 ] |> (fun x -> x * 50.0)

                  for dtype in
                      [ Dtype.Float64
                        Dtype.Float32
                        Dtype.Float16
                        Dtype.Int64
                        Dtype.Int32
                        Dtype.Int16
                        Dtype.Int8
                        Dtype.UInt8
                        Dtype.Bool ] do
                      for y in [ x.To dtype; Tensor.transpose 0 1 (x.To dtype); (x.To dtype)[1..2, 3..5] ] do
                          Npy.write path y
                          Expect.isTrue (Tensor.same (Npy.read path) y) (Dtype.name dtype)

                  raises<TensorException> [ "bfloat16"; "Npy.write" ] (fun () -> Npy.write path (x.To Dtype.BFloat16)))

          testCase "a file that is missing, is no npy file or contradicts itself is refused in one line"
          <| fun () ->
              let good = numpy 1uy 118 (header "<f8" "False" "(2, 3)") six
              let broken (bytes: byte[]) parts =
                  reading bytes (fun path -> refused (path :: parts) (fun () -> Npy.read path |> ignore))
              refused [ "no/such/file.npy"; "no such file" ] (fun () -> Npy.read "no/such/file.npy" |> ignore)
              inFolder (fun folder -> refused [ folder; "folder" ] (fun () -> Npy.read folder |> ignore))
              broken [||] [ "no npy file"; "0 bytes" ]
              broken (Encoding.ASCII.GetBytes "a,b\n1,2\n3,4\n5,6\n") [ "no npy file"; "NUMPY" ]
              broken good[..60] [ "truncated"; "header" ]
              broken good[.. good.Length - 2] [ "truncated"; "[2; 3] float64 takes 48 bytes"; "47 are there" ]
              broken (Array.append good [| 0uy |]) [ "longer than its header says"; "49" ]
              broken (numpy 1uy 118 (header "|O" "False" "(1,)") "00") [ "Python objects"; "|O"; "float32" ]
              broken (numpy 1uy 118 (header "<c16" "False" "(1,)") (String('0', 32))) [ "complex"; "expected one of" ]
              broken (numpy 1uy 118 (header "<U3" "False" "(1,)") "00") [ "text" ]
              broken (numpy 1uy 118 (header "<u8" "False" "(1,)") "0000000000000000") [ "<u8"; "expected one of" ]
              broken (numpy 1uy 118 (header "<f8" "False" "(2, 3), 'shape': (3, 2)") six) [ "shape twice" ]
              broken
                  (numpy 1uy 118 "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }" six)
                  [ "structured" ]
              broken (numpy 1uy 118 "{'descr': '<f8', 'shape': (2, 3), }" six) [ "fortran_order" ]
              broken (numpy 1uy 118 (header "<f8" "False" "(-2, 3)") six) [ "-2" ]
              broken (numpy 1uy 118 (header "<f8" "False" "(2000000000, 2000000000, 2000000000)") six) [ "no memory" ]
              broken (numpy 4uy 118 (header "<f8" "False" "(2, 3)") six) [ "version 4.0" ]

          testCase "NumPy's npz is read; ours comes back, and equal arrays are equal bytes"
          <| fun () ->
              reading (Convert.FromBase64String compressed) (fun path ->
                  match Npz.read path with
                  | [ "x", x; "y", y ] ->
                      equal [ 1.5; 2.5 ] (Tensor.toArray<float> x)
                      equal [ 0; 1; 2 ] (Tensor.toArray<int> y)
                  | other -> failtest $"{List.map fst other}")

              inFolder (fun folder ->
                  let path name = Path.Combine(folder, name)
                  let arrays = [ "b", f64 [ 2; 3 ] half; "a/α", Tensor.range Kind.Int64 0 4 ]
                  Npz.write (path "1.npz") arrays
                  Npz.write (path "2.npz") arrays
                  equal (File.ReadAllBytes(path "2.npz")) (File.ReadAllBytes(path "1.npz"))
                  let back = Npz.read (path "1.npz")
                  equal (List.map fst arrays) (List.map fst back)
                  for (_, x), (_, y) in List.zip arrays back do
                      Expect.isTrue (Tensor.same x y) ""
                  raises<ArgumentException> [ "'b'" ] (fun () -> Npz.write (path "3.npz") [ arrays[0]; arrays[0] ]))

          testCase "a damaged npz is refused in one line"
          <| fun () ->
              let bytes = Convert.FromBase64String compressed

              for broken in [ Encoding.ASCII.GetBytes "not a zip"; bytes[.. bytes.Length - 40]; [||] ] do
                  reading broken (fun path -> refused [ path; "npz" ] (fun () -> Npz.read path |> ignore))

          testCase "where writing fails the old file is whole and nothing else is left"
          <| fun () ->
              inFolder (fun folder ->
                  let path = Path.Combine(folder, "x.npy")
                  let x = f64 [ 2; 3 ] half
                  Npy.write path x

                  refused [ path; "No space left on device"; "unchanged" ] (fun () ->
                      Disk.replace path (fun stream ->
                          stream.Write(ReadOnlySpan(Array.zeroCreate<byte> 100000))
                          raise (IOException "No space left on device")))

                  raises<TensorException> [ "bfloat16" ] (fun () -> Npy.write path (x.To Dtype.BFloat16))
                  Expect.isTrue (Tensor.same (Npy.read path) x) ""
                  equal [ path ] (Directory.GetFiles folder)
                  refused [ "nowhere/x.npy"; "folder is not there" ] (fun () ->
                      Npy.write (Path.Combine(folder, "nowhere/x.npy")) x)
                  refused [ folder; "is a folder" ] (fun () -> Npy.write folder x))

          testCase "a second writer of one file is told so, and the first one's bytes arrive"
          <| fun () ->
              inFolder (fun folder ->
                  let path = Path.Combine(folder, "x")

                  Disk.replace path (fun stream ->
                      stream.WriteByte 1uy
                      refused [ path; "another process" ] (fun () ->
                          Disk.replace path (fun second -> second.WriteByte 2uy)))

                  equal [| 1uy |] (File.ReadAllBytes path)
                  equal [ path ] (Directory.GetFiles folder)) ]
