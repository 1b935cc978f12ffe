// The linear assignment problem: min over injective row ↦ column maps of Σᵢ c[i, π(i)], exactly.
//
// Jonker and Volgenant (1987): column reduction, reduction transfer and augmenting row reduction find most of the
// matching, each keeping the column potentials v dual feasible; shortest augmenting paths (Dijkstra over reduced costs;
// Crouse 2016 for more columns than rows) find the rest. Every inner loop runs along one row of the cost matrix, without
// branches, so that the compiler can use vectors of any width.
#include "door.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORIZED
#endif

constexpr int lanes = 16;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double largest = 1e290;

struct Lowest {
  double first, second;
};

// The two lowest of w[j] = c[j] − v[j]; w is kept for whoever looks for their places.
VECTORIZED Lowest two_lowest(const double* c, const double* v, double* w, int64_t m) {
  double a[lanes], b[lanes];
  for (int k = 0; k < lanes; k++) a[k] = b[k] = infinity;
  int64_t j = 0;
  for (; j + lanes <= m; j += lanes)
    for (int k = 0; k < lanes; k++) {
      double x = c[j + k] - v[j + k];
      w[j + k] = x;
      double high = x > a[k] ? x : a[k];
      a[k] = x < a[k] ? x : a[k];
      b[k] = high < b[k] ? high : b[k];
    }
  for (; j < m; j++) {
    double x = c[j] - v[j];
    w[j] = x;
    double high = x > a[0] ? x : a[0];
    a[0] = x < a[0] ? x : a[0];
    b[0] = high < b[0] ? high : b[0];
  }
  Lowest low{infinity, infinity};
  for (int k = 0; k < lanes; k++) {
    double high = a[k] > low.first ? a[k] : low.first;
    low.first = a[k] < low.first ? a[k] : low.first;
    low.second = high < low.second ? high : low.second;
    low.second = b[k] < low.second ? b[k] : low.second;
  }
  return low;
}

// The path to column j through row `row` has length base + c[j] − v[j]: keeps it where it is the shortest so far. A closed
// column carries +∞ in `closed`, which bars it from both the update and the minimum over open columns that is returned.
VECTORIZED double relax(const double* c, const double* v, const double* closed, double base, int64_t row, double* length,
                        int64_t* from, int64_t m) {
  double low[lanes];
  for (int k = 0; k < lanes; k++) low[k] = infinity;
  int64_t j = 0;
  for (; j + lanes <= m; j += lanes)
    for (int k = 0; k < lanes; k++) {
      double bar = closed[j + k], x = base + (c[j + k] - v[j + k]) + bar, old = length[j + k];
      bool shorter = x < old;
      double best = shorter ? x : old;
      length[j + k] = best;
      from[j + k] = shorter ? row : from[j + k];
      double open = best + bar;
      low[k] = open < low[k] ? open : low[k];
    }
  for (; j < m; j++) {
    double x = base + (c[j] - v[j]) + closed[j];
    if (x < length[j]) {
      length[j] = x;
      from[j] = row;
    }
    double open = length[j] + closed[j];
    low[0] = open < low[0] ? open : low[0];
  }
  double lowest = infinity;
  for (double x : low) lowest = x < lowest ? x : lowest;
  return lowest;
}

VECTORIZED void range(const double* c, int64_t m, double* low, double* high) {
  double a[lanes], b[lanes];
  for (int k = 0; k < lanes; k++) {
    a[k] = infinity;
    b[k] = -infinity;
  }
  int64_t j = 0;
  for (; j + lanes <= m; j += lanes)
    for (int k = 0; k < lanes; k++) {
      a[k] = c[j + k] < a[k] ? c[j + k] : a[k];
      b[k] = c[j + k] > b[k] ? c[j + k] : b[k];
    }
  for (; j < m; j++) {
    a[0] = c[j] < a[0] ? c[j] : a[0];
    b[0] = c[j] > b[0] ? c[j] : b[0];
  }
  *low = infinity;
  *high = -infinity;
  for (int k = 0; k < lanes; k++) {
    *low = a[k] < *low ? a[k] : *low;
    *high = b[k] > *high ? b[k] : *high;
  }
}

VECTORIZED void lower(const double* c, double* v, int64_t row, int64_t* from, int64_t m) {
  for (int64_t j = 0; j < m; j++) {
    bool less = c[j] < v[j];
    v[j] = less ? c[j] : v[j];
    from[j] = less ? row : from[j];
  }
}

// x·0 is 0 where x is finite, NaN elsewhere.
VECTORIZED bool all_finite(const double* x, int64_t n) {
  double sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int k = 0; k < lanes; k++) sums[k] += x[i + k] * 0.0;
  for (; i < n; i++) sums[0] += x[i] * 0.0;
  bool finite = true;
  for (double s : sums) finite = finite && s == 0.0;
  return finite;
}

struct Problem {
  const double* c; // [n; m], n ≤ m
  int64_t n, m;
  std::vector<int64_t> column, row; // row ↦ column and back; −1: free
  std::vector<double> v, work;

  Problem(const double* c, int64_t n, int64_t m) : c(c), n(n), m(m), column(n, -1), row(m, -1), v(m, 0.0), work(m) {}

  const double* line(int64_t i) const { return c + i * m; }

  int64_t place(double value, int64_t but) const {
    for (int64_t j = 0; j < m; j++)
      if (work[j] == value && j != but) return j;
    TORCH_CHECK(false, "assignment: no column has the cost ", value);
  }

  // v[j] = minᵢ c[i, j], matched with the row that attains it where that row is free. Square problems only: where a
  // column may stay free, its potential must stay 0.
  void reduce_columns() {
    std::vector<int64_t> from(m, 0);
    std::fill(v.begin(), v.end(), infinity);
    for (int64_t i = 0; i < n; i++) lower(line(i), v.data(), i, from.data(), m);
    std::vector<int64_t> wanted(n, 0);
    for (int64_t j = m - 1; j >= 0; j--) {
      int64_t i = from[j];
      if (wanted[i]++ == 0) {
        column[i] = j;
        row[j] = i;
      }
    }
    // A row that no other column wants can give the gap to its second choice to its column.
    for (int64_t i = 0; i < n; i++)
      if (wanted[i] == 1 && m > 1) {
        int64_t j = column[i];
        double keep = v[j];
        v[j] = -infinity; // out of the search
        double second = two_lowest(line(i), v.data(), work.data(), m).first;
        v[j] = keep - (second < infinity ? second : 0.0);
      }
  }

  // Prices near the optimal ones before anything is matched for good: auctions (Bertsekas 1979) with bids that fall from a
  // twentieth of the costs' range by tens, each round from the prices of the one before. Costs that have a geometry start
  // price wars where bids are exact from the beginning; coarse ones settle them in a few rounds. Square problems only: every column
  // has to be wanted in the end.
  void settle_prices() {
    double low = infinity, high = -infinity;
    for (int64_t i = 0; i < n; i++) {
      double l, h;
      range(line(i), m, &l, &h);
      low = std::min(low, l);
      high = std::max(high, h);
    }
    std::vector<int64_t> free;
    for (double bid = 0.05 * (high - low); bid > 1e-6 * (high - low); bid *= 0.1) {
      std::fill(column.begin(), column.end(), -1);
      std::fill(row.begin(), row.end(), -1);
      free.resize(n);
      for (int64_t i = 0; i < n; i++) free[i] = i;
      // Prices are a beginning only: a round that drags on is broken off.
      for (int64_t budget = 40 * n; !free.empty() && budget > 0; budget--) {
        int64_t i = free.back();
        free.pop_back();
        auto best = two_lowest(line(i), v.data(), work.data(), m);
        int64_t j = place(best.first, -1), displaced = row[j];
        v[j] -= best.second - best.first + bid;
        row[j] = i;
        if (displaced >= 0) free.push_back(displaced);
      }
    }
    std::fill(column.begin(), column.end(), -1);
    std::fill(row.begin(), row.end(), -1);
  }

  // Each free row takes its best column, whose potential falls by the gap to the second best; the row it displaces is
  // next. With rounding the gaps can shrink without end, so the steps are bounded; what is left goes to `augment`.
  void reduce_rows() {
    std::vector<int64_t> free;
    for (int64_t i = 0; i < n; i++)
      if (column[i] < 0) free.push_back(i);
    for (int pass = 0; pass < 2; pass++) {
      std::vector<int64_t> later;
      int64_t budget = 8 * n;
      for (size_t k = 0; k < free.size();) {
        int64_t i = free[k++];
        auto low = two_lowest(line(i), v.data(), work.data(), m);
        int64_t j = place(low.first, -1), displaced = row[j];
        double lowered = m > 1 ? v[j] - (low.second - low.first) : v[j];
        bool lowers = lowered < v[j];
        if (lowers)
          v[j] = lowered;
        else if (displaced >= 0 && m > 1) {
          j = place(low.second, j);
          displaced = row[j];
        }
        column[i] = j;
        row[j] = i;
        if (displaced >= 0) {
          column[displaced] = -1;
          if (lowers && budget-- > 0)
            free[--k] = displaced;
          else
            later.push_back(displaced);
        }
      }
      free.swap(later);
    }
  }

  // The shortest path over reduced costs from each free row to a free column, and the potentials that keep them ≥ 0.
  void augment() {
    std::vector<double> length(m), closed(m);
    std::vector<int64_t> from(m), done;
    for (int64_t start = 0; start < n; start++) {
      if (column[start] >= 0) continue;
      std::fill(length.begin(), length.end(), infinity);
      std::fill(closed.begin(), closed.end(), 0.0);
      done.clear();
      int64_t i = start, sink = -1;
      double lowest = 0.0, base = 0.0;
      while (sink < 0) {
        lowest = relax(line(i), v.data(), closed.data(), base, i, length.data(), from.data(), m);
        int64_t next = -1;
        for (int64_t j = 0; j < m; j++)
          if (length[j] == lowest && closed[j] == 0.0) {
            next = j;
            if (row[j] < 0) break; // among equals a free column ends the search
          }
        TORCH_CHECK(next >= 0, "assignment: no path of finite length is left");
        closed[next] = infinity;
        done.push_back(next);
        if (row[next] < 0)
          sink = next;
        else {
          i = row[next];
          base = lowest - (line(i)[next] - v[next]);
        }
      }
      for (int64_t j : done) v[j] += length[j] - lowest;
      for (int64_t j = sink;;) {
        int64_t i = from[j], previous = column[i];
        row[j] = i;
        column[i] = j;
        if (i == start) break;
        j = previous;
      }
    }
  }
};

// cost [n; m] float64 with n ≤ m, finite ↦ the column of each row (int64 [n]) and the potentials u [n], v [m] with
// u[i] + v[j] ≤ c[i, j], equality on the matching, v ≤ 0 where n < m and 0 on free columns: the certificate that it is optimal.
std::tuple<at::Tensor, at::Tensor, at::Tensor> assignment(const at::Tensor& cost) {
  TORCH_CHECK(cost.dim() == 2 && cost.size(0) <= cost.size(1), "assignment: a matrix with no more rows than columns is needed");
  TORCH_CHECK(cost.scalar_type() == at::kDouble && cost.is_cpu(), "assignment: costs are float64 on the CPU");
  auto c = cost.detach().contiguous();
  TORCH_CHECK(all_finite(c.data_ptr<double>(), c.numel()), "assignment: a cost is not finite");
  // Potentials reach a few hundred times n times the costs' range; beyond float64's range they would be no numbers.
  double low, high;
  range(c.data_ptr<double>(), c.numel(), &low, &high);
  TORCH_CHECK(low >= -largest && high <= largest, "assignment: a cost of ", -low > high ? low : high, "; they may reach ", largest);
  int64_t n = c.size(0), m = c.size(1);
  Problem p(c.data_ptr<double>(), n, m);
  if (n > 0) {
    if (n == m) {
      if (n < 32)
        p.reduce_columns();
      else
        p.settle_prices();
    }
    p.reduce_rows();
    p.augment();
  }
  auto columns = at::empty({n}, at::kLong), u = at::empty({n}, at::kDouble), v = at::empty({m}, at::kDouble);
  std::copy(p.column.begin(), p.column.end(), columns.data_ptr<int64_t>());
  std::copy(p.v.begin(), p.v.end(), v.data_ptr<double>());
  for (int64_t i = 0; i < n; i++) u.data_ptr<double>()[i] = p.line(i)[p.column[i]] - p.v[p.column[i]];
  return {columns, u, v};
}

} // namespace

TORCH_LIBRARY_FRAGMENT(fokker, m) { m.def("assignment(Tensor cost) -> (Tensor, Tensor, Tensor)", &assignment); }
