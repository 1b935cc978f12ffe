namespace Fokker

open System
open System.Collections.Concurrent
open Microsoft.FSharp.NativeInterop

#nowarn "9" "51" // arguments are native memory

/// The operators with a number (Scalar) among their arguments, which the C ABI does not take, made of their siblings with a tensor. Every one stays on
/// the graph, and has forward derivatives.
module internal Replacements =

    open Crossing

    let private siblings = ConcurrentDictionary<string, NativeOperator>()

    let private sibling (name: string) : NativeOperator =
        siblings.GetOrAdd(
            name,
            fun name ->
                match Signatures.find name with
                | Some signature -> NativeOperator(name, signature, null)
                | None -> fail $"operator {name} has no signature"
        )

    let private constants = ConcurrentDictionary<struct (int64 * Dtype), nativeint>()

    /// Runs `f` on a 0-dimensional tensor of that value. Those in use are few, and kept.
    let private withConstant (dtype: Dtype) (value: float) (f: nativeint -> 'R) : 'R =
        let key = struct (BitConverter.DoubleToInt64Bits value, dtype)

        match constants.TryGetValue key with
        | true, tensor -> f tensor
        | _ ->
            let made = full 0n 0L value dtype Device.Cpu

            if constants.Count < 1024 && constants.TryAdd(key, made) then
                f made
            else
                try
                    f made
                finally
                    free made

    /// The element type of a number beside `x`, as libtorch has it: x's own, float32 beside whole numbers. Beside numbers of 16 bits it keeps
    /// the precision of 32 where that does not make the result one of 32 too.
    let private beside (x: nativeint) : Dtype =
        match dtype x with
        | Dtype.Float32
        | Dtype.Float64 as own -> own
        | Dtype.Float16
        | Dtype.BFloat16 as own -> if rank x > 0 then Dtype.Float32 else own
        | _ -> Dtype.Float32

    let private isFloating (x: nativeint) = Dtype.isFloating (dtype x)

    let private tensorAt (args: nativeint) (n: int) (k: int) : nativeint =
        let value = if k < n then read args k else none

        if value.Tag <> 1 || value.Payload = 0L then
            fail "a tensor is missing (null)"

        nativeint value.Payload

    let private numberOf (value: NativeValue) : float =
        if value.Tag = 3 then BitConverter.Int64BitsToDouble value.Payload else float value.Payload

    /// The number at place k; the default where none is given.
    let private numberAt (args: nativeint) (n: int) (k: int) (preset: float) : float =
        if k >= n then
            preset
        else
            let value = read args k
            if value.Tag = 0 || value.Tag = 11 then preset else numberOf value

    let private valueAt (args: nativeint) (n: int) (k: int) : NativeValue =
        if k < n then read args k else { none with Tag = 11 }

    /// A list of one tensor as an argument; `at` has to stay.
    let private listOf1 (at: nativeptr<int64>) : NativeValue =
        { Tag = 7; Meta = 0; Count = 1L; Payload = int64 (NativePtr.toNativeInt at) }

    /// a + b of whole numbers: a + 1·b·1, the one way there with a factor that is a tensor.
    let private addWhole (a: nativeint) (b: nativeint) : nativeint =
        if dtype a = Dtype.Bool && dtype b = Dtype.Bool then
            apply (sibling "logical_or") [| ofTensor a; ofTensor b |]
        else
            withConstant (if dtype b = Dtype.Bool then Dtype.UInt8 else dtype b) 1.0 (fun one ->
                let mutable length = 1L
                let factor = full (NativePtr.toNativeInt &&length) 1L 1.0 Dtype.Int64 Device.Cpu

                try
                    let mutable first = int64 a
                    let mutable second = int64 b
                    let mutable third = int64 one

                    apply
                        (sibling "_foreach_addcmul.Tensor")
                        [| listOf1 &&first; listOf1 &&second; listOf1 &&third; ofTensor factor |]
                finally
                    free factor)

    let private add (a: nativeint) (b: nativeint) (alpha: float) : nativeint =
        if isFloating a || isFloating b then
            subtract a b -alpha
        elif alpha = 1.0 then
            addWhole a b
        elif alpha = -1.0 then
            if dtype a = Dtype.Bool && dtype b = Dtype.Bool then
                fail
                    "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."

            let minus = apply (sibling "neg") [| ofTensor b |]

            try
                addWhole a minus
            finally
                free minus
        else
            fail "For integral input tensors, argument alpha must not be a floating point number."

    let private one (f: nativeint -> int -> nativeint) : Replacement = Replacement(fun args n -> describe (f args n))

    /// The sibling whose second argument is a tensor.
    let private withTensor (name: string) : Replacement =
        let operator = sibling name

        Replacement(fun args n ->
            let x = tensorAt args n 0

            withConstant (beside x) (numberAt args n 1 nan) (fun number ->
                let values = NativePtr.stackalloc<NativeValue> 2
                let result = NativePtr.stackalloc<NativeValue> 1
                NativePtr.set values 0 (ofTensor x)
                NativePtr.set values 1 (ofTensor number)
                invoke operator (NativePtr.toNativeInt values) 2 (NativePtr.toNativeInt result) 1 |> ignore
                NativePtr.read result))

    /// xⁿ for a whole n ≥ 1, by repeated squaring: the derivatives of products are right also where x is negative, where those of a power by a tensor ask for log x.
    let rec private wholePower (n: int) (x: nativeint) : nativeint =
        let after (first: nativeint) (f: nativeint -> nativeint) =
            try
                f first
            finally
                free first

        let negative (x: nativeint) = apply (sibling "neg") [| ofTensor x |]

        match n with
        | 1 -> after (negative x) negative
        | 2 -> apply (sibling "square") [| ofTensor x |]
        | n when n % 2 = 0 -> after (wholePower (n / 2) x) (wholePower 2)
        | n -> after (wholePower (n - 1) x) (fun power -> apply (sibling "mul.Tensor") [| ofTensor power; ofTensor x |])

    let private pow =
        let general = withTensor "pow.Tensor_Tensor"

        Replacement(fun args n ->
            let x = tensorAt args n 0

            // libtorch's own operator treats these exponents as the functions that they are.
            let named =
                match numberAt args n 1 nan with
                | _ when not (isFloating x) -> None
                | 2.0 -> Some "square"
                | 0.5 -> Some "sqrt"
                | -1.0 -> Some "reciprocal"
                | -0.5 -> Some "rsqrt"
                | _ -> None

            let exponent = numberAt args n 1 nan

            match named with
            | Some name -> describe (apply (sibling name) [| ofTensor x |])
            | None when
                isFloating x && Math.Truncate exponent = exponent && 1.0 <= abs exponent && abs exponent <= 64.0
                ->
                let power = wholePower (int (abs exponent)) x

                if exponent > 0.0 then
                    describe power
                else
                    try
                        describe (apply (sibling "reciprocal") [| ofTensor power |])
                    finally
                        free power
            | None -> general.Invoke(args, n))

    let private rsub =
        one (fun args n ->
            let x = tensorAt args n 0
            let alpha = numberAt args n 2 1.0
            withConstant (beside x) (numberAt args n 1 nan) (fun number -> subtract number x alpha))

    let private clamp =
        one (fun args n ->
            let x = tensorAt args n 0
            let call low high = apply (sibling "clamp.Tensor") [| ofTensor x; low; high |]

            let bound k (f: NativeValue -> nativeint) =
                match (valueAt args n k).Tag with
                | 0
                | 11 -> f none
                | _ -> withConstant (beside x) (numberAt args n k nan) (fun number -> f (ofTensor number))

            bound 1 (fun low -> bound 2 (fun high -> call low high)))

    /// log(1 + eˣ) as log(eˣ + e⁰), exact at any size of x: no threshold is needed.
    let private softplus =
        one (fun args n ->
            let x = tensorAt args n 0

            if numberAt args n 1 1.0 <> 1.0 then
                fail "softplus with another beta than 1"

            withConstant (beside x) 0.0 (fun zero -> apply (sibling "logaddexp") [| ofTensor x; ofTensor zero |]))

    let private deviceOf (value: NativeValue) : Device =
        if value.Tag = 10 then
            { Type = int (value.Payload >>> 8); Index = int (value.Payload &&& 0xffL) }
        else
            Device.Cpu

    let private dtypeOf (value: NativeValue) : Dtype = if value.Tag = 2 then enum (int value.Payload) else Dtype.Float32

    let private filled =
        one (fun args n ->
            let size = valueAt args n 0

            if size.Tag <> 5 then
                fail "full: a shape is missing"

            full
                (nativeint size.Payload)
                size.Count
                (numberAt args n 1 nan)
                (dtypeOf (valueAt args n 2))
                (deviceOf (valueAt args n 4)))

    /// Whole numbers in a row: their running sum, which is exact.
    let private arange =
        one (fun args n ->
            let first, stop, step = numberAt args n 0 nan, numberAt args n 1 nan, numberAt args n 2 1.0

            if not (step <> 0.0 && Double.IsFinite first && Double.IsFinite stop && Double.IsFinite step) then
                fail $"arange from {first} to {stop} by {step}"

            let count = ceil ((stop - first) / step)

            if count < 0.0 then
                fail "upper bound and lower bound inconsistent with step sign"

            let whole = Seq.forall Double.IsInteger [ first; step ]
            let kind = if whole then Dtype.Int64 else Dtype.Float64
            let mutable length = int64 count
            let steps = full (NativePtr.toNativeInt &&length) 1L step kind Device.Cpu

            try
                let sums = apply (sibling "cumsum") [| ofTensor steps; ofInt 0L |]

                try
                    withConstant kind (first - step) (fun start ->
                        let shifted = if whole then addWhole sums start else subtract sums start -1.0

                        try
                            apply
                                (sibling "_to_copy")
                                [| ofTensor shifted; valueAt args n 3; none; valueAt args n 5 |]
                        finally
                            free shifted)
                finally
                    free sums
            finally
                free steps)

    let private linspace =
        one (fun args n ->
            withConstant Dtype.Float64 (numberAt args n 0 nan) (fun first ->
                withConstant Dtype.Float64 (numberAt args n 1 nan) (fun last ->
                    apply
                        (sibling "linspace.Tensor_Tensor")
                        [| yield ofTensor first; yield ofTensor last; for k in 2 .. n - 1 -> read args k |])))

    /// Σ(x − x̄)² / (n − c): libtorch's own for c = 0 and c = 1.
    let private variance =
        one (fun args n ->
            let x = tensorAt args n 0
            let correction = numberAt args n 2 1.0
            let plain (unbiased: bool) =
                apply (sibling "var.dim") [| ofTensor x; valueAt args n 1; ofFlag unbiased; valueAt args n 3 |]

            if correction = 0.0 || correction = 1.0 then
                plain (correction = 1.0)
            else
                let rank = rank x
                let dims = valueAt args n 1

                let over =
                    if dims.Tag = 5 && dims.Count > 0L then
                        [ for k in 0 .. int dims.Count - 1 do
                              let d = int (NativePtr.get (NativePtr.ofNativeInt<int64>(nativeint dims.Payload)) k)
                              if d < 0 then d + rank else d ]
                    else
                        [ 0 .. rank - 1 ]

                let sizes = NativePtr.ofNativeInt<int64>(sizes x)
                let count = over |> List.fold (fun product d -> product * float (NativePtr.get sizes d)) 1.0
                let biased = plain false

                try
                    withConstant (beside x) (count / (count - correction)) (fun factor ->
                        apply (sibling "mul.Tensor") [| ofTensor biased; ofTensor factor |])
                finally
                    free biased)

    let private letters = "constant"B
    let private constantText =
        let at = Runtime.InteropServices.Marshal.AllocHGlobal letters.Length
        Runtime.InteropServices.Marshal.Copy(letters, 0, at, letters.Length)
        at

    let private pad =
        one (fun args n ->
            let value = numberAt args n 2 0.0

            apply
                (sibling "pad")
                [| read args 0
                   valueAt args n 1
                   { Tag = 9; Meta = 0; Count = int64 letters.Length; Payload = int64 constantText }
                   ofFloat value |])

    let private sum = one (fun args n -> add (tensorAt args n 0) (tensorAt args n 1) (numberAt args n 2 1.0))

    let private difference =
        one (fun args n -> add (tensorAt args n 0) (tensorAt args n 1) (-(numberAt args n 2 1.0)))

    let private shifted (sign: float) =
        one (fun args n ->
            let x = tensorAt args n 0
            withConstant (beside x) (numberAt args n 1 nan) (fun number ->
                subtract x number (-sign * numberAt args n 2 1.0)))

    let private known: (string * Lazy<Replacement>) list =
        [ "add.Tensor", lazy sum
          "sub.Tensor", lazy difference
          "add.Scalar", lazy (shifted 1.0)
          "sub.Scalar", lazy (shifted -1.0)
          "rsub.Scalar", lazy rsub
          for name in [ "mul"; "div"; "lt"; "gt"; "ge"; "eq"; "remainder" ] do
              $"{name}.Scalar", lazy (withTensor $"{name}.Tensor")
          "pow.Tensor_Scalar", lazy pow
          "clamp", lazy clamp
          "softplus", lazy softplus
          "full", lazy filled
          "arange.start_step", lazy arange
          "linspace", lazy linspace
          "var.correction", lazy variance
          "constant_pad_nd", lazy pad
          "_local_scalar_dense", lazy (Replacement(fun args n -> item (tensorAt args n 0))) ]

    let private byName = dict known

    /// What stands in for an operator; null where it is called itself.
    let find (name: string) : Replacement | null =
        match byName.TryGetValue name with
        | true, rule -> rule.Value
        | _ -> null
