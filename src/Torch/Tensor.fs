namespace Fokker

open System
open System.Runtime.InteropServices

#nowarn "9" // native pointers: this file and Exchange.fs are where they stop

/// A value of libtorch: an immutable array of one element type on one device.
///
/// Arithmetic broadcasts as numpy's does. Two tensors of different floating types do not mix (a 0-dimensional one goes
/// with any): say `x.To Dtype.Float64` where that is meant. Tensors on different devices do not mix either.
[<Sealed>]
type Tensor internal (pointer: nativeint, meta: int, count: int64) =
    inherit Handle(pointer)

    let mutable shape: int[] | null = null

    member t.Dtype: Dtype = enum (meta &&& 0xff)

    member t.Device = { Type = (meta >>> 8) &&& 0xff; Index = (meta >>> 16) &&& 0xff }

    member t.Kind = { Dtype = t.Dtype; Device = t.Device }

    /// Number of dimensions.
    member t.Rank = (meta >>> 24) &&& 0xff

    /// Number of elements.
    member t.Count = count

    /// Size of every dimension. The array is the tensor's own: do not write to it.
    member t.Shape: int[] =
        match shape with
        | null ->
            let rank = t.Rank
            let sizes = NativeInterop.NativePtr.stackalloc<int64>(2 * rank + 1)
            let strides = NativeInterop.NativePtr.add sizes rank
            let pointer = t.Use()

            try
                if
                    Engines.Current.Shape(
                        pointer,
                        NativeInterop.NativePtr.toNativeInt sizes,
                        NativeInterop.NativePtr.toNativeInt strides,
                        rank
                    )
                        <
                        0
                then
                    raise (TensorException(Engines.Current.Error()))
            finally
                t.Leave()

            let value =
                Array.init rank (fun k ->
                    match NativeInterop.NativePtr.get sizes k with
                    | size when size <= int64 Int32.MaxValue -> int size
                    | size ->
                        raise (
                            TensorException
                                $"a tensor of {size} elements along dimension {k}: at most {Int32.MaxValue}"
                        ))
            shape <- value
            value
        | known -> known

    /// `[64; 2] float32`, with the device where it is not the CPU.
    member t.Describe() =
        if t.IsDisposed then
            "freed tensor"
        else
            let sizes = String.Join("; ", t.Shape)
            let place = if t.Device.IsCpu then "" else $" on {t.Device}"
            $"[{sizes}] {Dtype.name t.Dtype}{place}"

    /// Frees the native tensor now instead of at the end of its scope.
    member t.Dispose() = (t :> IDisposable).Dispose()

/// One argument of an operator.
[<Struct; NoComparison; NoEquality>]
type internal Arg = { Tag: int; Bits: int64; Ref: obj | null }

module internal Arg =
    let none = { Tag = 0; Bits = 0L; Ref = null }
    let inline tensor (t: Tensor) = { Tag = 1; Bits = 0L; Ref = t }
    let inline int (n: int) = { Tag = 2; Bits = int64 n; Ref = null }
    let inline int64 (n: int64) = { Tag = 2; Bits = n; Ref = null }

    let inline float (x: float) = { Tag = 3; Bits = BitConverter.DoubleToInt64Bits x; Ref = null }

    let inline bool (b: bool) = { Tag = 4; Bits = (if b then 1L else 0L); Ref = null }

    let ints (values: seq<int>) = { Tag = 5; Bits = 0L; Ref = [| for v in values -> Operators.int64 v |] }

    let floats (values: float[]) = { Tag = 6; Bits = 0L; Ref = values }
    let tensors (values: Tensor[]) = { Tag = 7; Bits = 0L; Ref = values }
    /// As `tensors`, null meaning none (indices).
    let optionalTensors (values: (Tensor | null)[]) = { Tag = 8; Bits = 0L; Ref = values }

    let string (text: string) = { Tag = 9; Bits = 0L; Ref = Text.Encoding.UTF8.GetBytes text }

    let device (d: Device) = { Tag = 10; Bits = Operators.int64 ((d.Type <<< 8) ||| d.Index); Ref = null }

    /// The schema's own default.
    let absent = { Tag = 11; Bits = 0L; Ref = null }
    let inline dtype (d: Dtype) = int (Operators.int d)

    let option (make: 'T -> Arg) (value: 'T option) =
        match value with
        | Some v -> make v
        | None -> none

    let describe (a: Arg) =
        match a.Ref with
        | :? Tensor as t -> Some(t.Describe())
        | :? (Tensor[]) as ts ->
            let each (t: Tensor) = if isNull (box t) then "null" else t.Describe()
            let shown = ts |> Seq.truncate 4 |> Seq.map each |> String.concat ", "
            let more = if ts.Length > 4 then $", … {ts.Length} in all" else ""
            Some $"({shown}{more})"
        | :? (int64[]) as ns ->
            let shown = String.Join("; ", ns)
            Some $"[{shown}]"
        | _ -> None

/// What an operator gave back.
[<Struct; NoComparison; NoEquality>]
type internal Result =
    { Value: NativeValue }

    member r.Tensor =
        let t = new Tensor(nativeint r.Value.Payload, r.Value.Meta, r.Value.Count)
        t.Register()
        t

    member r.IsTensor = r.Value.Tag = 1
    member r.Int = r.Value.Payload
    member r.Bool = r.Value.Payload <> 0L

    member r.Float = if r.Value.Tag = 3 then BitConverter.Int64BitsToDouble r.Value.Payload else float r.Value.Payload

/// Hears of what is called through the door on a thread.
type internal ICallListener =
    /// An operator by its schema's name with its overload, its arguments and the tensors that it gave.
    abstract Called: name: string * args: Arg[] * results: Tensor[] -> unit
    /// Numbers of a tensor were read.
    abstract Read: Tensor -> unit

/// Whoever listens on this thread.
[<AbstractClass; Sealed>]
type internal Calls() =
    [<ThreadStatic; DefaultValue>]
    static val mutable private listener: ICallListener | null

    static member Called(op: Op, args: Arg[], results: Tensor[]) =
        match Calls.listener with
        | null -> ()
        | listener ->
            // What the listener itself calls is not to be heard.
            Calls.listener <- null

            try
                listener.Called(op.Schema, args, results)
            finally
                Calls.listener <- listener

    static member Read(t: Tensor) =
        match Calls.listener with
        | null -> ()
        | listener -> listener.Read t

    static member IsHeard = not (isNull Calls.listener)

    static member Listening(listener: ICallListener, f: unit -> 'T) : 'T =
        let before = Calls.listener
        Calls.listener <- listener

        try
            f ()
        finally
            Calls.listener <- before

/// Calls through the door. The buffers are the thread's own and live as long as it does.
module internal Door =

    type private Buffers() =
        let mutable listBytes = 1 <<< 14
        let mutable lists = Marshal.AllocHGlobal listBytes
        member val ArgsCapacity = 64
        member val Args = Marshal.AllocHGlobal(64 * sizeof<NativeValue>)
        member val Capacity = 4096
        member val Results = Marshal.AllocHGlobal(4096 * sizeof<NativeValue>)

        /// Room for the elements of all list arguments of one call.
        member _.Lists(bytes: int) =
            if bytes > listBytes then
                Marshal.FreeHGlobal lists
                listBytes <- 2 * bytes
                lists <- Marshal.AllocHGlobal listBytes

            lists

        override b.Finalize() =
            Marshal.FreeHGlobal lists
            Marshal.FreeHGlobal b.Args
            Marshal.FreeHGlobal b.Results

    [<Sealed; AbstractClass>]
    type private PerThread() =
        [<ThreadStatic; DefaultValue>]
        static val mutable private buffers: Buffers | null

        static member Buffers =
            match PerThread.buffers with
            | null ->
                let made = Buffers()
                PerThread.buffers <- made
                made
            | b -> b

    let private failed (op: Op) (args: Arg[]) =
        let shapes = args |> Array.choose Arg.describe |> String.concat ", "
        TensorException($"{op.Name}: {shapes}: {Engines.Current.Error()}")

    /// The end of `Use` for the first `count` tensors of the arguments, in their order.
    let private leave (args: Arg[]) (count: int) =
        let mutable left = count
        let mutable k = 0

        while left > 0 do
            match args[k].Ref with
            | :? Tensor as t ->
                t.Leave()
                left <- left - 1
            | :? (Tensor[]) as ts ->
                let mutable i = 0

                while left > 0 && i < ts.Length do
                    if not (isNull (box ts[i])) then
                        ts[i].Leave()
                        left <- left - 1

                    i <- i + 1
            | _ -> ()

            k <- k + 1

    let private listLength (a: Arg) =
        match a.Ref with
        | :? (int64[]) as v -> v.Length
        | :? (float[]) as v -> v.Length
        | :? (Tensor[]) as v -> v.Length
        | :? (byte[]) as v -> v.Length / 8 + 1
        | _ -> 0

    let private write (slot: nativeint) (value: NativeValue) =
        NativeInterop.NativePtr.write (NativeInterop.NativePtr.ofNativeInt<NativeValue> slot) value

    /// Calls `op`; the results are read by `read` before anything else can use the buffers.
    let call (op: Op) (args: Arg[]) (read: int -> nativeint -> 'T) : 'T =
        let handle = op.Handle
        let buffers = PerThread.Buffers
        let mutable total = 0L

        for a in args do
            total <- total + int64 (listLength a)

        if args.Length > buffers.ArgsCapacity || total > (1L <<< 27) then
            raise (
                TensorException $"{op.Name}: {args.Length} arguments with {total} elements in their lists are too many"
            )

        let mutable room = buffers.Lists(8 * int total + 8)
        let start = buffers.Args
        // Tensors in use: they outlive the call, whoever frees them meanwhile.
        let mutable used = 0
        let mutable count = 0

        try
            for k in 0 .. args.Length - 1 do
                let a = args[k]
                let slot = start + nativeint (k * sizeof<NativeValue>)

                match a.Ref with
                | null -> write slot { Tag = a.Tag; Meta = 0; Count = 0L; Payload = a.Bits }
                | :? Tensor as t ->
                    write slot { Tag = a.Tag; Meta = 0; Count = 0L; Payload = int64 (t.Use()) }
                    used <- used + 1
                | reference ->
                    let length =
                        match reference with
                        | :? (int64[]) as v ->
                            Marshal.Copy(v, 0, room, v.Length)
                            v.Length
                        | :? (float[]) as v ->
                            Marshal.Copy(v, 0, room, v.Length)
                            v.Length
                        | :? (byte[]) as v ->
                            Marshal.Copy(v, 0, room, v.Length)
                            v.Length
                        | :? (Tensor[]) as v ->
                            for i in 0 .. v.Length - 1 do
                                if isNull (box v[i]) then
                                    Marshal.WriteInt64(room, 8 * i, 0L)
                                else
                                    Marshal.WriteInt64(room, 8 * i, int64 (v[i].Use()))
                                    used <- used + 1

                            v.Length
                        | _ -> 0

                    write slot { Tag = a.Tag; Meta = 0; Count = int64 length; Payload = int64 room }

                    room <- room + nativeint (8 * listLength a)

            count <- Engines.Current.Call(handle, start, args.Length, buffers.Results, buffers.Capacity)
        finally
            leave args used

        if count < 0 then
            raise (failed op args)

        read count buffers.Results

    let private at (results: nativeint) k : Result =
        { Value = NativeInterop.NativePtr.get (NativeInterop.NativePtr.ofNativeInt<NativeValue> results) k }

    let private first = fun (_: int) results -> (at results 0).Tensor
    let private value = fun (_: int) results -> at results 0

    /// The one tensor that `op` gives.
    let one op args : Tensor =
        let result = call op args first

        if Calls.IsHeard then
            Calls.Called(op, args, [| result |])

        result

    /// The one number that `op` gives.
    let scalar op (args: Arg[]) : Result =
        if Calls.IsHeard then
            for a in args do
                match a.Ref with
                | :? Tensor as t -> Calls.Read t
                | _ -> ()

        call op args value

    /// All tensors that `op` gives, those of lists in order.
    let many op args : Tensor[] =
        let results =
            call op args (fun count results ->
                [| for k in 0 .. count - 1 do
                       let r = at results k

                       if r.IsTensor then
                           r.Tensor |])

        if Calls.IsHeard then
            Calls.Called(op, args, results)

        results

    /// A tensor from a native value that another call than an operator's filled in.
    let accept (value: NativeValue) = ({ Value = value }: Result).Tensor

module internal Ops =
    let op name = Op("aten::" + name, "")
    let over name overload = Op("aten::" + name, overload)
    let add = over "add" "Tensor"
    let addScalar = over "add" "Scalar"
    let sub = over "sub" "Tensor"
    let subScalar = over "sub" "Scalar"
    let rsubScalar = over "rsub" "Scalar"
    let mul = over "mul" "Tensor"
    let mulScalar = over "mul" "Scalar"
    let div = over "div" "Tensor"
    let divScalar = over "div" "Scalar"
    let reciprocal = op "reciprocal"
    let powTensor = over "pow" "Tensor_Tensor"
    let powScalar = over "pow" "Tensor_Scalar"
    let neg = op "neg"
    let exp = op "exp"
    let log = op "log"
    let log10 = op "log10"
    let sqrt = op "sqrt"
    let sin = op "sin"
    let cos = op "cos"
    let tan = op "tan"
    let sinh = op "sinh"
    let cosh = op "cosh"
    let tanh = op "tanh"
    let asin = op "asin"
    let acos = op "acos"
    let atan = op "atan"
    let atan2 = op "atan2"
    let abs = op "abs"
    let sign = op "sign"
    let floor = op "floor"
    let ceil = op "ceil"
    let round = op "round"
    let select = over "select" "int"
    let slice = over "slice" "Tensor"
    let copy = op "_to_copy"
    let contiguous = op "contiguous"
    let detach = op "detach"
    let localScalar = op "_local_scalar_dense"

    /// Refuses what numpy would convert silently.
    let binary (op: Op) (a: Tensor) (b: Tensor) =
        if
            a.Dtype <> b.Dtype
            && a.Rank > 0
            && b.Rank > 0
            && Dtype.isFloating a.Dtype
            && Dtype.isFloating b.Dtype
        then
            raise (
                TensorException
                    $"{op.Name}: {a.Describe()} with {b.Describe()}: the floating types differ; convert one with .To"
            )

        Door.one op [| Arg.tensor a; Arg.tensor b |]

    let unary (op: Op) (a: Tensor) = Door.one op [| Arg.tensor a |]
    let withScalar (op: Op) (a: Tensor) (b: float) = Door.one op [| Arg.tensor a; Arg.float b |]

type Tensor with

    /// The same values with another element type (this tensor itself where it already has it).
    member t.To(dtype: Dtype) : Tensor =
        if t.Dtype = dtype then t else Door.one Ops.copy [| Arg.tensor t; Arg.dtype dtype |]

    /// The same values on another device (this tensor itself where it is already there).
    member t.To(device: Device) : Tensor =
        if t.Device = device then
            t
        else
            Door.one Ops.copy [| Arg.tensor t; Arg.none; Arg.none; Arg.device device |]

    member t.To(kind: Kind) : Tensor = t.To(kind.Device).To kind.Dtype

    /// The value of a tensor of one element.
    member t.ToFloat() : float =
        if t.Count <> 1L then
            raise (TensorException $"ToFloat: {t.Describe()}: only a tensor of one element is a number")

        (Door.scalar Ops.localScalar [| Arg.tensor t |]).Float

    /// The value of an integer tensor of one element.
    member t.ToInt64() : int64 =
        if t.Count <> 1L || Dtype.isFloating t.Dtype then
            raise (TensorException $"ToInt64: {t.Describe()}: only an integer tensor of one element is an integer")

        (Door.scalar Ops.localScalar [| Arg.tensor t |]).Int

    /// The truth of a boolean tensor of one element.
    member t.ToBool() : bool =
        if t.Count <> 1L || t.Dtype <> Dtype.Bool then
            raise (TensorException $"ToBool: {t.Describe()}: only a boolean tensor of one element is a truth value")

        (Door.scalar Ops.localScalar [| Arg.tensor t |]).Bool

    static member (+)(a: Tensor, b: Tensor) = Ops.binary Ops.add a b
    static member (+)(a: Tensor, b: float) = Ops.withScalar Ops.addScalar a b
    static member (+)(a: float, b: Tensor) = Ops.withScalar Ops.addScalar b a
    static member (-)(a: Tensor, b: Tensor) = Ops.binary Ops.sub a b
    static member (-)(a: Tensor, b: float) = Ops.withScalar Ops.subScalar a b
    static member (-)(a: float, b: Tensor) = Ops.withScalar Ops.rsubScalar b a
    static member (*)(a: Tensor, b: Tensor) = Ops.binary Ops.mul a b
    static member (*)(a: Tensor, b: float) = Ops.withScalar Ops.mulScalar a b
    static member (*)(a: float, b: Tensor) = Ops.withScalar Ops.mulScalar b a
    static member (/)(a: Tensor, b: Tensor) = Ops.binary Ops.div a b
    static member (/)(a: Tensor, b: float) = Ops.withScalar Ops.divScalar a b
    static member (/)(a: float, b: Tensor) = Ops.withScalar Ops.mulScalar (Ops.unary Ops.reciprocal b) a
    static member (~-)(a: Tensor) = Ops.unary Ops.neg a
    static member Pow(a: Tensor, b: float) = Ops.withScalar Ops.powScalar a b
    static member Pow(a: Tensor, b: Tensor) = Ops.binary Ops.powTensor a b

    // F#'s own exp, sqrt, … find these, so that formulas read the same on floats, curves and tensors.
    static member Exp(a: Tensor) = Ops.unary Ops.exp a
    static member Log(a: Tensor) = Ops.unary Ops.log a
    static member Log10(a: Tensor) = Ops.unary Ops.log10 a
    static member Sqrt(a: Tensor) = Ops.unary Ops.sqrt a
    static member Sin(a: Tensor) = Ops.unary Ops.sin a
    static member Cos(a: Tensor) = Ops.unary Ops.cos a
    static member Tan(a: Tensor) = Ops.unary Ops.tan a
    static member Sinh(a: Tensor) = Ops.unary Ops.sinh a
    static member Cosh(a: Tensor) = Ops.unary Ops.cosh a
    static member Tanh(a: Tensor) = Ops.unary Ops.tanh a
    static member Asin(a: Tensor) = Ops.unary Ops.asin a
    static member Acos(a: Tensor) = Ops.unary Ops.acos a
    static member Atan(a: Tensor) = Ops.unary Ops.atan a
    static member Atan2(a: Tensor, b: Tensor) = Ops.binary Ops.atan2 a b
    static member Abs(a: Tensor) = Ops.unary Ops.abs a
    static member Floor(a: Tensor) = Ops.unary Ops.floor a
    static member Ceiling(a: Tensor) = Ops.unary Ops.ceil a
    static member Round(a: Tensor) = Ops.unary Ops.round a

    member private t.Range(dimension: int, first: int option, last: int option) =
        match first, last with
        | None, None -> t
        | _ ->
            // F#'s ranges include their end.
            let stop = last |> Option.map (fun l -> Arg.int (l + 1)) |> Option.defaultValue Arg.none
            Door.one Ops.slice [| Arg.tensor t; Arg.int dimension; Arg.option Arg.int first; stop |]

    /// `x[i]` along the first dimension.
    member t.Item
        with get (index: int): Tensor = Door.one Ops.select [| Arg.tensor t; Arg.int 0; Arg.int index |]

    /// `x[i, j]` along the first two dimensions.
    member t.Item
        with get (i: int, j: int): Tensor = t[i][j]

    /// `x[a..b]` along the first dimension, both ends included.
    member t.GetSlice(a: int option, b: int option) : Tensor = t.Range(0, a, b)

    /// `x[a..b, c..d]`.
    member t.GetSlice(a: int option, b: int option, c: int option, d: int option) : Tensor =
        t.Range(0, a, b).Range(1, c, d)

    /// `x[i, c..d]`.
    member t.GetSlice(i: int, c: int option, d: int option) : Tensor = t[i].Range(0, c, d)

    /// `x[a..b, j]`.
    member t.GetSlice(a: int option, b: int option, j: int) : Tensor =
        Door.one Ops.select [| Arg.tensor (t.Range(0, a, b)); Arg.int 1; Arg.int j |]

    /// `x[a..b, c..d, e..f]`.
    member t.GetSlice
        (a: int option, b: int option, c: int option, d: int option, e: int option, f: int option)
        : Tensor =
        t.Range(0, a, b).Range(1, c, d).Range(2, e, f)

    /// `x[a..b, c..d, e..f, g..h]`.
    member t.GetSlice
        (
            a: int option,
            b: int option,
            c: int option,
            d: int option,
            e: int option,
            f: int option,
            g: int option,
            h: int option
        ) : Tensor =
        t.Range(0, a, b).Range(1, c, d).Range(2, e, f).Range(3, g, h)
