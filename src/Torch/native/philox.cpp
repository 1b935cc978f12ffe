// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011): four random
// words as a pure function of a 64-bit key and a 128-bit counter. The counter is (block, domain, row): what sample
// `row` draws depends on nothing but the key and its own number, so a batch may be cut anywhere and in any order.
//
// The maps from words to numbers are written out here, branch-free and without fused multiply-adds, so that every
// processor gives the same bits and the compiler can use vectors of any width.
#include "door.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cmath>
#include <cstring>

namespace {

constexpr uint32_t M0 = 0xD2511F53u, M1 = 0xCD9E8D57u, W0 = 0x9E3779B9u, W1 = 0xBB67AE85u;
constexpr int lanes = 32;        // blocks computed side by side
constexpr uint32_t drawing = 0;  // the counter's domain word: draws here, key derivation on the managed side is 1

struct Words {
  uint32_t w[4][lanes];
};

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORIZED
#endif

VECTORIZED void philox(uint64_t key, Words& c) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < lanes; i++) {
      uint64_t p0 = static_cast<uint64_t>(M0) * c.w[0][i], p1 = static_cast<uint64_t>(M1) * c.w[2][i];
      uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c.w[1][i] ^ k0;
      uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c.w[3][i] ^ k1;
      c.w[0][i] = n0;
      c.w[1][i] = static_cast<uint32_t>(p1);
      c.w[2][i] = n2;
      c.w[3][i] = static_cast<uint32_t>(p0);
    }
    k0 += W0;
    k1 += W1;
  }
}

// log of u in (0, 1] as float: exponent and mantissa apart, log(m) = 2 atanh((m-1)/(m+1)) by its series.
inline float log_unit(float u) {
  uint32_t bits;
  std::memcpy(&bits, &u, 4);
  // Mantissa into [sqrt(1/2), sqrt(2)), so that the series is short.
  uint32_t shifted = bits - 0x3f3504f3u;
  int32_t e = static_cast<int32_t>(shifted) >> 23;
  uint32_t mantissa = (shifted & 0x007fffffu) + 0x3f3504f3u;
  float m;
  std::memcpy(&m, &mantissa, 4);
  float s = (m - 1.0f) / (m + 1.0f), z = s * s;
  float series = 2.0f * s * (1.0f + z * (0.333333333f + z * (0.2f + z * (0.142857143f + z * 0.111111111f))));
  return static_cast<float>(e) * 0.693147181f + series;
}

// (cos, sin) of 2π·w/2³²: the top bits choose the quadrant, the polynomials see an angle in [-π/4, π/4].
inline void turn(uint32_t w, float& c, float& s) {
  uint32_t quadrant = (w + 0x20000000u) >> 30;
  int32_t rest = static_cast<int32_t>(w - (quadrant << 30)); // in [-2²⁹, 2²⁹)
  float x = static_cast<float>(rest) * (1.57079633f / 1073741824.0f), z = x * x;
  float sx = x * (1.0f + z * (-0.166666667f + z * (8.33333333e-3f + z * (-1.98412698e-4f + z * 2.75573192e-6f))));
  float cx = 1.0f + z * (-0.5f + z * (4.16666667e-2f + z * (-1.38888889e-3f + z * 2.48015873e-5f)));
  float a = (quadrant & 1) ? sx : cx, b = (quadrant & 1) ? cx : sx;
  c = (quadrant == 1 || quadrant == 2) ? -a : a;
  s = (quadrant >= 2) ? -b : b;
}

// Box and Muller (1958): two uniform words to two independent standard normals.
VECTORIZED void to_normal(const Words& c, float* out) {
  for (int pair = 0; pair < 2; pair++)
    for (int i = 0; i < lanes; i++) {
      float u = (static_cast<float>(c.w[2 * pair][i] >> 8) + 0.5f) * (1.0f / 16777216.0f);
      // 24 bits reach 5.8 standard deviations; the low byte extends the tail where u is in its first cell.
      float fine = (static_cast<float>(c.w[2 * pair][i] & 0xffu) + 0.5f) * (1.0f / 4294967296.0f);
      u = (c.w[2 * pair][i] >> 8) == 0 ? fine : u;
      float r = std::sqrt(-2.0f * log_unit(u)), co, si;
      turn(c.w[2 * pair + 1][i], co, si);
      out[4 * i + 2 * pair] = r * co;
      out[4 * i + 2 * pair + 1] = r * si;
    }
}

void to_normal(const Words& c, double* out) {
  constexpr double tau = 6.283185307179586476925286766559;
  for (int i = 0; i < lanes; i++) {
    uint64_t a = static_cast<uint64_t>(c.w[0][i]) << 32 | c.w[1][i], b = static_cast<uint64_t>(c.w[2][i]) << 32 | c.w[3][i];
    double u = (static_cast<double>(a >> 11) + 0.5) * 0x1p-53, v = static_cast<double>(b >> 11) * 0x1p-53;
    double r = std::sqrt(-2.0 * std::log(u));
    out[2 * i] = r * std::cos(tau * v);
    out[2 * i + 1] = r * std::sin(tau * v);
  }
}

VECTORIZED void to_uniform(const Words& c, float* out) {
  for (int k = 0; k < 4; k++)
    for (int i = 0; i < lanes; i++) out[4 * i + k] = static_cast<float>(c.w[k][i] >> 8) * (1.0f / 16777216.0f);
}

void to_uniform(const Words& c, double* out) {
  for (int i = 0; i < lanes; i++) {
    uint64_t a = static_cast<uint64_t>(c.w[0][i]) << 32 | c.w[1][i], b = static_cast<uint64_t>(c.w[2][i]) << 32 | c.w[3][i];
    out[2 * i] = static_cast<double>(a >> 11) * 0x1p-53;
    out[2 * i + 1] = static_cast<double>(b >> 11) * 0x1p-53;
  }
}

void to_bits(const Words& c, int64_t* out) {
  for (int i = 0; i < lanes; i++) {
    out[2 * i] = static_cast<int64_t>(static_cast<uint64_t>(c.w[0][i]) << 32 | c.w[1][i]);
    out[2 * i + 1] = static_cast<int64_t>(static_cast<uint64_t>(c.w[2][i]) << 32 | c.w[3][i]);
  }
}

// Fills [rows, width] by `map`, which turns one Philox block into `per_block` numbers.
template <class T, class Map>
void fill(T* data, int64_t rows, int64_t width, int per_block, uint64_t key, uint64_t first_row, Map map) {
  const int64_t blocks = (width + per_block - 1) / per_block, total = rows * blocks;
  at::parallel_for(0, (total + lanes - 1) / lanes, 64, [&](int64_t begin, int64_t end) {
    Words c;
    T values[4 * lanes];
    for (int64_t group = begin; group < end; group++) {
      int64_t base = group * lanes;
      int64_t row = base / blocks, block = base % blocks;
      int64_t row0 = row, block0 = block;
      for (int i = 0; i < lanes; i++) {
        uint64_t r = first_row + static_cast<uint64_t>(row);
        c.w[0][i] = static_cast<uint32_t>(block);
        c.w[1][i] = drawing;
        c.w[2][i] = static_cast<uint32_t>(r);
        c.w[3][i] = static_cast<uint32_t>(r >> 32);
        if (++block == blocks) {
          block = 0;
          row++;
        }
      }
      philox(key, c);
      map(c, values);
      row = row0;
      block = block0;
      for (int i = 0; i < lanes && base + i < total; i++) {
        int64_t column = block * per_block, count = std::min<int64_t>(per_block, width - column);
        std::memcpy(data + row * width + column, values + i * per_block, count * sizeof(T));
        if (++block == blocks) {
          block = 0;
          row++;
        }
      }
    }
  });
}

at::Tensor prepare(at::IntArrayRef size, at::ScalarType dtype, int64_t& rows, int64_t& width) {
  auto t = at::empty(size, at::TensorOptions().dtype(dtype));
  rows = size.empty() ? 1 : size[0];
  width = rows == 0 ? 0 : t.numel() / std::max<int64_t>(rows, 1);
  return t;
}

at::Tensor normal(int64_t key, int64_t first_row, at::IntArrayRef size, int64_t dtype) {
  auto type = static_cast<at::ScalarType>(dtype);
  int64_t rows, width;
  if (type == at::kDouble) {
    auto t = prepare(size, type, rows, width);
    fill(t.data_ptr<double>(), rows, width, 2, key, first_row, [](const Words& c, double* o) { to_normal(c, o); });
    return t;
  }
  auto t = prepare(size, at::kFloat, rows, width);
  fill(t.data_ptr<float>(), rows, width, 4, key, first_row, [](const Words& c, float* o) { to_normal(c, o); });
  return t.to(type);
}

at::Tensor uniform(int64_t key, int64_t first_row, at::IntArrayRef size, int64_t dtype) {
  auto type = static_cast<at::ScalarType>(dtype);
  int64_t rows, width;
  if (type == at::kDouble) {
    auto t = prepare(size, type, rows, width);
    fill(t.data_ptr<double>(), rows, width, 2, key, first_row, [](const Words& c, double* o) { to_uniform(c, o); });
    return t;
  }
  auto t = prepare(size, at::kFloat, rows, width);
  fill(t.data_ptr<float>(), rows, width, 4, key, first_row, [](const Words& c, float* o) { to_uniform(c, o); });
  return t.to(type);
}

// 64 random bits an element.
at::Tensor bits(int64_t key, int64_t first_row, at::IntArrayRef size) {
  int64_t rows, width;
  auto t = prepare(size, at::kLong, rows, width);
  fill(t.data_ptr<int64_t>(), rows, width, 2, key, first_row, [](const Words& c, int64_t* o) { to_bits(c, o); });
  return t;
}

// Integers in [0, bound): the high word of bits · bound (Lemire 2019, without rejection: the bias is below bound / 2⁶⁴).
at::Tensor integers(int64_t key, int64_t first_row, int64_t bound, at::IntArrayRef size) {
  TORCH_CHECK(bound > 0, "integers below ", bound, " do not exist");
  auto t = bits(key, first_row, size);
  auto* p = t.data_ptr<int64_t>();
  for (int64_t k = 0; k < t.numel(); k++)
    p[k] = static_cast<int64_t>(static_cast<unsigned __int128>(static_cast<uint64_t>(p[k])) * static_cast<uint64_t>(bound) >> 64);
  return t;
}

} // namespace

void fk_philox(uint64_t key, uint64_t ctr_lo, uint64_t ctr_hi, uint32_t* out4) {
  Words c{};
  c.w[0][0] = static_cast<uint32_t>(ctr_lo);
  c.w[1][0] = static_cast<uint32_t>(ctr_lo >> 32);
  c.w[2][0] = static_cast<uint32_t>(ctr_hi);
  c.w[3][0] = static_cast<uint32_t>(ctr_hi >> 32);
  philox(key, c);
  for (int k = 0; k < 4; k++) out4[k] = c.w[k][0];
}

TORCH_LIBRARY_FRAGMENT(fokker, m) {
  m.def("normal(int key, int first_row, int[] size, int dtype) -> Tensor", &normal);
  m.def("uniform(int key, int first_row, int[] size, int dtype) -> Tensor", &uniform);
  m.def("bits(int key, int first_row, int[] size) -> Tensor", &bits);
  m.def("integers(int key, int first_row, int bound, int[] size) -> Tensor", &integers);
}
