namespace Fokker

open System
open System.Runtime.InteropServices
open System.Text
open Microsoft.FSharp.NativeInterop

#nowarn "9" "51" // slots and handles are native memory

/// How an operator is called: its name as native text, its signature, and what stands in for it where the C ABI takes none of its arguments.
[<Sealed; AllowNullLiteral>]
type internal NativeOperator(name: string, signature: Signature, replacement: Replacement | null) =
    let base', overload =
        match name.IndexOf '.' with
        | -1 -> name, ""
        | at -> name.Substring(0, at), name.Substring(at + 1)

    let baseAt = Marshal.StringToCoTaskMemUTF8 $"aten::{base'}"
    let overloadAt = Marshal.StringToCoTaskMemUTF8 overload

    member _.Name = name
    member _.NameAt = baseAt
    member _.OverloadAt = overloadAt
    member _.Signature = signature
    member _.Replacement = replacement

/// An operator made of others: its arguments and their number ↦ what it gives.
and internal Replacement = delegate of nativeint * int -> NativeValue

/// Values across the C ABI: tensors described, arguments encoded, operators called. What fails raises TensorException with libtorch's own words.
module internal Crossing =

    let fail (message: string) : 'T = raise (TensorException message)

    /// Whether libtorch's words are kept for the thread that they are meant for.
    let private heard = StandardErrorBuffer.install

    /// The end of a call that libtorch was listened to during.
    let finish (rc: int) : unit =
        let said = if heard.Value then StandardError.Heard() else ""

        if rc <> 0 then
            let marker = "Exception in aoti_torch: "
            let at = said.IndexOf marker
            let text = if at < 0 then said.Trim() else said.Substring(at + marker.Length)

            match text.Split('\n')[0] with
            | "" -> fail "libtorch refused these arguments; its own words are on the error stream"
            | line -> fail (line.Trim())
        elif said <> "" && not (said.Contains "create_graph=True") then
            // A warning. The one left out is of a cycle that `Pullback` breaks.
            StandardError.Say said

    let listen () =
        if heard.Value then
            StandardError.Listen()

    let copy (tensor: nativeint) : nativeint =
        if tensor = 0n then
            fail "a tensor is missing (null)"

        let mutable made = 0n
        Abi.aoti_torch_new_tensor_handle (tensor, &made) |> ignore
        made

    let free (tensor: nativeint) =
        if tensor <> 0n then
            Abi.aoti_torch_delete_tensor_object tensor |> ignore

    let isDefined (tensor: nativeint) =
        let mutable answer = 0uy
        Abi.aoti_torch_is_defined (tensor, &answer) |> ignore
        answer <> 0uy

    let dtype (tensor: nativeint) : Dtype =
        let mutable answer = 0
        Abi.aoti_torch_get_dtype (tensor, &answer) |> ignore
        enum answer

    let rank (tensor: nativeint) : int =
        let mutable answer = 0L
        Abi.aoti_torch_get_dim (tensor, &answer) |> ignore
        int answer

    let count (tensor: nativeint) : int64 =
        let mutable answer = 0L
        Abi.aoti_torch_get_numel (tensor, &answer) |> ignore
        answer

    let deviceType (tensor: nativeint) : int =
        let mutable answer = 0
        Abi.aoti_torch_get_device_type (tensor, &answer) |> ignore
        answer

    let sizes (tensor: nativeint) : nativeint =
        let mutable answer = 0n
        Abi.aoti_torch_get_sizes (tensor, &answer) |> ignore
        answer

    let implementation (tensor: nativeint) : nativeint = Marshal.ReadIntPtr tensor

    let read (values: nativeint) (k: int) : NativeValue = NativePtr.get (NativePtr.ofNativeInt<NativeValue> values) k

    let write (values: nativeint) (k: int) (value: NativeValue) =
        NativePtr.set (NativePtr.ofNativeInt<NativeValue> values) k value

    let ofTensor (tensor: nativeint) : NativeValue = { Tag = 1; Meta = 0; Count = 0L; Payload = int64 tensor }

    let ofFlag (b: bool) : NativeValue = { Tag = 4; Meta = 0; Count = 0L; Payload = (if b then 1L else 0L) }
    let ofFloat (x: float) : NativeValue = { Tag = 3; Meta = 0; Count = 0L; Payload = BitConverter.DoubleToInt64Bits x }
    let ofInt (n: int64) : NativeValue = { Tag = 2; Meta = 0; Count = 0L; Payload = n }
    let none: NativeValue = { Tag = 0; Meta = 0; Count = 0L; Payload = 0L }

    /// A tensor with its description; nothing for an undefined one. Takes the handle.
    let describe (tensor: nativeint) : NativeValue =
        if not (isDefined tensor) then
            free tensor
            none
        else
            let mutable index = 0
            Abi.aoti_torch_get_device_index (tensor, &index) |> ignore
            let rank = rank tensor

            if rank > 64 then
                free tensor
                fail $"a result of {rank} dimensions; there are at most 64"

            { Tag = 1
              Meta = int (dtype tensor) ||| (deviceType tensor <<< 8) ||| ((max 0 index) <<< 16) ||| (rank <<< 24)
              Count = count tensor
              Payload = int64 tensor }

    let private listOf (length: int) : nativeint =
        let mutable list = 0n
        Abi.torch_new_list_reserve_size (unativeint length, &list) |> ignore
        list

    let private textOf (at: nativeint) (length: int64) : int64 =
        let mutable text = 0n
        Abi.torch_new_string_handle (at, unativeint length, &text) |> ignore
        int64 text

    /// Eight bytes of their own around a value that might have been none; libtorch frees them.
    let private boxed (slot: int64) : int64 =
        let place: nativeptr<int64> = NativePtr.ofVoidPtr (NativeMemory.Alloc 8un)
        NativePtr.write place slot
        int64 (NativePtr.toNativeInt place)

    let private single (formal: Formal) (value: NativeValue) : int64 =
        match formal.Kind, value.Tag with
        | 't', 1 -> int64 (copy (nativeint value.Payload))
        | ('i' | 'd' | 'l' | 'm' | 'b'), (2 | 4) -> value.Payload
        | 'f', 3 -> value.Payload
        | 'f', 2 -> BitConverter.DoubleToInt64Bits(float value.Payload)
        | 's', 9 -> textOf (nativeint value.Payload) value.Count
        | 'p', 10 -> ((value.Payload >>> 8) <<< 32) ||| (value.Payload &&& 0xffL)
        | kind, tag -> fail $"an argument of kind '{kind}' was given a value with tag {tag}"

    let private listed (formal: Formal) (value: NativeValue) : int64 =
        let at = NativePtr.ofNativeInt<int64>(nativeint value.Payload)
        let length = int value.Count

        if length < 0 then
            fail $"a list of {length} elements"

        match formal.Kind, value.Tag with
        | 'i', 5
        | 'f', 6 ->
            let list = listOf length

            for k in 0 .. length - 1 do
                Abi.torch_list_push_back (list, NativePtr.get at k) |> ignore

            int64 list
        | 't', (7 | 8) ->
            if not formal.OptionalItems then
                for k in 0 .. length - 1 do
                    if NativePtr.get at k = 0L then
                        fail "a tensor is missing (null)"

            let list = listOf length

            for k in 0 .. length - 1 do
                let item =
                    match NativePtr.get at k with
                    | 0L -> 0L
                    | tensor when formal.OptionalItems -> boxed (int64 (copy (nativeint tensor)))
                    | tensor -> int64 (copy (nativeint tensor))

                Abi.torch_list_push_back (list, item) |> ignore

            int64 list
        | kind, tag -> fail $"an argument of a list of '{kind}' was given a value with tag {tag}"

    let private preset (operator: NativeOperator) (formal: Formal) : int64 =
        match formal.Default with
        | null -> fail $"{operator.Name}: an argument is missing"
        | [||] when formal.Optional -> 0L
        | values when formal.List ->
            let list = listOf values.Length

            for value in values do
                Abi.torch_list_push_back (list, value) |> ignore

            int64 list
        | letters when formal.Kind = 's' ->
            let bytes = letters |> Array.map byte
            use at = fixed bytes
            textOf (NativePtr.toNativeInt at) (int64 bytes.Length)
        | values -> values[0]

    /// An argument on its way: what libtorch takes over.
    let private encode (operator: NativeOperator) (formal: Formal) (value: NativeValue) : int64 =
        if value.Tag = 11 then
            preset operator formal
        elif value.Tag = 0 && formal.Optional then
            0L
        else
            let slot = if formal.List then listed formal value else single formal value
            if formal.Optional then boxed slot else slot

    /// Takes back arguments that were not called with after all.
    let private discard (operator: NativeOperator) (slots: nativeptr<int64>) (n: int) =
        for k in 0 .. n - 1 do
            let formal = operator.Signature.Formals[k]
            let slot = NativePtr.get slots k

            let content =
                if formal.Optional && slot <> 0L then
                    let place = NativePtr.ofNativeInt<int64>(nativeint slot)
                    let inside = NativePtr.read place
                    NativeMemory.Free(NativePtr.toVoidPtr place)
                    inside
                else
                    slot

            if content <> 0L then
                if formal.List then
                    Abi.torch_delete_list (nativeint content) |> ignore
                elif formal.Kind = 't' then
                    free (nativeint content)
                elif formal.Kind = 's' then
                    Abi.torch_delete_string (nativeint content) |> ignore

    let private undo (results: nativeint) (n: int) =
        for k in 0 .. n - 1 do
            let value = read results k

            if value.Tag = 1 then
                free (nativeint value.Payload)

    /// Calls the operator itself; its results, described.
    let invoke (operator: NativeOperator) (args: nativeint) (n: int) (results: nativeint) (capacity: int) : int =
        let formals, kinds = operator.Signature.Formals, operator.Signature.Results

        if n < 0 || n > formals.Length then
            fail $"{operator.Name} takes {formals.Length} arguments, was given {n}"

        let slots = NativePtr.stackalloc<int64>(max 1 (max formals.Length kinds.Length))
        let mutable k = 0

        try
            while k < formals.Length do
                let slot = if k < n then encode operator formals[k] (read args k) else preset operator formals[k]
                NativePtr.set slots k slot
                k <- k + 1
        finally
            if k < formals.Length then
                discard operator slots k

        listen ()
        finish (
            Abi.torch_call_dispatcher (operator.NameAt, operator.OverloadAt, NativePtr.toNativeInt slots, Abi.Version)
        )
        let mutable made = 0

        let next (value: NativeValue) =
            if made >= capacity then
                if value.Tag = 1 then
                    free (nativeint value.Payload)

                fail $"more than {capacity} results"

            write results made value
            made <- made + 1

        let mutable j = 0

        try
            while j < kinds.Length do
                let slot = NativePtr.get slots j

                match kinds[j].Kind with
                | 't' when kinds[j].List ->
                    let list = nativeint slot
                    let mutable length = 0un
                    Abi.torch_list_size (list, &length) |> ignore

                    for k in 0 .. int length - 1 do
                        let mutable item = 0L
                        Abi.torch_list_get_item (list, unativeint k, &item) |> ignore
                        next (describe (nativeint item))

                    Abi.torch_delete_list list |> ignore
                | 't' -> next (describe (nativeint slot))
                | 'f' -> next { Tag = 3; Meta = 0; Count = 0L; Payload = slot }
                | 'b' -> next (ofFlag (slot &&& 0xffL <> 0L))
                | _ -> next (ofInt slot)

                j <- j + 1
        finally
            if j < kinds.Length then
                undo results made

        made

    /// A call from within another's rule; the one tensor that it gives.
    let apply (operator: NativeOperator) (values: NativeValue[]) : nativeint =
        let result = NativePtr.stackalloc<NativeValue> 1
        use at = fixed values
        invoke operator (NativePtr.toNativeInt at) values.Length (NativePtr.toNativeInt result) 1 |> ignore
        nativeint (NativePtr.read result).Payload

    /// A tensor filled with a number; on the CPU where no device is given.
    let full (sizes: nativeint) (rank: int64) (value: float) (dtype: Dtype) (place: Device) : nativeint =
        let mutable kind = int dtype
        let mutable device = place.Type
        let mutable made = 0n
        listen ()

        finish (
            Abi.aoti_torch_aten_full (
                sizes,
                rank,
                value,
                NativePtr.toNativeInt &&kind,
                0n,
                NativePtr.toNativeInt &&device,
                place.Index,
                0n,
                &made
            )
        )

        made

    /// a − αb, where one of them is of a floating type.
    let subtract (a: nativeint) (b: nativeint) (alpha: float) : nativeint =
        let mutable made = 0n
        listen ()
        finish (Abi.aoti_torch_aten_subtract_Tensor (a, b, alpha, &made))
        made

    /// The value of a tensor of one element.
    let item (tensor: nativeint) : NativeValue =
        listen ()

        match dtype tensor with
        | Dtype.Float32 ->
            let mutable x = 0.0f
            finish (Abi.aoti_torch_item_float32 (tensor, &x))
            ofFloat (float x)
        | Dtype.Float64 ->
            let mutable x = 0.0
            finish (Abi.aoti_torch_item_float64 (tensor, &x))
            ofFloat x
        | Dtype.Float16 ->
            let mutable x = 0us
            finish (Abi.aoti_torch_item_float16 (tensor, &x))
            ofFloat (float (BitConverter.UInt16BitsToHalf x))
        | Dtype.BFloat16 ->
            let mutable x = 0us
            finish (Abi.aoti_torch_item_bfloat16 (tensor, &x))
            ofFloat (float (BitConverter.UInt32BitsToSingle(uint32 x <<< 16)))
        | Dtype.Int64 ->
            let mutable x = 0L
            finish (Abi.aoti_torch_item_int64 (tensor, &x))
            ofInt x
        | Dtype.Int32 ->
            let mutable x = 0
            finish (Abi.aoti_torch_item_int32 (tensor, &x))
            ofInt (int64 x)
        | Dtype.Int16 ->
            let mutable x = 0s
            finish (Abi.aoti_torch_item_int16 (tensor, &x))
            ofInt (int64 x)
        | Dtype.Int8 ->
            let mutable x = 0y
            finish (Abi.aoti_torch_item_int8 (tensor, &x))
            ofInt (int64 x)
        | Dtype.UInt8 ->
            let mutable x = 0uy
            finish (Abi.aoti_torch_item_uint8 (tensor, &x))
            ofInt (int64 x)
        | Dtype.Bool ->
            let mutable x = 0uy
            finish (Abi.aoti_torch_item_bool (tensor, &x))
            ofFlag (x <> 0uy)
        | other ->
            finish 0
            fail $"the value of an element of type {Dtype.name other}"
