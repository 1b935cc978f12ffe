namespace Fokker

open System
open System.Runtime.InteropServices

/// Element types, numbered as libtorch numbers them.
type Dtype =
    | UInt8 = 0
    | Int8 = 1
    | Int16 = 2
    | Int32 = 3
    | Int64 = 4
    | Float16 = 5
    | Float32 = 6
    | Float64 = 7
    | Bool = 11
    | BFloat16 = 15

/// What a tensor operation could not do: the operation, the shapes it was given and the reason, on one line.
type TensorException(message: string) =
    inherit Exception(message)

/// What is wrong with the machine rather than with the program: no libtorch, no such device. One line, with the remedy.
type EnvironmentException(message: string, inner: exn | null) =
    inherit Exception(message, inner)
    new(message) = EnvironmentException(message, null)

/// Where a tensor lives.
[<Struct>]
type Device =
    internal
        { Type: int
          Index: int }

    static member Cpu = { Type = 0; Index = 0 }
    static member Cuda(index: int) = { Type = 1; Index = index }
    member d.IsCpu = (d.Type = 0)
    member d.IsCuda = (d.Type = 1)

    override d.ToString() =
        match d.Type with
        | 0 -> "cpu"
        | 1 -> $"cuda:{d.Index}"
        | other -> $"device-{other}:{d.Index}"

/// Element type and device: what a new tensor needs to be told, and what `x.Kind` says of an old one.
[<Struct>]
type Kind =
    { Dtype: Dtype
      Device: Device }

    static member Float32 = { Dtype = Dtype.Float32; Device = Device.Cpu }

    static member Float64 = { Dtype = Dtype.Float64; Device = Device.Cpu }

    static member Int64 = { Dtype = Dtype.Int64; Device = Device.Cpu }

    static member Bool = { Dtype = Dtype.Bool; Device = Device.Cpu }

    member k.On(device: Device) : Kind = { Dtype = k.Dtype; Device = device }
    member k.As(dtype: Dtype) : Kind = { Dtype = dtype; Device = k.Device }

module Dtype =

    /// The name people know: `float32`, `int64`, `bool`, …
    let name (dtype: Dtype) =
        match dtype with
        | Dtype.UInt8 -> "uint8"
        | Dtype.Int8 -> "int8"
        | Dtype.Int16 -> "int16"
        | Dtype.Int32 -> "int32"
        | Dtype.Int64 -> "int64"
        | Dtype.Float16 -> "float16"
        | Dtype.Float32 -> "float32"
        | Dtype.Float64 -> "float64"
        | Dtype.Bool -> "bool"
        | Dtype.BFloat16 -> "bfloat16"
        | other -> $"dtype-{int other}"

    let isFloating (dtype: Dtype) =
        match dtype with
        | Dtype.Float16
        | Dtype.Float32
        | Dtype.Float64
        | Dtype.BFloat16 -> true
        | _ -> false

    /// Bytes an element.
    let size (dtype: Dtype) =
        match dtype with
        | Dtype.UInt8
        | Dtype.Int8
        | Dtype.Bool -> 1
        | Dtype.Int16
        | Dtype.Float16
        | Dtype.BFloat16 -> 2
        | Dtype.Int32
        | Dtype.Float32 -> 4
        | _ -> 8

/// One value on its way through the door; the layout is `fk_value` of native/door.h.
[<Struct; StructLayout(LayoutKind.Sequential)>]
type internal NativeValue = { mutable Tag: int; mutable Meta: int; mutable Count: int64; mutable Payload: int64 }
