// A CPU allocator that keeps what it is given back. glibc returns large blocks to the kernel on every free, so a
// training step pays for the same page faults again and again; here a freed block waits in a list of its size class
// (four classes to each power of two: at most 25 % over the request, and untouched pages cost nothing) until the cap
// on waiting bytes is reached. It also counts, since the managed collector cannot see native memory.
#include "door.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <torch/version.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

namespace {

constexpr size_t alignment = 64;
constexpr int classes = 4 * 64;
constexpr size_t most = size_t(1) << 48; // no processor addresses more

struct alignas(alignment) Header {
  int32_t size_class;
  size_t bytes;
};

// bytes ↦ (class, rounded bytes): 2^e · {4,5,6,7}/4.
int class_of(size_t bytes, size_t& rounded) {
  if (bytes < 256) bytes = 256;
  int e = 63 - __builtin_clzll(static_cast<unsigned long long>(bytes - 1));
  size_t quarter = size_t(1) << (e - 2);
  size_t steps = (bytes - 1 - (size_t(1) << e)) / quarter + 1; // 1..4
  rounded = (size_t(1) << e) + steps * quarter;
  return 4 * e + static_cast<int>(steps) - 1;
}

std::mutex bins_mutex;
std::vector<Header*> bins[classes];
std::atomic<int64_t> live{0}, peak{0};
int64_t cached = 0;
int64_t cap = 0;
bool installed = false;

void release(void* context) {
  if (!context) return;
  auto* header = static_cast<Header*>(context) - 1;
  live.fetch_sub(static_cast<int64_t>(header->bytes), std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(bins_mutex);
    if (cached + static_cast<int64_t>(header->bytes) <= cap) {
      cached += static_cast<int64_t>(header->bytes);
      bins[header->size_class].push_back(header);
      return;
    }
  }
  std::free(header);
}

struct KeepingAllocator final : c10::Allocator {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
  c10::DataPtr allocate(size_t n) override { return make(n); }
  void copy_data(void* dest, const void* src, std::size_t count) const override { std::memcpy(dest, src, count); }
#else
  c10::DataPtr allocate(size_t n) const override { return make(n); }
#endif
  // oneDNN's convolutions allocate raw: the context must be the data itself.
  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  static c10::DataPtr make(size_t n) {
    // Rounding up to a size class must not go around: libtorch asks for anything below 2^64.
    TORCH_CHECK(n <= most, "not enough memory: cannot allocate ", n, " bytes on the CPU");
    if (n == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    size_t rounded;
    int c = class_of(n, rounded);
    Header* header = nullptr;
    {
      std::lock_guard<std::mutex> lock(bins_mutex);
      if (!bins[c].empty()) {
        header = bins[c].back();
        bins[c].pop_back();
        cached -= static_cast<int64_t>(rounded);
      }
    }
    if (!header) {
      void* block = nullptr;
      if (posix_memalign(&block, alignment, sizeof(Header) + rounded) != 0)
        TORCH_CHECK(false, "not enough memory: cannot allocate ", n, " bytes on the CPU");
      header = static_cast<Header*>(block);
      header->size_class = c;
      header->bytes = rounded;
    }
    auto now = live.fetch_add(static_cast<int64_t>(rounded), std::memory_order_relaxed) + static_cast<int64_t>(rounded);
    auto seen = peak.load(std::memory_order_relaxed);
    while (now > seen && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
    }
    return {header + 1, header + 1, &release, c10::Device(c10::DeviceType::CPU)};
  }
};

KeepingAllocator allocator;

} // namespace

int32_t fk_keep_memory(int64_t cap_bytes) {
  std::lock_guard<std::mutex> lock(bins_mutex);
  cap = cap_bytes;
  if (!installed) {
    c10::SetCPUAllocator(&allocator, /*priority=*/1);
    installed = true;
  }
  return 0;
}

void fk_trim() {
  std::lock_guard<std::mutex> lock(bins_mutex);
  for (auto& bin : bins) {
    for (auto* header : bin) std::free(header);
    bin.clear();
  }
  cached = 0;
}

void fk_memory(int64_t* live_bytes, int64_t* cached_bytes, int64_t* peak_bytes) {
  *live_bytes = live.load();
  *peak_bytes = peak.load();
  std::lock_guard<std::mutex> lock(bins_mutex);
  *cached_bytes = cached;
}
