module Fokker.Tests.Torch.ExchangeTests

#nowarn "9" // an address is compared
#nowarn "51"

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private roundTrip<'T when 'T: unmanaged and 'T: equality> (dtype: Dtype) (data: 'T[]) =
    for make in [ Tensor.ofArray<'T>; Tensor.lend<'T> ] do
        let x = make [ 2; data.Length / 2 ] data
        equal dtype x.Dtype
        equal data (Tensor.toArray<'T> x)
        let columns = Tensor.transpose 0 1 x
        equal
            [ for c in 0 .. data.Length / 2 - 1 do
                  for r in 0..1 -> data[r * data.Length / 2 + c] ]
            (Tensor.toArray<'T> columns)

    let managed = System.Numerics.Tensors.Tensor.Create(data, ReadOnlySpan [| 2n; nativeint (data.Length / 2) |])

    for make in [ Numerics.ofTensor<'T>; Numerics.lend<'T> ] do
        let x = make managed
        equal dtype x.Dtype
        equal data (Tensor.toArray<'T> x)
        let back = Numerics.toTensor<'T> x
        equal [ 2n; nativeint (data.Length / 2) ] (back.Lengths.ToArray())
        equal data (Seq.toArray back)

[<Tests>]
let tests =
    testList
        "Torch.Exchange"
        [ testCase "managed memory goes in and comes out as it was, for every element type that .NET has"
          <| fun () ->
              roundTrip Dtype.Float32 [| 1.5f; -0.0f; Single.PositiveInfinity; Single.Epsilon; nanf; 3.0f |]
              roundTrip Dtype.Float64 [| 1.5; -0.0; Double.PositiveInfinity; Double.Epsilon; nan; 3.0 |]
              roundTrip Dtype.Int64 [| Int64.MinValue; -1L; 0L; Int64.MaxValue |]
              roundTrip Dtype.Int32 [| Int32.MinValue; -1; 0; Int32.MaxValue |]
              roundTrip Dtype.Int16 [| Int16.MinValue; -1s; 0s; Int16.MaxValue |]
              roundTrip Dtype.Int8 [| SByte.MinValue; -1y; 0y; SByte.MaxValue |]
              roundTrip Dtype.UInt8 [| 0uy; 1uy; 128uy; 255uy |]
              roundTrip Dtype.Bool [| true; false; false; true |]
              roundTrip Dtype.Float16 [| Half.Epsilon; Half.MaxValue; Half.NegativeInfinity; Half.op_Explicit 1.5f |]

          testCase "a lent array and the tensor are the same memory; a copied one is not"
          <| fun () ->
              let data = [| 1.0; 2.0 |]
              let lent, copied = Tensor.lend [ 2 ] data, Tensor.ofArray [ 2 ] data
              data[0] <- 5.0
              equal [ 5.0; 2.0 ] (Tensor.toArray<float> lent)
              equal [ 1.0; 2.0 ] (Tensor.toArray<float> copied)

          testCase "a lent array is unpinned once the last tensor that looks at it is freed"
          <| fun () ->
              let lend () =
                  let data = Array.create 1000 1.0
                  let x = Tensor.lend [ 1000 ] data
                  WeakReference data, x, x[10..19]

              let weak, x, part = lend ()
              x.Dispose()
              GC.Collect()
              Expect.isTrue weak.IsAlive "a slice still looks at it"
              equal 10.0 ((Tensor.sum part).ToFloat())
              part.Dispose()
              GC.Collect()
              Expect.isFalse weak.IsAlive ""

          testCase "a view shows the elements where they lie, slices and transposes included"
          <| fun () ->
              let x = Rng.ofSeed 3L |> Rng.normal Kind.Float32 [ 3; 4; 5 ]
              let address (t: Tensor) =
                  Numerics.view<float32, nativeint>
                      t
                      (ViewReader(fun s ->
                          use first = fixed &s.GetPinnableReference()
                          NativeInterop.NativePtr.toNativeInt first))
              let values (t: Tensor) =
                  Numerics.view<float32, float32[]>
                      t
                      (ViewReader(fun s ->
                          let a = Array.zeroCreate (int s.FlattenedLength) in
                          s.FlattenTo(Span a)
                          a))

              for t in
                  [ x
                    Tensor.transpose 0 2 x
                    x[1..2, 0..1, 2..4]
                    x[1]
                    Tensor.unsqueeze 1 x
                    Tensor.expand [ 3; 4; 5 ] x[0..0]
                    x[0..0, *, *]
                    x[1, 1..1] ] do
                  equal (Tensor.toArray<float32> t) (values t)

              Expect.isTrue (address x = address (Tensor.transpose 0 2 x)) "a copy was made"
              equal 80n (address x[1] - address x)

          testCase "a tensor copies into a span of its shape and no other"
          <| fun () ->
              let x = f64 [ 2; 3 ] [ 1.0; 2.0; 3.0; 4.0; 5.0; 6.0 ]
              let target = System.Numerics.Tensors.Tensor.CreateFromShape<float>(ReadOnlySpan [| 3n; 2n |])
              Numerics.copyTo (Tensor.transpose 0 1 x) (target.AsTensorSpan())
              equal [ 1.0; 4.0; 2.0; 5.0; 3.0; 6.0 ] (Seq.toArray target)
              raises<TensorException> [ "[2; 3] float64"; "[3; 2]" ] (fun () ->
                  Numerics.copyTo x (target.AsTensorSpan()))

          testCase "what does not fit is refused with both sides named"
          <| fun () ->
              raises<TensorException> [ "5 elements"; "[2; 3]"; "6" ] (fun () ->
                  Tensor.ofArray [ 2; 3 ] (Array.zeroCreate<float> 5) |> ignore)
              raises<TensorException> [ "[2] float64"; "Single" ] (fun () ->
                  Tensor.toArray<float32>(f64 [ 2 ] [ 1.0; 2.0 ]) |> ignore)
              equal [ 0; 2 ] (Tensor.lend [ 0; 2 ] (Array.empty<float>)).Shape
              equal [||] (Tensor.toArray<float>(Tensor.lend [ 0 ] (Array.empty<float>)))
              raises<TensorException> [ "Char" ] (fun () -> Tensor.ofArray [ 1 ] [| 'a' |] |> ignore)

              let turned =
                  System.Numerics.Tensors.Tensor.Create(
                      [| 1.0; 2.0; 3.0; 4.0 |],
                      ReadOnlySpan [| 2n; 2n |],
                      ReadOnlySpan [| 1n; 2n |]
                  )
              equal [ 1.0; 3.0; 2.0; 4.0 ] (Tensor.toArray<float>(Numerics.ofTensor turned)) ]
