// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/metal/emulated.h"

#include <dlfcn.h>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "metal/emulator/abi.h"
#include "mlx/allocator.h"

namespace mlx::core::metal {

namespace {

struct Emulator {
  decltype(&emulator_launch) launch{nullptr};
  decltype(&emulator_error) error{nullptr};
  uint64_t seed{0};
  emulator_counts counts{};
  std::string errors;
  std::string missing;
};

std::mutex mutex;
std::atomic<bool> active{false};

Emulator& emulator() {
  static Emulator emulator_;
  return emulator_;
}

/** With nothing in it that could be taken for a result. */
void allocate(array& a) {
  a.set_data(allocator::malloc(a.nbytes()));
  std::memset(a.data<char>(), 0xa5, a.nbytes());
}

/** Runs each launch at once. */
class EmulatedEncoder : public KernelEncoder {
 public:
  void prepare(const Dispatch& dispatch) override {
    auto& missing = emulator().missing;
    if (!missing.empty() && dispatch.kernel.rfind(missing, 0) == 0) {
      throw std::runtime_error("it is missing, for a test.");
    }
  }

  array scratch(int64_t bytes) override {
    auto result = scratch_array(bytes);
    allocate(result);
    return result;
  }

  void set_kernel(const Dispatch&) override {
    buffers_.clear();
    threadgroup_memory_.clear();
  }

  void set_input(const array& a, int index) override {
    bind(a, index, false);
  }

  void set_output(array& a, int index) override {
    bind(a, index, true);
  }

  void set_bytes(const void* data, size_t bytes, int index) override {
    buffers_.push_back({index, const_cast<void*>(data), bytes, 0, 0, 0});
  }

  void set_threadgroup_memory(size_t bytes, int index) override {
    threadgroup_memory_.push_back({index, bytes});
  }

  void launch(const Dispatch& dispatch) override {
    emulator_dispatch call{};
    call.kernel = dispatch.kernel.c_str();
    call.buffers = buffers_.data();
    call.buffer_count = buffers_.size();
    call.threadgroup_memory = threadgroup_memory_.data();
    call.threadgroup_memory_count = threadgroup_memory_.size();
    std::copy_n(dispatch.groups.begin(), 3, call.threadgroups);
    call.threads[0] = dispatch.threads;
    call.threads[1] = call.threads[2] = 1;
    call.seed = emulator().seed;
    if (emulator().launch(&call, &emulator().counts) != 0) {
      emulator().errors += dispatch.kernel + ": " + emulator().error() + "\n";
    }
  }

 private:
  // From the first of the elements to the last, for its allocation may be
  // larger and hide what is beyond.
  void bind(const array& a, int index, bool written) {
    int64_t first = 0;
    int64_t last = 0;
    for (int i = 0; i < static_cast<int>(a.ndim()); ++i) {
      auto reach = (a.shape(i) - 1) * a.strides(i);
      first += std::min<int64_t>(reach, 0);
      last += std::max<int64_t>(reach, 0);
    }
    auto itemsize = static_cast<int64_t>(a.itemsize());
    auto start = const_cast<char*>(a.data<char>()) + first * itemsize;
    auto bytes = a.size() == 0 ? 0 : (last - first + 1) * itemsize;
    // The kernels write what nobody has written before.
    buffers_.push_back(
        {index,
         start,
         static_cast<uint64_t>(bytes),
         static_cast<uint64_t>(-first * itemsize),
         written,
         written});
  }

  std::vector<emulator_buffer> buffers_;
  std::vector<emulator_threadgroup_memory> threadgroup_memory_;
};

template <typename Function>
void look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) {
    throw std::runtime_error(std::string("[emulate_metal] no ") + name + ".");
  }
}

} // namespace

void emulate_metal(
    const std::string& path,
    uint64_t seed,
    const std::string& missing) {
  std::lock_guard lock(mutex);
  active = false;
  if (path.empty()) {
    return;
  }
  auto library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    throw std::runtime_error(std::string("[emulate_metal] ") + dlerror());
  }
  look_up(library, "emulator_launch", emulator().launch);
  look_up(library, "emulator_error", emulator().error);
  emulator().seed = seed;
  emulator().missing = missing;
  forget_broken_kernels();
  active = true;
}

bool emulates_metal() {
  return active;
}

EmulatedCounts take_emulated_counts() {
  std::lock_guard lock(mutex);
  auto counts = std::exchange(emulator().counts, emulator_counts{});
  return {
      counts.device_bytes_read,
      counts.device_bytes_written,
      counts.barriers,
      counts.collectives,
      counts.threadgroups,
      counts.launches};
}

std::string take_emulated_errors() {
  std::lock_guard lock(mutex);
  return std::exchange(emulator().errors, "");
}

bool emulate(
    const std::optional<Selection>& selection,
    const array& in,
    array* values,
    array* indices,
    cpu::CommandEncoder& encoder) {
  EmulatedEncoder kernels;
  if (!selection || !prepare(*selection, kernels)) {
    return false;
  }
  for (auto output : {values, indices}) {
    if (output) {
      allocate(*output);
    }
  }
  auto copy_of = [](array* a) {
    return a ? std::optional<array>(array::unsafe_weak_copy(*a)) : std::nullopt;
  };
  encoder.dispatch([selection = *selection,
                    in = array::unsafe_weak_copy(in),
                    values = copy_of(values),
                    indices = copy_of(indices)]() mutable {
    std::lock_guard lock(mutex);
    EmulatedEncoder encoder;
    encode(
        selection,
        in,
        values ? &*values : nullptr,
        indices ? &*indices : nullptr,
        encoder);
  });
  return true;
}

} // namespace mlx::core::metal
