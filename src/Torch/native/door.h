// The C surface of the door. Everything the managed side may call is declared here and nowhere else.
//
// Tensors cross as pointers to at::TensorImpl that own one reference. Every function that can fail returns a
// negative number (or null) and leaves a message in fk_error(), one string per thread.
#pragma once
#include <cstdint>

#define FK_API extern "C" __attribute__((visibility("default")))

// A tensor has at most this many dimensions here, as ATen's own iterators have it; `meta` keeps the rank in 8 bits.
enum { FK_MAX_RANK = 64 };

enum fk_tag : int32_t {
  FK_NONE = 0,
  FK_TENSOR = 1,
  FK_INT = 2,
  FK_DOUBLE = 3,
  FK_BOOL = 4,
  FK_INTS = 5,        // p points at n int64
  FK_DOUBLES = 6,     // p points at n doubles
  FK_TENSORS = 7,     // p points at n tensor pointers
  FK_OPT_TENSORS = 8, // as FK_TENSORS, null meaning None
  FK_STRING = 9,      // p points at n bytes of UTF-8
  FK_DEVICE = 10,     // i = device type << 8 | index
  FK_DEFAULT = 11     // the schema's default for this argument
};

struct fk_value {
  int32_t tag;
  int32_t meta; // of a tensor, on the way out: dtype | device type << 8 | device index << 16 | rank << 24
  int64_t n;    // length of a list; of a tensor, on the way out: its number of elements
  union {
    int64_t i;
    double d;
    void* p;
  };
};

FK_API const char* fk_error();
FK_API const char* fk_version();      // "1.13.1"
FK_API const char* fk_config();       // at::show_config()
FK_API const char* fk_capability();   // "AVX512", "AVX2", "DEFAULT"

FK_API void* fk_find(const char* name, const char* overload);
FK_API int32_t fk_call(void* op, const fk_value* args, int32_t n, fk_value* out, int32_t capacity);

FK_API void fk_free(void* tensor);
FK_API void fk_free_many(void** tensors, int32_t n);
FK_API int32_t fk_describe(void* tensor, fk_value* out);
FK_API int32_t fk_shape(void* tensor, int64_t* sizes, int64_t* strides, int32_t capacity); // room for `capacity` numbers in each
FK_API void* fk_data(void* tensor, int32_t strided); // of a CPU tensor, contiguous unless strided; null and an error otherwise
// Both refuse a shape that does not take exactly `bytes`. Where `data` is null fk_from_memory copies nothing. fk_wrap calls `release` once where it succeeds, never where it fails.
FK_API int32_t fk_from_memory(const void* data, int64_t bytes, int32_t dtype, const int64_t* sizes, int32_t rank, fk_value* out);
FK_API int32_t fk_wrap(void* data, int64_t bytes, int32_t dtype, const int64_t* sizes, int32_t rank, void (*release)(void*),
                       void* context, fk_value* out);

FK_API int32_t fk_leaf(void* tensor, fk_value* out);
FK_API int32_t fk_requires_grad(void* tensor);
FK_API int32_t fk_is_tracked(void* tensor); // on a graph, or dual
FK_API int32_t fk_grad(void** outputs, int32_t n_outputs, void** inputs, int32_t n_inputs, void** grad_outputs,
                       int32_t create_graph, int32_t retain_graph, int32_t forward_mode, fk_value* out);
// The first derivative of one output by leaves. `ready` is given each of them once, with its input's number, as soon as it is complete, while the rest is
// still computed; it owns what it is given, and throws nothing. It is not called for an input that the output does not depend on. On another device than
// the CPU it is called on a thread of libtorch's.
typedef void (*fk_ready)(int32_t index, const fk_value* derivative);
FK_API int32_t fk_grad_each(void* output, void* grad_output, void** inputs, int32_t n_inputs, fk_ready ready);
FK_API int64_t fk_dual_enter();
FK_API int32_t fk_dual_exit(int64_t level);

FK_API int32_t fk_get_threads();
FK_API void fk_set_threads(int32_t n);
FK_API void fk_own_threads(int32_t n);
FK_API int32_t fk_device_count();     // of CUDA devices
FK_API void fk_memory(int64_t* live, int64_t* cached, int64_t* peak);
FK_API int32_t fk_keep_memory(int64_t cap_bytes); // install the caching CPU allocator
FK_API void fk_trim();
