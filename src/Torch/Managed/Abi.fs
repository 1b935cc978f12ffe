namespace Fokker

open System
open System.Reflection
open System.Runtime.InteropServices

/// PyTorch's stable C ABI, as far as it is called here (torch/csrc/stable/c/shim.h and torch/csrc/inductor/aoti_torch/c/shim.h). Every function
/// gives 0 where it succeeded. A tensor is a handle that owns one reference.
module internal Abi =

    [<Literal>]
    let Library = "fokker_official_libtorch"

    /// The version whose meaning of the slots is asked for: 2.10.
    [<Literal>]
    let Version = 0x020a000000000000UL

    /// Arguments in, results out, in slots of 8 bytes. Handles that are given are taken, also where the call fails.
    [<DllImport(Library)>]
    extern int torch_call_dispatcher(nativeint name, nativeint overload, nativeint slots, uint64 version)

    [<DllImport(Library); SuppressGCTransition>]
    extern uint64 aoti_torch_abi_version()

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_new_tensor_handle(nativeint tensor, nativeint& copy)

    [<DllImport(Library)>]
    extern int aoti_torch_delete_tensor_object(nativeint tensor)

    [<DllImport(Library)>]
    extern int aoti_torch_new_uninitialized_tensor(nativeint& tensor)

    [<DllImport(Library)>]
    extern int aoti_torch_empty_strided(
        int64 rank,
        nativeint sizes,
        nativeint strides,
        int dtype,
        int deviceType,
        int deviceIndex,
        nativeint& tensor
    )

    [<DllImport(Library)>]
    extern int aoti_torch_assign_tensors(nativeint source, nativeint target)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_is_defined(nativeint tensor, byte& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_is_contiguous(nativeint tensor, byte& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_get_dtype(nativeint tensor, int& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_get_device_type(nativeint tensor, int& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_get_device_index(nativeint tensor, int& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_get_dim(nativeint tensor, int64& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_get_numel(nativeint tensor, int64& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_get_sizes(nativeint tensor, nativeint& answer)

    [<DllImport(Library); SuppressGCTransition>]
    extern int aoti_torch_get_strides(nativeint tensor, nativeint& answer)

    [<DllImport(Library)>]
    extern int aoti_torch_get_data_ptr(nativeint tensor, nativeint& answer)

    [<DllImport(Library)>]
    extern int aoti_torch_aten_subtract_Tensor(nativeint a, nativeint b, double alpha, nativeint& difference)

    [<DllImport(Library)>]
    extern int aoti_torch_aten_full(
        nativeint sizes,
        int64 rank,
        double value,
        nativeint dtype,
        nativeint layout,
        nativeint deviceType,
        int deviceIndex,
        nativeint pinned,
        nativeint& tensor
    )

    [<DllImport(Library)>]
    extern int aoti_torch_item_float16(nativeint tensor, uint16& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_bfloat16(nativeint tensor, uint16& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_float32(nativeint tensor, float32& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_float64(nativeint tensor, double& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_int64(nativeint tensor, int64& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_int32(nativeint tensor, int& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_int16(nativeint tensor, int16& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_int8(nativeint tensor, sbyte& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_uint8(nativeint tensor, byte& value)

    [<DllImport(Library)>]
    extern int aoti_torch_item_bool(nativeint tensor, byte& value)

    [<DllImport(Library)>]
    extern int torch_set_requires_grad(nativeint tensor, byte required)

    [<DllImport(Library); SuppressGCTransition>]
    extern int torch_get_num_threads(uint& count)

    [<DllImport(Library); SuppressGCTransition>]
    extern int torch_new_list_reserve_size(unativeint length, nativeint& list)

    [<DllImport(Library); SuppressGCTransition>]
    extern int torch_list_push_back(nativeint list, int64 item)

    [<DllImport(Library); SuppressGCTransition>]
    extern int torch_list_size(nativeint list, unativeint& length)

    [<DllImport(Library); SuppressGCTransition>]
    extern int torch_list_get_item(nativeint list, unativeint index, int64& item)

    [<DllImport(Library); SuppressGCTransition>]
    extern int torch_delete_list(nativeint list)

    [<DllImport(Library)>]
    extern int torch_new_string_handle(nativeint characters, unativeint length, nativeint& text)

    [<DllImport(Library)>]
    extern int torch_delete_string(nativeint text)

    /// The names of all of them.
    let names () : string list =
        match Assembly.GetExecutingAssembly().GetType "Fokker.Abi" with
        | null -> []
        | abi ->
            [ for m in abi.GetMethods(BindingFlags.Static ||| BindingFlags.NonPublic ||| BindingFlags.Public) do
                  if m.GetCustomAttributes(typeof<DllImportAttribute>, false).Length > 0 then
                      m.Name ]

/// What a C++ compiler makes of a name, on each of the three systems.
type internal Mangled =
    { Linux: string
      MacOs: string
      Windows: string }

    member name.Here =
        if OperatingSystem.IsWindows() then name.Windows
        elif OperatingSystem.IsMacOS() then name.MacOs
        else name.Linux

/// The few C++ functions that the C ABI has no equal of. They are called by the C convention, which passes numbers and pointers as C++ does; what may
/// throw is never called with what makes it throw.
module internal Cpp =

    let private both name windows = { Linux = name; MacOs = name; Windows = windows }

    /// `at::Tensor& c10::TensorImpl::mutable_grad()`
    let mutableGrad = both "_ZN3c1010TensorImpl12mutable_gradEv" "?mutable_grad@TensorImpl@c10@@QEAAAEAVTensor@at@@XZ"

    /// `bool c10::TensorImpl::requires_grad() const`
    let requiresGrad = both "_ZNK3c1010TensorImpl13requires_gradEv" "?requires_grad@TensorImpl@c10@@QEBA_NXZ"

    /// `const at::Tensor& c10::TensorImpl::_fw_grad(uint64_t, const at::TensorBase&) const`
    let tangent =
        { Linux = "_ZNK3c1010TensorImpl8_fw_gradEmRKN2at10TensorBaseE"
          MacOs = "_ZNK3c1010TensorImpl8_fw_gradEyRKN2at10TensorBaseE"
          Windows = "?_fw_grad@TensorImpl@c10@@QEBAAEBVTensor@at@@_KAEBVTensorBase@4@@Z" }

    /// `uint64_t torch::autograd::ForwardADLevel::get_next_idx()`; throws where a level is open.
    let openLevel =
        both "_ZN5torch8autograd14ForwardADLevel12get_next_idxEv" "?get_next_idx@ForwardADLevel@autograd@torch@@SA_KXZ"

    /// `void torch::autograd::ForwardADLevel::release_idx(uint64_t)`; throws where it is not the open one.
    let closeLevel =
        { Linux = "_ZN5torch8autograd14ForwardADLevel11release_idxEm"
          MacOs = "_ZN5torch8autograd14ForwardADLevel11release_idxEy"
          Windows = "?release_idx@ForwardADLevel@autograd@torch@@SAX_K@Z" }

    /// `void at::set_num_threads(int)`; throws below 1.
    let setThreads = both "_ZN2at15set_num_threadsEi" "?set_num_threads@at@@YAXH@Z"

    /// `c10::DeviceIndex torch::cuda::device_count()`, a number of 8 bits
    let cudaDevices = both "_ZN5torch4cuda12device_countEv" "?device_count@cuda@torch@@YACXZ"

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type OfPointer = delegate of nativeint -> nativeint

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Flag = delegate of nativeint -> byte

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type OfLevel = delegate of nativeint * uint64 * nativeint -> nativeint

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Number = delegate of unit -> uint64

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type SmallNumber = delegate of unit -> sbyte

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Level = delegate of uint64 -> unit

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Count = delegate of int -> unit

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Make = delegate of nativeint * nativeint -> nativeint
