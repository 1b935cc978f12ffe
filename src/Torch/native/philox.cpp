// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011): four random
// words as a pure function of a 64-bit key and a 128-bit counter. The counter is (block, domain, row): what sample
// `row` draws depends on nothing but the key and its own number, so a batch may be cut anywhere and in any order.
//
// The maps from words to numbers are written out here, branch-free and without fused multiply-adds, so that every
// processor gives the same bits and the compiler can use vectors of any width. That it does is worth a factor of ten:
// -fopt-info-vec says which loops are.
#include "door.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cmath>
#include <cstring>

namespace {

constexpr uint32_t M0 = 0xD2511F53u, M1 = 0xCD9E8D57u, W0 = 0x9E3779B9u, W1 = 0xBB67AE85u;
constexpr int lanes = 64;        // blocks computed side by side
constexpr uint32_t drawing = 0;  // the counter's domain word: draws here, key derivation on the managed side is 1

struct Words {
  alignas(64) uint32_t w[4][lanes];
};

// The numbers made from `lanes` blocks, still side by side: element k of block i is v[k][i].
template <class T>
struct Planes {
  alignas(64) T v[4][lanes];
};

// One function for each width of vector, chosen when the library loads. All give the same bits: IEEE arithmetic in
// the order written, and no fused multiply-adds (-ffp-contract=off).
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORIZED
#endif

VECTORIZED void philox(uint64_t key, Words& c) {
  for (int i = 0; i < lanes; i++) {
    uint32_t a = c.w[0][i], b = c.w[1][i], d = c.w[2][i], e = c.w[3][i];
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
      uint64_t p0 = static_cast<uint64_t>(M0) * a, p1 = static_cast<uint64_t>(M1) * d;
      uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ b ^ k0;
      uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ e ^ k1;
      a = n0;
      b = static_cast<uint32_t>(p1);
      d = n2;
      e = static_cast<uint32_t>(p0);
      k0 += W0;
      k1 += W1;
    }
    c.w[0][i] = a;
    c.w[1][i] = b;
    c.w[2][i] = d;
    c.w[3][i] = e;
  }
}

template <class To, class From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

// log u for u in (0, 1]: exponent and mantissa apart, log m = 2 atanh((m−1)/(m+1)) by its series.
inline float log_unit(float u) {
  // The mantissa into [√½, √2), so that the series is short.
  uint32_t shifted = bits_as<uint32_t>(u) - 0x3f3504f3u;
  float e = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
  float m = bits_as<float>((shifted & 0x007fffffu) + 0x3f3504f3u);
  float s = (m - 1.0f) / (m + 1.0f), z = s * s;
  float series = z * (0.333333333f + z * (0.2f + z * (0.142857143f + z * 0.111111111f)));
  // log 2 in two parts, the first short enough that e times it is exact.
  return e * 0x1.62e4p-1f + (e * 1.42860682e-6f + 2.0f * (s + s * series));
}

// (cos, sin) of 2π·w/2³²: the top bits choose the quadrant, the polynomials see an angle x in [−π/4, π/4].
inline void turn(uint32_t w, float& c, float& s) {
  uint32_t quadrant = (w + 0x20000000u) >> 30;
  float rest = static_cast<float>(static_cast<int32_t>(w - (quadrant << 30))); // in [−2²⁹, 2²⁹]
  // π/2 · 2⁻³⁰ in two parts.
  float x = rest * 0x1.921fb6p-30f + rest * -4.07094043e-17f, z = x * x;
  float sx = x + x * z * (-0.166666667f + z * (8.33333333e-3f + z * (-1.98412698e-4f + z * 2.75573192e-6f)));
  float half = 0.5f * z, near = 1.0f - half;
  float cx = near + (((1.0f - near) - half) + z * z * (4.16666667e-2f + z * (-1.38888889e-3f + z * 2.48015873e-5f)));
  float a = (quadrant & 1) ? sx : cx, b = (quadrant & 1) ? cx : sx;
  c = (quadrant == 1 || quadrant == 2) ? -a : a;
  s = (quadrant >= 2) ? -b : b;
}

// The same in float64, where the series need more terms.
inline double log_unit(double u) {
  // √½ = 0x3fe6a09e667f3bcd.
  uint64_t shifted = bits_as<uint64_t>(u) - 0x3fe6a09e667f3bcdull;
  // The exponent, from −1074 to 0, without the conversion of integers that AVX2 has not: 2⁵² + n as bits, less 2⁵².
  double e = bits_as<double>(((shifted + (1024ull << 52)) >> 52) | 0x4330000000000000ull) - (0x1p52 + 1024.0);
  double m = bits_as<double>((shifted & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull);
  double s = (m - 1.0) / (m + 1.0), z = s * s, series = 1.0 / 23;
  constexpr double odd[] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3};
#pragma GCC unroll 10
  for (int k = 0; k < 10; k++) series = odd[k] + z * series;
  return e * 0x1.62e42fefp-1 + (e * 7.44061711001239672e-11 + 2.0 * (s + s * (z * series)));
}

inline void turn(uint64_t w, double& c, double& s) {
  uint64_t shifted = w + (1ull << 61), quadrant = shifted >> 62;
  // The rest of the quadrant in 51 bits, moved to [−2⁵⁰, 2⁵⁰): units of 2⁻⁵³ of a turn.
  double rest = bits_as<double>(((shifted & 0x3fffffffffffffffull) >> 11) | 0x4330000000000000ull) - (0x1p52 + 0x1p50);
  double x = rest * 0x1.921fb54442d18p-51 + rest * 2.71926214689378204e-32, z = x * x;
  // 1/(2k)! and 1/(2k+1)! with alternating signs.
  constexpr double even[] = {-1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0};
  constexpr double odd[] = {-1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0};
  double p = 1.0 / 20922789888000.0, q = 1.0 / 355687428096000.0;
#pragma GCC unroll 6
  for (int k = 0; k < 6; k++) p = even[k] + z * p;
#pragma GCC unroll 7
  for (int k = 0; k < 7; k++) q = odd[k] + z * q;
  double sx = x + x * z * q, half = 0.5 * z, near = 1.0 - half;
  double cx = near + (((1.0 - near) - half) + z * z * p);
  double a = (quadrant & 1) ? sx : cx, b = (quadrant & 1) ? cx : sx;
  c = (quadrant == 1 || quadrant == 2) ? -a : a;
  s = (quadrant >= 2) ? -b : b;
}

inline float cell(uint32_t w) { return static_cast<float>(static_cast<int32_t>(w >> 8)); }

// Box and Muller (1958): two uniform words to two independent standard normals.
VECTORIZED void to_normal(const Words& c, Planes<float>& out, int pairs) {
  for (int pair = 0; pair < pairs; pair++)
    for (int i = 0; i < lanes; i++) {
      uint32_t w = c.w[2 * pair][i];
      // 24 bits reach 5.8 standard deviations; the low byte extends the tail where u is in its first cell.
      float u = (cell(w) + 0.5f) * 0x1p-24f, fine = (static_cast<float>(static_cast<int32_t>(w & 0xffu)) + 0.5f) * 0x1p-32f;
      u = (w >> 8) == 0 ? fine : u;
      float r = std::sqrt(-2.0f * log_unit(u)), co, si;
      turn(c.w[2 * pair + 1][i], co, si);
      out.v[2 * pair][i] = r * co;
      out.v[2 * pair + 1][i] = r * si;
    }
}

inline uint64_t wide(const Words& c, int pair, int i) {
  return static_cast<uint64_t>(c.w[2 * pair][i]) << 32 | c.w[2 * pair + 1][i];
}

// 52 bits on [0, 1).
inline double unit(uint64_t w) { return bits_as<double>(w >> 12 | 0x3ff0000000000000ull) - 1.0; }

VECTORIZED void to_normal(const Words& c, Planes<double>& out) {
  for (int i = 0; i < lanes; i++) {
    double r = std::sqrt(-2.0 * log_unit(unit(wide(c, 0, i)) + 0x1p-53)), co, si;
    turn(wide(c, 1, i), co, si);
    out.v[0][i] = r * co;
    out.v[1][i] = r * si;
  }
}

VECTORIZED void to_uniform(const Words& c, Planes<float>& out) {
  for (int k = 0; k < 4; k++)
    for (int i = 0; i < lanes; i++) out.v[k][i] = cell(c.w[k][i]) * 0x1p-24f;
}

VECTORIZED void to_uniform(const Words& c, Planes<double>& out) {
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < lanes; i++) out.v[k][i] = unit(wide(c, k, i));
}

VECTORIZED void to_bits(const Words& c, Planes<int64_t>& out) {
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < lanes; i++) out.v[k][i] = static_cast<int64_t>(wide(c, k, i));
}

// Planes to memory: `count` numbers of each block, block after block.
template <class T, int count>
inline void interleave(const Planes<T>& p, T* out) {
  for (int i = 0; i < lanes; i++)
    for (int k = 0; k < count; k++) out[count * i + k] = p.v[k][i];
}

// Fills [rows, width] by `map`, which turns Philox blocks into `per_block` numbers each.
template <int per_block, class T, class Map>
void fill(T* data, int64_t rows, int64_t width, uint64_t key, uint64_t first_row, Map map) {
  const int64_t blocks = (width + per_block - 1) / per_block, total = rows * blocks;
  // Two normals need one pair of words: a row of two makes no others.
  const int pairs = width <= 2 ? 1 : 2;
  at::parallel_for(0, (total + lanes - 1) / lanes, 32, [&](int64_t begin, int64_t end) {
    Words c;
    Planes<T> p;
    for (int64_t group = begin; group < end; group++) {
      const int64_t base = group * lanes, row0 = base / blocks, block0 = base % blocks;
      if (blocks == 1) {
        for (int i = 0; i < lanes; i++) {
          uint64_t r = first_row + static_cast<uint64_t>(row0 + i);
          c.w[0][i] = 0;
          c.w[1][i] = drawing;
          c.w[2][i] = static_cast<uint32_t>(r);
          c.w[3][i] = static_cast<uint32_t>(r >> 32);
        }
      } else {
        int64_t row = row0, block = block0;
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
      }
      philox(key, c);
      map(c, p, pairs);
      // Where the numbers of all blocks lie side by side, they are woven straight into place.
      const bool whole = base + lanes <= total;
      if (whole && width % per_block == 0) {
        interleave<T, per_block>(p, data + base * per_block);
      } else if (whole && (block0 + lanes) * per_block <= width) {
        interleave<T, per_block>(p, data + row0 * width + block0 * per_block);
      } else if (whole && width == 1) {
        interleave<T, 1>(p, data + base);
      } else if (whole && width == 2) {
        interleave<T, 2>(p, data + 2 * base);
      } else if (whole && width == 3 && per_block == 4) {
        interleave<T, 3>(p, data + 3 * base);
      } else {
        int64_t row = row0, block = block0;
        for (int i = 0; i < lanes && base + i < total; i++) {
          const int64_t column = block * per_block, count = std::min<int64_t>(per_block, width - column);
          T* out = data + row * width + column;
          for (int k = 0; k < count; k++) out[k] = p.v[k][i];
          if (++block == blocks) {
            block = 0;
            row++;
          }
        }
      }
    }
  });
}

at::Tensor prepare(at::IntArrayRef size, at::ScalarType dtype, int64_t& rows, int64_t& width) {
  auto t = at::empty(size, at::TensorOptions().dtype(dtype));
  rows = size.empty() ? 1 : size[0];
  width = rows == 0 ? 0 : t.numel() / rows;
  // A row's blocks are numbered in 32 bits, two or more numbers to a block.
  TORCH_CHECK(width <= int64_t(1) << 33, "a row of ", width, " draws: there are at most 2^33");
  return t;
}

at::Tensor normal(int64_t key, int64_t first_row, at::IntArrayRef size, int64_t dtype) {
  auto type = static_cast<at::ScalarType>(dtype);
  int64_t rows, width;
  if (type == at::kDouble) {
    auto t = prepare(size, type, rows, width);
    fill<2>(t.data_ptr<double>(), rows, width, key, first_row,
            [](const Words& c, Planes<double>& p, int) { to_normal(c, p); });
    return t;
  }
  TORCH_CHECK(at::isFloatingType(type), "draws of element type ", dtype, ": a floating one is needed");
  auto t = prepare(size, at::kFloat, rows, width);
  fill<4>(t.data_ptr<float>(), rows, width, key, first_row,
          [](const Words& c, Planes<float>& p, int pairs) { to_normal(c, p, pairs); });
  return t.to(type);
}

at::Tensor uniform(int64_t key, int64_t first_row, at::IntArrayRef size, int64_t dtype) {
  auto type = static_cast<at::ScalarType>(dtype);
  int64_t rows, width;
  if (type == at::kDouble) {
    auto t = prepare(size, type, rows, width);
    fill<2>(t.data_ptr<double>(), rows, width, key, first_row,
            [](const Words& c, Planes<double>& p, int) { to_uniform(c, p); });
    return t;
  }
  TORCH_CHECK(at::isFloatingType(type), "draws of element type ", dtype, ": a floating one is needed");
  auto t = prepare(size, at::kFloat, rows, width);
  fill<4>(t.data_ptr<float>(), rows, width, key, first_row,
          [](const Words& c, Planes<float>& p, int) { to_uniform(c, p); });
  return t.to(type);
}

// 64 random bits an element.
at::Tensor bits(int64_t key, int64_t first_row, at::IntArrayRef size) {
  int64_t rows, width;
  auto t = prepare(size, at::kLong, rows, width);
  fill<2>(t.data_ptr<int64_t>(), rows, width, key, first_row,
          [](const Words& c, Planes<int64_t>& p, int) { to_bits(c, p); });
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
