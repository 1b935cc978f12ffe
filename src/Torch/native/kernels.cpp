// Fused kernels, registered as operators of their own and called through the same door. The optimizer's step is one
// pass over memory instead of a dozen; it returns new tensors, so parameters stay values. Where the data is not
// plain CPU float32 the composite of ATen operators says the same thing.
#include "door.h"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <atomic>
#include <cmath>
#include <cstring>

namespace {

// The loops below are compiled once for each generation of vector instructions; the processor picks at load.
#if defined(__x86_64__) && defined(__GNUC__)
#define FK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FK_CLONES
#endif

constexpr int64_t chunk = 16384; // elements a task; fixed, so that sums do not depend on the number of threads

bool plain(const at::Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous(); }

// Runs f(task) for every task, on one thread where waking the others would cost more than they do.
template <class F>
void for_tasks(int64_t tasks, int64_t elements, F&& f) {
  at::parallel_for(0, tasks, elements < 2 * chunk ? std::max<int64_t>(1, tasks) : 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) f(task);
  });
}

FK_CLONES double sum_of_squares(const float* p, int64_t n) {
  double lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; k++) lanes[k] += static_cast<double>(p[i + k]) * p[i + k];
  double sum = 0;
  for (; i < n; i++) sum += static_cast<double>(p[i]) * p[i];
  for (double lane : lanes) sum += lane;
  return sum;
}

// A piece of one of many tensors, small enough to be a thread's task.
struct Piece {
  size_t tensor;
  int64_t begin, count;
};

std::vector<Piece> pieces_of(const std::vector<at::Tensor>& tensors) {
  std::vector<Piece> pieces;
  for (size_t k = 0; k < tensors.size(); k++)
    for (int64_t i = 0; i < tensors[k].numel(); i += chunk) pieces.push_back({k, i, std::min(chunk, tensors[k].numel() - i)});
  return pieces;
}

int64_t elements_of(const std::vector<at::Tensor>& tensors) {
  int64_t n = 0;
  for (auto& t : tensors) n += t.numel();
  return n;
}

// ‖(g₁, …, gₙ)‖₂ in float64, for gradients that are all plain.
double global_norm(const std::vector<at::Tensor>& grads, const std::vector<Piece>& pieces, int64_t elements) {
  std::vector<double> partial(pieces.size());
  for_tasks(static_cast<int64_t>(pieces.size()), elements, [&](int64_t task) {
    auto& [k, i, count] = pieces[task];
    partial[task] = sum_of_squares(grads[k].data_ptr<float>() + i, count);
  });
  double total = 0;
  for (double s : partial) total += s;
  return std::sqrt(total);
}

// Whether a number is an infinity or no number, by its exponent: as integers, which the vector units test at no cost.
inline uint32_t is_lost(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7f800000u) == 0x7f800000u;
}

struct Step {
  float lr, beta1, beta2, eps, decay, scale, correction1, correction2, ema;
};

// Both say whether a number that they wrote is not finite.
FK_CLONES uint32_t adam_piece(const Step& s, const float* __restrict p, const float* __restrict g, const float* __restrict m,
                          const float* __restrict v, float* __restrict p1, float* __restrict m1, float* __restrict v1,
                          int64_t n) {
  const float keep = 1.0f - s.lr * s.decay, a = s.lr / s.correction1, b = 1.0f / std::sqrt(s.correction2);
  const float beta1 = s.beta1, beta2 = s.beta2, eps = s.eps, scale = s.scale;
  uint32_t lost = 0;
  for (int64_t i = 0; i < n; i++) {
    float grad = g[i] * scale;
    float mi = beta1 * m[i] + (1.0f - beta1) * grad;
    float vi = beta2 * v[i] + (1.0f - beta2) * grad * grad;
    m1[i] = mi;
    v1[i] = vi;
    float pi = p[i] * keep - a * mi / (std::sqrt(vi) * b + eps);
    p1[i] = pi;
    lost |= is_lost(mi) | is_lost(vi) | is_lost(pi);
  }
  return lost;
}

FK_CLONES uint32_t average_piece(float ema, const float* __restrict e, const float* __restrict p, float* __restrict e1, int64_t n) {
  uint32_t lost = 0;
  for (int64_t i = 0; i < n; i++) {
    float ei = ema * e[i] + (1.0f - ema) * p[i];
    e1[i] = ei;
    lost |= is_lost(ei);
  }
  return lost;
}

// AdamW (Loshchilov, Hutter 2019, algorithm 2; Adam where decay = 0) with the gradient scaled to a norm of at most
// max_norm, and an exponential moving average of the result: (p, g, m, v, e) ↦ (p', m', v', e'), the norm before scaling, and
// whether all that is new is finite. Where there are no averages e, none come back.
std::vector<at::Tensor> adam(std::vector<at::Tensor> p, std::vector<at::Tensor> g, std::vector<at::Tensor> m,
                             std::vector<at::Tensor> v, std::vector<at::Tensor> e, int64_t step, double lr, double beta1,
                             double beta2, double eps, double decay, double max_norm, double ema) {
  size_t n = p.size();
  bool averaging = !e.empty();
  TORCH_CHECK(g.size() == n && m.size() == n && v.size() == n && (e.size() == n || !averaging), "adam: ", n, " parameters, ",
              g.size(), " gradients, ", m.size(), " first, ", v.size(), " second moments, ", e.size(), " averages");
  bool everywhere = true;
  for (size_t k = 0; k < n; k++) {
    // The fused pass reads as many elements of each as the parameter has.
    auto like = [&](const at::Tensor& t, const char* what) {
      TORCH_CHECK(p[k].sizes() == t.sizes(), "adam: parameter ", k, " is ", p[k].sizes(), ", its ", what, " ", t.sizes());
    };
    like(g[k], "gradient");
    like(m[k], "first moment");
    like(v[k], "second moment");
    if (averaging) like(e[k], "average");
    g[k] = g[k].contiguous();
    everywhere = everywhere && plain(p[k]) && plain(g[k]) && plain(m[k]) && plain(v[k]) && (!averaging || plain(e[k]));
  }
  size_t parts = averaging ? 4 : 3;
  double c1 = 1 - std::pow(beta1, static_cast<double>(step)), c2 = 1 - std::pow(beta2, static_cast<double>(step));
  double norm = 0, scale = 1;
  at::Tensor finite;
  auto clip = [&] { scale = max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0; };
  std::vector<at::Tensor> out(parts * n);
  if (everywhere) {
    auto pieces = pieces_of(p);
    auto elements = elements_of(p);
    norm = global_norm(g, pieces, elements);
    clip();
    Step s{static_cast<float>(lr), static_cast<float>(beta1), static_cast<float>(beta2), static_cast<float>(eps),
           static_cast<float>(decay), static_cast<float>(scale), static_cast<float>(c1), static_cast<float>(c2),
           static_cast<float>(ema)};
    for (size_t part = 0; part < parts; part++)
      for (size_t k = 0; k < n; k++) out[part * n + k] = at::detail::empty_cpu(p[k].sizes(), at::kFloat);
    std::atomic<uint32_t> lost{0};
    for_tasks(static_cast<int64_t>(pieces.size()), elements, [&](int64_t task) {
      auto& [k, i, count] = pieces[task];
      auto at = [i = i](const at::Tensor& t) { return t.data_ptr<float>() + i; };
      uint32_t own = adam_piece(s, at(p[k]), at(g[k]), at(m[k]), at(v[k]), at(out[k]), at(out[n + k]), at(out[2 * n + k]), count);
      if (averaging) own |= average_piece(s.ema, at(e[k]), at(out[k]), at(out[3 * n + k]), count);
      if (own) lost = 1;
    });
    finite = at::scalar_tensor(lost == 0, at::kBool);
  } else {
    for (auto& grad : g) norm += grad.to(at::kDouble).square().sum().item<double>();
    norm = std::sqrt(norm);
    clip();
    for (size_t k = 0; k < n; k++) {
      auto grad = g[k] * scale;
      auto mk = m[k] * beta1 + grad * (1 - beta1);
      auto vk = v[k] * beta2 + grad.square() * (1 - beta2);
      auto pk = p[k] * (1 - lr * decay) - (lr / c1) * mk / (vk.sqrt() / std::sqrt(c2) + eps);
      out[k] = pk;
      out[n + k] = mk;
      out[2 * n + k] = vk;
      if (averaging) out[3 * n + k] = e[k] * ema + pk * (1 - ema);
    }
    // The largest of each is no finite number where one of its numbers is none; one question to the device for all.
    std::vector<at::Tensor> largest;
    for (auto& t : out)
      if (t.numel() > 0) largest.push_back(t.detach().abs().max().to(at::kDouble));
    finite = largest.empty() ? at::scalar_tensor(true, at::kBool) : at::isfinite(at::stack(largest)).all();
  }
  out.push_back(at::scalar_tensor(norm, at::kDouble));
  out.push_back(finite);
  return out;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(fokker, m) {
  m.def("adam(Tensor[] p, Tensor[] g, Tensor[] m, Tensor[] v, Tensor[] e, int step, float lr, float beta1, float beta2, "
        "float eps, float decay, float max_norm, float ema) -> Tensor[]",
        &adam);
}
