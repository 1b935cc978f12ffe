module Fokker.Tests.Torch.TensorTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private kind = Kind.Float64
let private ignored (f: unit -> Tensor) () = f () |> ignore

[<Tests>]
let tests =
    testList
        "Torch.Tensor"
        [ testCase "an operation that cannot be done names itself and every shape"
          <| fun () ->
              let a, b = Tensor.zeros kind [ 2; 3 ], Tensor.zeros kind [ 4; 5 ]
              let image = Tensor.zeros Kind.Float32 [ 1; 3; 8; 8 ]
              raises<TensorException> [ "add"; "[2; 3] float64"; "[4; 5] float64" ] (ignored (fun () -> a + b))
              raises<TensorException> [ "matmul"; "[2; 3]"; "[4; 5]" ] (ignored (fun () -> Linalg.matmul a b))
              raises<TensorException> [ "cat"; "[2; 3]"; "[4; 5]" ] (ignored (fun () -> Tensor.cat 0 [ a; b ]))
              raises<TensorException> [ "reshape"; "[2; 3]"; "[7]" ] (ignored (fun () -> Tensor.reshape [ 7 ] a))
              raises<TensorException>
                  [ "conv2d"; "[1; 3; 8; 8] float32" ]
                  (ignored (fun () -> Nn.conv2d 1 1 image image image))
              raises<TensorException> [ "select"; "[2; 3]" ] (ignored (fun () -> a[5]))
              raises<TensorException>
                  [ "cholesky"; "[2; 2]" ]
                  (ignored (fun () -> Linalg.cholesky (Tensor.full kind [ 2; 2 ] 1.0 - 2.0)))
              raises<TensorException> [ "perSample"; "[2; 3]"; "[4; 5]" ] (ignored (fun () -> Tensor.perSample a b))
              raises<TensorException> [ "ToFloat"; "[2; 3]" ] (fun () -> a.ToFloat() |> ignore)
              raises<TensorException> [ "ToInt64"; "float64" ] (fun () -> (Tensor.sum a).ToInt64() |> ignore)
              raises<TensorException> [ "ToBool"; "float64" ] (fun () -> (Tensor.sum a).ToBool() |> ignore)

          testCase "floating types do not mix, but for numbers, integers and truth values"
          <| fun () ->
              let single, double = Tensor.ones Kind.Float32 [ 2 ], Tensor.ones kind [ 2 ]

              for op in
                  [ (+)
                    (-)
                    (*)
                    (/)
                    (fun (a: Tensor) (b: Tensor) -> a ** b)
                    Tensor.maximum
                    Tensor.less
                    Linalg.matmul ] do
                  raises<TensorException> [ "[2] float32"; "[2] float64"; ".To" ] (ignored (fun () -> op single double))

              equal Dtype.Float32 (single * Tensor.scalar kind 2.0).Dtype
              equal Dtype.Float32 (single + Tensor.ones Kind.Int64 [ 2 ]).Dtype
              equal Dtype.Float32 (single * Tensor.ones Kind.Bool [ 2 ]).Dtype
              equal Dtype.Float32 (2.0 * single + 1.0).Dtype

          testCase "a device that is not there is refused with what is"
          <| fun () ->
              raises<EnvironmentException> [ "'tpu'"; "cpu, cuda or cuda:N" ] (fun () -> Torch.device "tpu" |> ignore)
              raises<EnvironmentException> [ "'cuda:x'" ] (fun () -> Torch.device "cuda:x" |> ignore)
              raises<EnvironmentException> [ "'cuda:99'"; "not there" ] (fun () -> Torch.device "cuda:99" |> ignore)
              equal Device.Cpu (Torch.device "cpu")

              if Torch.cudaDevices () = 0 then
                  raises<EnvironmentException> [ "'cuda'"; "no CUDA device"; "use cpu" ] (fun () ->
                      Torch.device "cuda" |> ignore)

          testCase "bfloat16 computes, to its three digits"
          <| fun () ->
              let a, b = Rng.normal kind [ 4; 4 ] (Rng.ofSeed 1L), Rng.normal kind [ 4; 4 ] (Rng.ofSeed 2L)
              let half (x: Tensor) = x.To Dtype.BFloat16

              for name, f in
                  [ "sum", (fun (a: Tensor) (b: Tensor) -> a + b)
                    "product", (fun a b -> a * b)
                    "matrix product", Linalg.matmul
                    "exp", (fun a b -> Tensor.exp (a * 0.5) - b / 2.0)
                    "softmax", (fun a b -> Nn.softmax -1 (a + b))
                    "norm", (fun a b -> Tensor.sqrt (Tensor.sumKeep [ 1 ] (Tensor.square a)) + b) ] do
                  let found = f (half a) (half b)
                  equal Dtype.BFloat16 found.Dtype
                  // Eight bits of mantissa: 4e-3 for each of a few roundings of numbers up to ten.
                  close 3e-2 (found.To Dtype.Float64) (f ((half a).To Dtype.Float64) ((half b).To Dtype.Float64))
                  let g = Diff.grad (fun a -> (Tensor.sum (f a (half b))).To Dtype.Float32) (half a)
                  Expect.equal g.Dtype Dtype.BFloat16 name

          testCase "element types convert to one another and back where the values fit"
          <| fun () ->
              let x = Tensor.ofArray [ 4 ] [| 0.0; 1.0; 2.0; 100.0 |]

              for dtype in
                  [ Dtype.UInt8
                    Dtype.Int8
                    Dtype.Int16
                    Dtype.Int32
                    Dtype.Int64
                    Dtype.Float16
                    Dtype.Float32
                    Dtype.BFloat16 ] do
                  let y = x.To dtype
                  equal dtype y.Dtype
                  Expect.isTrue (Tensor.same (y.To Dtype.Float64) x) (Dtype.name dtype)

              equal [ false; true; true; true ] (Tensor.toArray<bool>(x.To Dtype.Bool))

          testCase "slices are F#'s: both ends included"
          <| fun () ->
              let x = Tensor.ofArray [ 3; 4 ] [| 0.0 .. 11.0 |]
              equal [ 4.0 .. 7.0 ] (Tensor.toFloats x[1])
              equal 6.0 (x[1, 2].ToFloat())
              equal [ 4.0 .. 11.0 ] (Tensor.toFloats x[1..2])
              equal [ 0.0 .. 7.0 ] (Tensor.toFloats x[..1])
              equal [ 8.0 .. 11.0 ] (Tensor.toFloats x[2..])
              equal [ 5.0; 6.0; 9.0; 10.0 ] (Tensor.toFloats x[1..2, 1..2])
              equal [ 5.0; 6.0 ] (Tensor.toFloats x[1, 1..2])
              equal [ 2.0; 6.0 ] (Tensor.toFloats x[0..1, 2])
              equal [ 3; 2 ] x[*, 1..2].Shape

          testCase "comparisons, reductions and orders say what they say"
          <| fun () ->
              let x = Tensor.ofArray [ 2; 3 ] [| 3.0; 1.0; 2.0; -1.0; nan; infinity |]
              equal [ false; false; false; false; true; false ] (Tensor.toArray<bool>(Tensor.isNan x))
              equal [ true; true; true; true; false; false ] (Tensor.toArray<bool>(Tensor.isFinite x))
              equal [ true; false; true; false; false; true ] (Tensor.toArray<bool>(Tensor.greaterThan 1.5 x))
              let row = x[0]
              let values, order = Tensor.sort 0 row
              equal [ 1.0; 2.0; 3.0 ] (Tensor.toFloats values)
              equal [ 1L; 2L; 0L ] (Tensor.toArray<int64> order)
              equal [ 1L; 2L; 0L ] (Tensor.toArray<int64>(Tensor.argsort 0 row))
              equal 0L ((Tensor.argmax 0 row).ToInt64())
              equal 1L ((Tensor.argmin 0 row).ToInt64())
              equal 6.0 ((Tensor.prod row).ToFloat())
              equal [ 0.0; 0.0; 1.0; 1.0; 0.0; 0.0 ] (Tensor.toFloats (Nn.oneHot 3 (Tensor.ofArray [ 2 ] [| 2L; 0L |])))
              equal [ 1.0; 2.0; 0.5 ] (Tensor.toFloats (Tensor.modulo 2.5 (Tensor.ofArray [ 3 ] [| 1.0; -0.5; 3.0 |])))

          testCase "log-sum-exp and softmax hold where exponentials overflow, also where derivatives nest"
          <| fun () ->
              let x = Tensor.ofArray [ 2; 3 ] [| 1000.0; 1000.0; 0.0; -1000.0; -1001.0; -infinity |]
              let nested f = snd (Diff.jvp (fun x -> Diff.grad (f >> Tensor.sum) x) x (Tensor.zerosLike x))
              let plain f = Diff.grad (f >> Tensor.sum) x
              let expected = Tensor.ofArray [ 2 ] [| 1000.0 + log 2.0; -1000.0 + log (1.0 + exp -1.0) |]
              close 1e-15 (Tensor.logSumExp [ 1 ] x) expected

              for f in [ Tensor.logSumExp [ 1 ]; Nn.softmax 1 ] do
                  Expect.isTrue ((Tensor.all (Tensor.isFinite (plain f))).ToBool()) ""
                  Expect.isTrue ((Tensor.all (Tensor.isFinite (nested f))).ToBool()) ""

              // Softplus and log σ in float64: libtorch's own threshold would cost nine digits here.
              let y = Tensor.ofArray [ 3 ] [| 25.0; -25.0; 700.0 |]
              close 1e-15 (Tensor.softplus y - Tensor.relu y) (Tensor.ofArray [ 3 ] [| exp -25.0; exp -25.0; 0.0 |])

          testCase "libtorch says what it is"
          <| fun () ->
              Expect.isMatch (Torch.version ()) @"^\d+\.\d+" ""
              Expect.isNonEmpty (Torch.configuration ()) ""
              Expect.notEqual (Torch.cpuCapability ()) "unknown" ""
              Expect.isGreaterThan (Torch.threads ()) 0 ""
              raises<ArgumentException> [ "threads = 0" ] (fun () -> Torch.setThreads 0) ]
