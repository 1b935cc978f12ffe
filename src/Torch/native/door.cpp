// libtorch's dispatcher, called boxed: an operator is found once by its schema name and then called with a small
// stack of tagged values. This one mechanism gives the managed side all of ATen, on any device, on libtorch 1.13 and
// on 2.x, without a line of C++ per operator. What is not an operator (the autograd engine, forward-mode levels,
// memory, threads) is the rest of this file.
#include "door.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/csrc/autograd/function.h>
#include <torch/version.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#else
// libtorch brings OpenMP's runtime along, or does without.
extern "C" void omp_set_num_threads(int) __attribute__((weak));
#endif

namespace {

thread_local std::string last_error;

// Runs f; what it throws becomes fk_error() and `failed`.
template <class R, class F>
R guarded(R failed, F&& f) {
  try {
    return f();
  } catch (const c10::Error& e) {
    last_error = e.what_without_backtrace();
  } catch (const std::exception& e) {
    last_error = e.what();
  } catch (...) {
    last_error = "unknown native exception";
  }
  return failed;
}

at::Tensor borrow(void* p) {
  TORCH_CHECK(p, "a tensor is missing (null)");
  return at::Tensor(c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::unsafe_reclaim_from_nonowning(
      static_cast<at::TensorImpl*>(p)));
}

int32_t meta_of(const at::Tensor& t) {
  auto device = t.device();
  auto index = device.index() < 0 ? 0 : device.index();
  return static_cast<int32_t>(t.scalar_type()) | static_cast<int32_t>(device.type()) << 8 |
         static_cast<int32_t>(index) << 16 | static_cast<int32_t>(t.dim()) << 24;
}

void give(at::Tensor&& t, fk_value& out) {
  if (!t.defined()) {
    out.tag = FK_NONE;
    return;
  }
  // Before it changes hands: where this throws, `t` frees it.
  TORCH_CHECK(t.dim() <= FK_MAX_RANK, "a result of ", t.dim(), " dimensions; there are at most ", FK_MAX_RANK);
  out.tag = FK_TENSOR;
  out.meta = meta_of(t);
  out.n = t.numel();
  out.p = t.unsafeReleaseTensorImpl();
}

// The sizes as libtorch wants them, where they are sizes and take `bytes` elements' bytes of that type.
c10::IntArrayRef sizes_of(const int64_t* sizes, int32_t rank, int32_t dtype, int64_t bytes) {
  TORCH_CHECK(rank >= 0 && rank <= FK_MAX_RANK, "a tensor of ", rank, " dimensions; there are 0 to ", FK_MAX_RANK);
  TORCH_CHECK(dtype >= 0 && dtype < static_cast<int32_t>(at::ScalarType::NumOptions), "element type ", dtype, " is unknown");
  auto total = static_cast<int64_t>(c10::elementSize(static_cast<at::ScalarType>(dtype)));
  bool empty = false;
  for (int32_t k = 0; k < rank; k++) {
    TORCH_CHECK(sizes[k] >= 0, "a size of ", sizes[k]);
    // An empty dimension does not excuse the others: strides are made of their product.
    TORCH_CHECK(!__builtin_mul_overflow(total, std::max<int64_t>(1, sizes[k]), &total), "a shape that no memory holds");
    empty = empty || sizes[k] == 0;
  }
  TORCH_CHECK((empty ? 0 : total) == bytes, "a shape that takes ", empty ? 0 : total, " bytes, where ", bytes, " are there");
  return c10::IntArrayRef(sizes, static_cast<size_t>(rank));
}

c10::Device device_of(int64_t code) {
  auto type = static_cast<c10::DeviceType>(code >> 8);
  return type == c10::DeviceType::CPU ? c10::Device(type) : c10::Device(type, static_cast<c10::DeviceIndex>(code & 0xff));
}

c10::IValue take(const fk_value& v, const c10::Argument& formal) {
  TORCH_CHECK(v.n >= 0, "a list of ", v.n, " elements for argument '", formal.name(), "'");
  switch (v.tag) {
    case FK_NONE: return c10::IValue();
    case FK_TENSOR: return c10::IValue(borrow(v.p));
    case FK_INT:
      // A schema's `float` argument takes no integer from a boxed stack; Scalars take both.
      return formal.type()->kind() == c10::TypeKind::FloatType ? c10::IValue(static_cast<double>(v.i)) : c10::IValue(v.i);
    case FK_DOUBLE: return c10::IValue(v.d);
    case FK_BOOL: return c10::IValue(v.i != 0);
    case FK_INTS: {
      auto* data = static_cast<const int64_t*>(v.p);
      return c10::IValue(c10::List<int64_t>(c10::ArrayRef<int64_t>(data, v.n)));
    }
    case FK_DOUBLES: {
      auto* data = static_cast<const double*>(v.p);
      return c10::IValue(c10::List<double>(c10::ArrayRef<double>(data, v.n)));
    }
    case FK_TENSORS: {
      auto** data = static_cast<void**>(v.p);
      c10::List<at::Tensor> list;
      list.reserve(v.n);
      for (int64_t k = 0; k < v.n; k++) list.push_back(borrow(data[k]));
      return c10::IValue(std::move(list));
    }
    case FK_OPT_TENSORS: {
      auto** data = static_cast<void**>(v.p);
      c10::List<c10::optional<at::Tensor>> list;
      list.reserve(v.n);
      for (int64_t k = 0; k < v.n; k++)
        list.push_back(data[k] ? c10::optional<at::Tensor>(borrow(data[k])) : c10::optional<at::Tensor>());
      return c10::IValue(std::move(list));
    }
    case FK_STRING: return c10::IValue(std::string(static_cast<const char*>(v.p), v.n));
    case FK_DEVICE: return c10::IValue(device_of(v.i));
    case FK_DEFAULT:
      TORCH_CHECK(formal.default_value().has_value(), "argument '", formal.name(), "' has no default");
      return *formal.default_value();
    default: TORCH_CHECK(false, "value with unknown tag ", v.tag, " for argument '", formal.name(), "'");
  }
}

struct Collector {
  fk_value* out;
  int32_t capacity;
  int32_t count = 0;

  fk_value& next() {
    TORCH_CHECK(count < capacity, "more than ", capacity, " results");
    return out[count++];
  }
  void tensor(at::Tensor t) { give(std::move(t), next()); }
  void collect(c10::IValue&& v) {
    if (v.isTensor()) {
      tensor(std::move(v).toTensor());
    } else if (v.isTensorList()) {
      for (auto& t : v.toTensorVector()) tensor(std::move(t));
    } else if (v.isInt()) {
      auto& r = next();
      r.tag = FK_INT;
      r.i = v.toInt();
    } else if (v.isDouble()) {
      auto& r = next();
      r.tag = FK_DOUBLE;
      r.d = v.toDouble();
    } else if (v.isBool()) {
      auto& r = next();
      r.tag = FK_BOOL;
      r.i = v.toBool();
    } else if (v.isScalar()) {
      auto s = v.toScalar();
      auto& r = next();
      r.tag = s.isFloatingPoint() ? FK_DOUBLE : FK_INT;
      if (s.isFloatingPoint()) r.d = s.toDouble();
      else r.i = s.toLong();
    } else if (v.isNone()) {
      next().tag = FK_NONE;
    } else {
      TORCH_CHECK(false, "a result of type ", v.tagKind(), " does not pass through the door");
    }
  }
  // What was already handed out is taken back when a later result fails.
  void undo() {
    for (int32_t k = 0; k < count; k++)
      if (out[k].tag == FK_TENSOR) fk_free(out[k].p);
  }
};

// One stack per thread and per depth of re-entrance is not needed: a boxed call never calls back into managed code.
thread_local torch::jit::Stack stack;

} // namespace

const char* fk_error() { return last_error.c_str(); }
const char* fk_version() { return TORCH_VERSION; }

const char* fk_config() {
  static const std::string text = at::show_config() + at::get_parallel_info();
  return text.c_str();
}

const char* fk_capability() {
  // The one place where every libtorch since 1.10 says it.
  static const std::string text = [] {
    const std::string config = at::show_config(), label = "CPU capability usage: ";
    auto at = config.find(label);
    if (at == std::string::npos) return std::string("unknown");
    at += label.size();
    return config.substr(at, config.find_first_of(" \n", at) - at);
  }();
  return text.c_str();
}

void* fk_find(const char* name, const char* overload) {
  return guarded<void*>(nullptr, [&]() -> void* {
    auto found = c10::Dispatcher::singleton().findSchema({name, overload});
    TORCH_CHECK(found.has_value(), "libtorch ", TORCH_VERSION, " has no operator ", name, *overload ? "." : "", overload);
    return new c10::OperatorHandle(*found);
  });
}

int32_t fk_call(void* op, const fk_value* args, int32_t n, fk_value* out, int32_t capacity) {
  Collector results{out, capacity};
  auto rc = guarded<int32_t>(-1, [&] {
    TORCH_CHECK(op, "an operator is missing (null)");
    auto& handle = *static_cast<c10::OperatorHandle*>(op);
    auto& formals = handle.schema().arguments();
    TORCH_CHECK(n >= 0 && static_cast<size_t>(n) <= formals.size(), handle.schema().name(), " takes ", formals.size(),
                " arguments, was given ", n);
    stack.clear();
    for (int32_t k = 0; k < n; k++) stack.push_back(take(args[k], formals[k]));
    for (size_t k = n; k < formals.size(); k++) {
      auto& rest = formals[k].default_value();
      TORCH_CHECK(rest.has_value(), handle.schema().name(), ": argument '", formals[k].name(), "' is missing");
      stack.push_back(*rest);
    }
    handle.callBoxed(&stack);
    for (auto& v : stack) results.collect(std::move(v));
    return results.count;
  });
  stack.clear();
  if (rc < 0) results.undo();
  return rc;
}

void fk_free(void* tensor) {
  if (tensor) c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::reclaim(static_cast<at::TensorImpl*>(tensor));
}

void fk_free_many(void** tensors, int32_t n) {
  for (int32_t k = 0; k < n; k++) fk_free(tensors[k]);
}

int32_t fk_describe(void* tensor, fk_value* out) {
  return guarded<int32_t>(-1, [&] {
    auto t = borrow(tensor);
    out->meta = meta_of(t);
    out->n = t.numel();
    return 0;
  });
}

int32_t fk_shape(void* tensor, int64_t* sizes, int64_t* strides, int32_t capacity) {
  return guarded<int32_t>(-1, [&] {
    auto t = borrow(tensor);
    TORCH_CHECK(t.dim() <= capacity, "a tensor of ", t.dim(), " dimensions, where there is room for ", capacity);
    for (int64_t k = 0; k < t.dim(); k++) {
      sizes[k] = t.size(k);
      strides[k] = t.stride(k);
    }
    return static_cast<int32_t>(t.dim());
  });
}

void* fk_data(void* tensor, int32_t strided) {
  return guarded<void*>(nullptr, [&]() -> void* {
    auto t = borrow(tensor);
    TORCH_CHECK(t.is_cpu(), "the tensor is on ", t.device().str(), ", not on the CPU");
    TORCH_CHECK(strided || t.is_contiguous(), "the tensor is not contiguous");
    return t.data_ptr();
  });
}

int32_t fk_from_memory(const void* data, int64_t bytes, int32_t dtype, const int64_t* sizes, int32_t rank, fk_value* out) {
  return guarded<int32_t>(-1, [&] {
    auto t = at::empty(sizes_of(sizes, rank, dtype, bytes), at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)));
    if (data && t.numel() > 0) std::memcpy(t.data_ptr(), data, t.nbytes());
    give(std::move(t), *out);
    return 1;
  });
}

int32_t fk_wrap(void* data, int64_t bytes, int32_t dtype, const int64_t* sizes, int32_t rank, void (*release)(void*),
                void* context, fk_value* out) {
  return guarded<int32_t>(-1, [&] {
    // All that can fail does so before `release` has an owner.
    auto shape = sizes_of(sizes, rank, dtype, bytes);
    auto t = at::from_blob(data, shape, [release, context](void*) { release(context); },
                           at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)));
    give(std::move(t), *out);
    return 1;
  });
}

int32_t fk_leaf(void* tensor, fk_value* out) {
  return guarded<int32_t>(-1, [&] {
    auto t = borrow(tensor);
    TORCH_CHECK(at::isFloatingType(t.scalar_type()), "cannot differentiate with respect to a tensor of ",
                c10::toString(t.scalar_type()));
    // Inside an outer derivative the new variable stays on the outer graph; otherwise it starts one. A dual tensor keeps its tangent.
    auto leaf = t.requires_grad() ? t.alias() : (t._fw_grad(0).defined() ? t.alias() : t.detach());
    if (!leaf.requires_grad()) leaf.requires_grad_(true);
    give(std::move(leaf), *out);
    return 1;
  });
}

int32_t fk_requires_grad(void* tensor) {
  return guarded<int32_t>(-1, [&] { return borrow(tensor).requires_grad() ? 1 : 0; });
}

int32_t fk_is_tracked(void* tensor) {
  return guarded<int32_t>(-1, [&] {
    auto t = borrow(tensor);
    return t.requires_grad() || t._fw_grad(0).defined() ? 1 : 0;
  });
}

int32_t fk_grad(void** outputs, int32_t n_outputs, void** inputs, int32_t n_inputs, void** grad_outputs,
                int32_t create_graph, int32_t retain_graph, int32_t forward_mode, fk_value* out) {
  Collector results{out, n_inputs};
  auto rc = guarded<int32_t>(-1, [&] {
    TORCH_CHECK(n_outputs >= 0 && n_inputs >= 0, "a derivative of ", n_outputs, " tensors by ", n_inputs);
    // Some backward formulas have no forward-mode rule: they are only asked for one where a tangent is wanted.
    c10::AutoFwGradMode forward(forward_mode != 0);
    torch::autograd::variable_list ys, xs, vs;
    for (int32_t k = 0; k < n_outputs; k++) {
      ys.push_back(borrow(outputs[k]));
      vs.push_back(grad_outputs && grad_outputs[k] ? borrow(grad_outputs[k]) : at::Tensor());
    }
    for (int32_t k = 0; k < n_inputs; k++) xs.push_back(borrow(inputs[k]));
    auto grads = torch::autograd::grad(ys, xs, vs, retain_graph != 0, create_graph != 0, /*allow_unused=*/true);
    for (auto& grad : grads) results.tensor(std::move(grad));
    return n_inputs;
  });
  if (rc < 0) results.undo();
  return rc;
}

namespace {
// Stands before a leaf's accumulation, the last node of its derivative, which runs once, when all parts of the sum are there. It takes the
// derivative for itself and leaves nothing to accumulate: what went on to the leaf's `grad` would be copied there where its layout is not the leaf's.
// It lives as long as the graph, and may be asked for as long as `ready` is there.
struct Taking : torch::autograd::FunctionPreHook {
  std::shared_ptr<fk_ready> ready;
  int32_t index;
  Taking(std::shared_ptr<fk_ready> ready, int32_t index) : ready(std::move(ready)), index(index) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& derivatives) override {
    if (*ready && derivatives[0].defined()) {
      fk_value value{};
      give(at::Tensor(derivatives[0]), value);
      (*ready)(index, &value);
    }
    return {at::Tensor()};
  }
};
} // namespace

int32_t fk_grad_each(void* output, void* grad_output, void** inputs, int32_t n_inputs, fk_ready ready) {
  auto shared = std::make_shared<fk_ready>(ready);
  auto rc = guarded<int32_t>(-1, [&] {
    TORCH_CHECK(n_inputs >= 0, "a derivative by ", n_inputs, " tensors");
    TORCH_CHECK(ready, "a callback is missing (null)");
    // As in fk_grad, where no tangent is wanted.
    c10::AutoFwGradMode forward(false);
    torch::autograd::variable_list ys{borrow(output)}, vs{grad_output ? borrow(grad_output) : at::Tensor()}, xs;
    std::vector<decltype(torch::autograd::impl::grad_accumulator(at::Tensor()))> nodes;
    for (int32_t k = 0; k < n_inputs; k++) {
      xs.push_back(borrow(inputs[k]));
      TORCH_CHECK(xs.back().requires_grad() && xs.back().is_leaf(), "input ", k, " is not a leaf of a graph");
      // A leaf does not hold its node; the graph does, where anything was made of the leaf.
      nodes.push_back(torch::autograd::impl::grad_accumulator(xs.back()));
      nodes.back()->add_pre_hook(std::make_unique<Taking>(shared, k));
    }
    if (n_inputs > 0) torch::autograd::backward(ys, vs, /*retain_graph=*/false, /*create_graph=*/false, xs);
    return n_inputs;
  });
  *shared = nullptr;
  return rc;
}

namespace {
// libtorch has one forward-mode level per process. Concurrent users share it: the last to leave closes it.
std::mutex dual_mutex;
int64_t dual_users = 0;
uint64_t dual_level = 0;
} // namespace

int64_t fk_dual_enter() {
  return guarded<int64_t>(-1, [&] {
    std::lock_guard<std::mutex> lock(dual_mutex);
    if (dual_users++ == 0) dual_level = torch::autograd::ForwardADLevel::get_next_idx();
    return static_cast<int64_t>(dual_level);
  });
}

int32_t fk_dual_exit(int64_t level) {
  return guarded<int32_t>(-1, [&] {
    std::lock_guard<std::mutex> lock(dual_mutex);
    TORCH_CHECK(dual_users > 0, "nobody is inside the forward-mode level");
    if (--dual_users == 0) torch::autograd::ForwardADLevel::release_idx(dual_level);
    return 0;
  });
}

int32_t fk_get_threads() { return at::get_num_threads(); }
void fk_set_threads(int32_t n) { at::set_num_threads(n); }

// Of the calling thread alone: at::set_num_threads also tells threads to come. The first question makes libtorch give this
// thread its share, so that it will not do so later.
void fk_own_threads(int32_t n) {
  at::get_num_threads();
  if (omp_set_num_threads) omp_set_num_threads(n);
}

int32_t fk_device_count() {
  return guarded<int32_t>(0, [&]() -> int32_t {
    if (!c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA)) return 0;
    return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).deviceCount();
  });
}
