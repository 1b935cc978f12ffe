// The door's C functions under the sanitizers: what they are to refuse, and what they are to do for every odd size. A read or a write
// beyond what is there ends the program; so does an answer that is not the expected one.
#include "door.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

int line_of_failure(int line, const char* what) {
  std::fprintf(stderr, "line %d: %s: %s\n", line, what, fk_error());
  std::exit(1);
}

#define EXPECT(condition) ((condition) ? 0 : line_of_failure(__LINE__, #condition))
#define REFUSED(call, part) \
  EXPECT((call) < 0);       \
  EXPECT(std::strstr(fk_error(), part) != nullptr)

constexpr int32_t float32 = 6, float64 = 7;

fk_value integer(int64_t i) {
  fk_value v{};
  v.tag = FK_INT;
  v.i = i;
  return v;
}

fk_value tensor(void* p) {
  fk_value v{};
  v.tag = FK_TENSOR;
  v.p = p;
  return v;
}

fk_value list(int32_t tag, const void* p, int64_t n) {
  fk_value v{};
  v.tag = tag;
  v.n = n;
  v.p = const_cast<void*>(p);
  return v;
}

// Exactly as much memory as the shape takes, so that one element more is seen.
void* made(const std::vector<int64_t>& shape, int32_t dtype = float32) {
  int64_t n = 1;
  for (auto s : shape) n *= s;
  size_t bytes = static_cast<size_t>(n) * (dtype == float32 ? 4 : 8);
  std::vector<char> data(bytes, 0);
  for (int64_t k = 0; k < n; k++) {
    if (dtype == float32) reinterpret_cast<float*>(data.data())[k] = 0.5f + static_cast<float>(k % 7);
    else reinterpret_cast<double*>(data.data())[k] = 0.5 + static_cast<double>((k * 31) % 17);
  }
  fk_value out{};
  EXPECT(fk_from_memory(data.data(), static_cast<int64_t>(bytes), dtype, shape.data(), static_cast<int32_t>(shape.size()), &out) == 1);
  return out.p;
}

void sizes() {
  std::vector<int64_t> many(1000, 1), two{2}, huge(4, int64_t(1) << 31), negative{-1, -2};
  float data[2] = {1, 2};
  fk_value out{};
  REFUSED(fk_from_memory(data, 8, float32, many.data(), 65, &out), "65 dimensions");
  REFUSED(fk_from_memory(data, 8, float32, many.data(), 1000, &out), "1000 dimensions");
  REFUSED(fk_from_memory(data, 8, float32, two.data(), -1, &out), "-1 dimensions");
  REFUSED(fk_from_memory(data, 4, float32, two.data(), 1, &out), "takes 8 bytes");
  REFUSED(fk_from_memory(data, 12, float32, two.data(), 1, &out), "takes 8 bytes");
  REFUSED(fk_from_memory(data, 8, float32, huge.data(), 4, &out), "no memory");
  REFUSED(fk_from_memory(data, 8, float32, negative.data(), 2, &out), "size of -1");
  for (int32_t dtype : {-1, 99, 1 << 20}) { REFUSED(fk_from_memory(data, 8, dtype, two.data(), 1, &out), "element type"); }
  auto release = [](void* context) { ++*static_cast<int*>(context); };
  int released = 0;
  REFUSED(fk_wrap(data, 4, float32, two.data(), 1, release, &released, &out), "takes 8 bytes");
  REFUSED(fk_wrap(data, 8, float32, many.data(), 300, release, &released, &out), "300 dimensions");
  EXPECT(released == 0);
  EXPECT(fk_wrap(data, 8, float32, two.data(), 1, release, &released, &out) == 1);
  fk_free(out.p);
  EXPECT(released == 1);

  void* x = made(std::vector<int64_t>(64, 1));
  std::vector<int64_t> shape(64), strides(64);
  EXPECT(fk_shape(x, shape.data(), strides.data(), 64) == 64);
  std::vector<int64_t> small(3);
  REFUSED(fk_shape(x, small.data(), small.data(), 3), "room for 3");
  REFUSED(fk_shape(x, small.data(), small.data(), -1), "room for -1");
  fk_free(x);
}

void calls() {
  void* reshape = fk_find("aten::reshape", "");
  EXPECT(reshape && !fk_find("aten::no_such_operator", ""));
  void* x = made({6});
  std::vector<int64_t> deep(300, 1);
  deep.back() = 6;
  fk_value out[2];
  fk_value args[2] = {tensor(x), list(FK_INTS, deep.data(), 300)};
  REFUSED(fk_call(reshape, args, 2, out, 2), "300 dimensions");
  args[1] = list(FK_INTS, deep.data(), -1);
  REFUSED(fk_call(reshape, args, 2, out, 2), "-1 elements");
  args[0] = tensor(nullptr);
  REFUSED(fk_call(reshape, args, 2, out, 2), "null");
  REFUSED(fk_call(nullptr, args, 2, out, 2), "null");
  REFUSED(fk_call(reshape, args, -1, out, 2), "-1");
  REFUSED(fk_call(reshape, args, 3, out, 2), "was given 3");

  // More results than there is room for: what was handed out is taken back.
  void* unbind = fk_find("aten::unbind", "int");
  fk_value pieces[2] = {tensor(x), integer(0)};
  fk_value few[3];
  REFUSED(fk_call(unbind, pieces, 2, few, 3), "more than 3");
  void* inputs[1] = {nullptr};
  REFUSED(fk_grad(inputs, 1, inputs, 1, nullptr, 0, 0, 0, out), "null");
  REFUSED(fk_grad(inputs, -1, inputs, 1, nullptr, 0, 0, 0, out), "-1");
  fk_ready ready = [](int32_t, const fk_value*) {};
  REFUSED(fk_grad_each(x, nullptr, inputs, 1, ready), "null");
  REFUSED(fk_grad_each(x, nullptr, inputs, -1, ready), "-1");
  REFUSED(fk_grad_each(x, nullptr, inputs, 0, nullptr), "callback");
  REFUSED(fk_grad_each(nullptr, nullptr, inputs, 0, ready), "null");
  inputs[0] = x;
  REFUSED(fk_grad_each(x, nullptr, inputs, 1, ready), "not a leaf");
  REFUSED(fk_requires_grad(nullptr), "null");
  REFUSED(fk_is_tracked(nullptr), "null");
  REFUSED(fk_leaf(nullptr, out), "null");
  REFUSED(fk_dual_exit(0), "nobody");
  EXPECT(!fk_data(nullptr, 0));
  fk_free(nullptr);
  fk_free(x);
}

void memory() {
  void* zeros = fk_find("aten::zeros", "");
  fk_value out[1];
  int64_t shapes[3][2] = {{2147483647, int64_t(1) << 30}, {2147483647, int64_t(1) << 29}, {int64_t(1) << 30, int64_t(1) << 20}};
  for (auto& shape : shapes) {
    fk_value args[2] = {list(FK_INTS, shape, 2), integer(float64)};
    EXPECT(fk_call(zeros, args, 2, out, 1) < 0);
  }
  fk_trim();
  int64_t live, cached, peak;
  fk_memory(&live, &cached, &peak);
  EXPECT(live == 0 && cached == 0 && peak > 0);
}

} // namespace

int main() {
  fk_keep_memory(int64_t(1) << 30);
  sizes();
  calls();
  memory();
  std::puts("all as expected");
  return 0;
}
