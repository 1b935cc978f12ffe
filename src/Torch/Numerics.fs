namespace Fokker

open System
open System.Numerics.Tensors
open System.Runtime.InteropServices
open Fokker // so that Tensor alone is ours

#nowarn "9" // spans over native memory

/// What is done with a view of a tensor's elements. The view ends with the call.
type ViewReader<'T, 'R> = delegate of ReadOnlyTensorSpan<'T> -> 'R

/// .NET's own tensors (System.Numerics.Tensors) to and fro.
[<RequireQualifiedAccess>]
module Numerics =

    let private lengths (shape: int[]) = shape |> Array.map nativeint

    let private sizes (lengths: ReadOnlySpan<nativeint>) =
        let result = Array.zeroCreate<int64> lengths.Length
        for k in 0 .. lengths.Length - 1 do
            result[k] <- int64 lengths[k]
        result

    /// A CPU tensor with a copy of the elements, whatever their strides.
    let ofSpan<'T when 'T: unmanaged> (x: ReadOnlyTensorSpan<'T>) : Tensor =
        let data = Array.zeroCreate<'T>(int x.FlattenedLength)
        let copy = x
        copy.FlattenTo(Span data)
        Exchange.ofSpan (sizes copy.Lengths |> Array.map int) (ReadOnlySpan data)

    /// A CPU tensor with a copy of the elements.
    let ofTensor<'T when 'T: unmanaged> (x: System.Numerics.Tensors.Tensor<'T>) : Tensor =
        ofSpan (x.AsReadOnlyTensorSpan())

    /// A CPU tensor over the memory of `x`, without a copy: it stays pinned until the tensor is freed, and must not
    /// change meanwhile. Raises TensorException where the elements do not lie densely in row-major order.
    let lend<'T when 'T: unmanaged> (x: System.Numerics.Tensors.Tensor<'T>) : Tensor =
        if not x.IsDense then
            raise (
                TensorException
                    "lend: the tensor's elements do not lie densely in row-major order; use ofTensor, or ToDenseTensor first"
            )

        Exchange.lendPinned<'T> (sizes x.Lengths) (int64 x.FlattenedLength) (x.GetPinnedHandle())

    /// A copy of the elements as .NET's tensor; the element type must be 'T's.
    let toTensor<'T when 'T: unmanaged> (x: Tensor) : System.Numerics.Tensors.Tensor<'T> =
        System.Numerics.Tensors.Tensor.Create(Exchange.toArray<'T> x, ReadOnlySpan(lengths x.Shape))

    /// Copies the elements into `target`. Raises TensorException where the shapes differ.
    let copyTo<'T when 'T: unmanaged> (x: Tensor) (target: TensorSpan<'T>) : unit =
        let target = target

        if sizes target.Lengths <> Array.map int64 x.Shape then
            let text = String.Join("; ", sizes target.Lengths)
            raise (TensorException $"copyTo: {x.Describe()} does not fit a span of [{text}]")

        let copy = toTensor<'T> x
        copy.AsReadOnlyTensorSpan().CopyTo &target

    /// Runs `reader` over the elements where they lie: no copy for a tensor on the CPU, also where it is a slice or a
    /// transpose of another. The element type must be 'T's.
    let view<'T, 'R when 'T: unmanaged> (x: Tensor) (reader: ViewReader<'T, 'R>) : 'R =
        Exchange.strided<'T, 'R> x (fun data length strides ->
            let span =
                ReadOnlyTensorSpan<'T>(
                    NativeInterop.NativePtr.ofNativeInt<'T> data,
                    length,
                    ReadOnlySpan(lengths x.Shape),
                    ReadOnlySpan strides
                )

            reader.Invoke span)
