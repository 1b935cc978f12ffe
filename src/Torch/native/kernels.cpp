// Fused kernels, registered as operators of their own and called through the same door. The optimizer's step is one
// pass over memory instead of a dozen; it returns new tensors, so parameters stay values. Where the data is not
// plain CPU float32 the composite of ATen operators says the same thing.
#include "door.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cmath>

namespace {

constexpr int64_t chunk = 16384; // elements a task; fixed, so that sums do not depend on the number of threads

bool plain(const at::Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous(); }

// ‖(g₁, …, gₙ)‖₂ in float64.
double global_norm(const std::vector<at::Tensor>& grads) {
  double total = 0;
  for (auto& g : grads) {
    if (!plain(g)) {
      total += g.to(at::kDouble).square().sum().item<double>();
      continue;
    }
    auto* p = g.data_ptr<float>();
    int64_t n = g.numel(), tasks = (n + chunk - 1) / chunk;
    std::vector<double> partial(tasks);
    at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; task++) {
        double lanes[8] = {};
        int64_t i = task * chunk, stop = std::min(n, i + chunk);
        for (; i + 8 <= stop; i += 8)
          for (int k = 0; k < 8; k++) lanes[k] += static_cast<double>(p[i + k]) * p[i + k];
        for (; i < stop; i++) lanes[0] += static_cast<double>(p[i]) * p[i];
        for (double lane : lanes) partial[task] += lane;
      }
    });
    for (double s : partial) total += s;
  }
  return std::sqrt(total);
}

struct Step {
  float lr, beta1, beta2, eps, decay, scale, correction1, correction2, ema;
};

void adam_chunk(const Step& s, const float* p, const float* g, const float* m, const float* v, const float* e, float* p1,
                float* m1, float* v1, float* e1, int64_t n) {
  const float keep = 1.0f - s.lr * s.decay, a = s.lr / s.correction1, b = 1.0f / std::sqrt(s.correction2);
  for (int64_t i = 0; i < n; i++) {
    float grad = g[i] * s.scale;
    float mi = s.beta1 * m[i] + (1.0f - s.beta1) * grad;
    float vi = s.beta2 * v[i] + (1.0f - s.beta2) * grad * grad;
    float pi = p[i] * keep - a * mi / (std::sqrt(vi) * b + s.eps);
    m1[i] = mi;
    v1[i] = vi;
    p1[i] = pi;
    e1[i] = s.ema * e[i] + (1.0f - s.ema) * pi;
  }
}

// AdamW (Loshchilov, Hutter 2019, algorithm 2; Adam where decay = 0) with the gradient scaled to a norm of at most
// max_norm, and an exponential moving average of the result: (p, g, m, v, e) ↦ (p', m', v', e') and the norm before scaling.
std::vector<at::Tensor> adam(std::vector<at::Tensor> p, std::vector<at::Tensor> g, std::vector<at::Tensor> m,
                             std::vector<at::Tensor> v, std::vector<at::Tensor> e, int64_t step, double lr, double beta1,
                             double beta2, double eps, double decay, double max_norm, double ema) {
  size_t n = p.size();
  TORCH_CHECK(g.size() == n && m.size() == n && v.size() == n && e.size() == n, "adam: ", n, " parameters, ", g.size(),
              " gradients, ", m.size(), " first, ", v.size(), " second moments, ", e.size(), " averages");
  bool everywhere = true;
  for (size_t k = 0; k < n; k++) {
    TORCH_CHECK(p[k].sizes() == g[k].sizes(), "adam: parameter ", k, " is ", p[k].sizes(), ", its gradient ", g[k].sizes());
    g[k] = g[k].contiguous();
    everywhere = everywhere && plain(p[k]) && plain(g[k]) && plain(m[k]) && plain(v[k]) && plain(e[k]);
  }
  double norm = global_norm(g);
  double scale = max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
  double c1 = 1 - std::pow(beta1, static_cast<double>(step)), c2 = 1 - std::pow(beta2, static_cast<double>(step));
  std::vector<at::Tensor> out(4 * n);
  if (everywhere) {
    Step s{static_cast<float>(lr), static_cast<float>(beta1), static_cast<float>(beta2), static_cast<float>(eps),
           static_cast<float>(decay), static_cast<float>(scale), static_cast<float>(c1), static_cast<float>(c2),
           static_cast<float>(ema)};
    struct Task {
      size_t tensor;
      int64_t begin, count;
    };
    std::vector<Task> tasks;
    for (size_t k = 0; k < n; k++) {
      for (size_t part = 0; part < 4; part++) out[part * n + k] = at::empty_like(p[k]);
      for (int64_t i = 0; i < p[k].numel(); i += chunk) tasks.push_back({k, i, std::min(chunk, p[k].numel() - i)});
    }
    at::parallel_for(0, static_cast<int64_t>(tasks.size()), 2, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        auto [k, i, count] = tasks[t];
        adam_chunk(s, p[k].data_ptr<float>() + i, g[k].data_ptr<float>() + i, m[k].data_ptr<float>() + i,
                   v[k].data_ptr<float>() + i, e[k].data_ptr<float>() + i, out[k].data_ptr<float>() + i,
                   out[n + k].data_ptr<float>() + i, out[2 * n + k].data_ptr<float>() + i,
                   out[3 * n + k].data_ptr<float>() + i, count);
      }
    });
  } else {
    for (size_t k = 0; k < n; k++) {
      auto grad = g[k] * scale;
      auto mk = m[k] * beta1 + grad * (1 - beta1);
      auto vk = v[k] * beta2 + grad.square() * (1 - beta2);
      auto pk = p[k] * (1 - lr * decay) - (lr / c1) * mk / (vk.sqrt() / std::sqrt(c2) + eps);
      out[k] = pk;
      out[n + k] = mk;
      out[2 * n + k] = vk;
      out[3 * n + k] = e[k] * ema + pk * (1 - ema);
    }
  }
  out.push_back(at::scalar_tensor(norm, at::kDouble));
  return out;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(fokker, m) {
  m.def("adam(Tensor[] p, Tensor[] g, Tensor[] m, Tensor[] v, Tensor[] e, int step, float lr, float beta1, float beta2, "
        "float eps, float decay, float max_norm, float ema) -> Tensor[]",
        &adam);
}
