// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs kernels in the emulator of Metal. mlx/backend/gpu chooses the kernels
// and plans their launches.

#include <dlfcn.h>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "metal/emulator/abi.h"
#include "mlx/backend/gpu/kernel_encoder.h"
#include "mlx/backend/gpu/plan_launches.h"
#include "overlay/backend/gpu/kernel_record.h"
#include "overlay/backend/gpu/partition.h"
#include "overlay/backend/gpu/route.h"
#include "tests/hooks/hooks.h"

namespace hooks {

namespace {

namespace gpu = mx::gpu;
using gpu::KernelArray;

struct Emulator {
  decltype(&emulator_launch) launch{nullptr};
  decltype(&emulator_error) error{nullptr};
  uint64_t seed{0};
  emulator_counts counts{};
  std::string errors;
  std::string missing;
  std::optional<gpu::TopKKernel> forced;
};

std::mutex mutex;
std::atomic<bool> active{false};

Emulator& emulator() {
  static Emulator emulator_;
  return emulator_;
}

/**
 * The memory of an array: `bytes` bytes from `start` on. The element with index
 * 0 along every axis is `origin` bytes after `start`.
 */
struct Memory {
  char* start;
  uint64_t bytes;
  uint64_t origin;
};

/** Fills memory with bytes that cannot be taken for a result. */
Memory without_content(void* start, uint64_t bytes) {
  std::memset(start, 0xa5, bytes);
  return {static_cast<char*>(start), bytes, 0};
}

/**
 * Returns the bytes from the first to the last element of the rows. The
 * allocation may be larger, which would hide accesses outside the rows.
 */
Memory memory_of(const mx::RowPlan& rows, const void* in, int64_t itemsize) {
  int64_t first = 0;
  int64_t last = 0;
  auto reach = [&](int64_t size, int64_t stride) {
    first += std::min<int64_t>((size - 1) * stride, 0);
    last += std::max<int64_t>((size - 1) * stride, 0);
  };
  reach(rows.axis_size, rows.in_axis_stride);
  for (size_t i = 0; i < rows.shape.size(); ++i) {
    reach(rows.shape[i], rows.in_strides[i]);
  }
  auto start = static_cast<char*>(const_cast<void*>(in)) + first * itemsize;
  return {
      start,
      static_cast<uint64_t>((last - first + 1) * itemsize),
      static_cast<uint64_t>(-first * itemsize)};
}

/**
 * A copy of the input, placed as a GPU's allocator would place it. MLX's
 * allocator for the CPU returns addresses that are 8 modulo 16. Its allocators
 * for GPUs return multiples of 16. Memory of more than 1 GiB is not copied,
 * because most of its pages may never have been used, and a copy would use
 * them all.
 */
class PlacedInput {
 public:
  PlacedInput(const mx::RowPlan& rows, const void* in, int64_t itemsize)
      : memory_(memory_of(rows, in, itemsize)) {
    if (memory_.bytes > uint64_t(1) << 30) {
      return;
    }
    copy_ = std::make_unique<char[]>(memory_.bytes + 16);
    auto wanted = (reinterpret_cast<uintptr_t>(in) - 8) % 16;
    auto found = reinterpret_cast<uintptr_t>(copy_.get()) + memory_.origin;
    auto start = copy_.get() + (wanted - found) % 16;
    std::memcpy(start, memory_.start, memory_.bytes);
    memory_.start = start;
    aligned_ = wanted == 0;
  }

  const Memory& memory() const {
    return memory_;
  }
  bool aligned() const {
    return aligned_;
  }

 private:
  Memory memory_;
  std::unique_ptr<char[]> copy_;
  bool aligned_{false};
};

/** Runs each launch as soon as it is encoded. */
class EmulatedEncoder : public gpu::KernelEncoder {
 public:
  explicit EmulatedEncoder(std::map<KernelArray, Memory> memory)
      : memory_(std::move(memory)) {}

  void add_scratch(const gpu::Scratch& scratch) override {
    auto bytes = std::max<int64_t>(scratch.bytes, 1);
    scratch_.push_back(std::make_unique<uint64_t[]>(bytes / 8 + 1));
    memory_[scratch.array] = without_content(scratch_.back().get(), bytes);
  }

  void set_kernel(const gpu::Launch&) override {
    buffers_.clear();
    threadgroup_memory_.clear();
  }

  void set_array(const gpu::KernelBuffer& buffer) override {
    auto& memory = memory_.at(buffer.array);
    // The last two flags of an output: the kernel may write it, and reading it
    // before that is a mistake.
    buffers_.push_back(
        {buffer.index,
         memory.start,
         memory.bytes,
         memory.origin,
         buffer.written,
         buffer.written});
  }

  void set_bytes(const void* data, size_t bytes, int index) override {
    buffers_.push_back({index, const_cast<void*>(data), bytes, 0, 0, 0});
  }

  void set_threadgroup_memory(size_t bytes, int index) override {
    threadgroup_memory_.push_back({index, bytes});
  }

  void launch(const gpu::Launch& launch) override {
    emulator_dispatch call{};
    call.kernel = launch.kernel.c_str();
    call.buffers = buffers_.data();
    call.buffer_count = buffers_.size();
    call.threadgroup_memory = threadgroup_memory_.data();
    call.threadgroup_memory_count = threadgroup_memory_.size();
    std::copy_n(launch.groups.begin(), 3, call.threadgroups);
    call.threads[0] = launch.threads;
    call.threads[1] = call.threads[2] = 1;
    call.seed = emulator().seed;
    if (emulator().launch(&call, &emulator().counts) != 0) {
      emulator().errors += launch.kernel + ": " + emulator().error() + "\n";
    }
  }

 private:
  std::map<KernelArray, Memory> memory_;
  std::vector<std::unique_ptr<uint64_t[]>> scratch_;
  std::vector<emulator_buffer> buffers_;
  std::vector<emulator_threadgroup_memory> threadgroup_memory_;
};

template <typename Function>
void look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) {
    throw std::runtime_error(
        std::string("[emulate_metal] The library has no function ") + name +
        ".");
  }
}

/**
 * Returns whether there is a plan and all its kernels can be used. A kernel
 * cannot be used if emulate_metal was told that it is missing.
 */
bool can_run(const std::optional<gpu::LaunchPlan>& plan) {
  return plan && gpu::prepare(*plan, [](const gpu::Launch& launch) {
           auto& missing = emulator().missing;
           if (!missing.empty() && launch.kernel.rfind(missing, 0) == 0) {
             throw std::runtime_error("a test has declared it missing.");
           }
         });
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
  gpu::forget_broken_kernels();
  active = true;
}

bool emulates_metal() {
  return active;
}

void force_metal_kernel(std::optional<gpu::TopKKernel> kernel) {
  std::lock_guard lock(mutex);
  emulator().forced = kernel;
}

gpu::LaunchTuning metal_tuning() {
  auto tuning = gpu::launch_tuning();
  if (emulator().forced) {
    tuning.only = emulator().forced;
  }
  return tuning;
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

bool emulate(const mx::cpu::TopKJob& job) {
  std::lock_guard lock(mutex);
  auto& rows = job.plan->rows;
  int64_t itemsize = mx::size_of(job.dtype);
  PlacedInput in(rows, job.in, itemsize);
  auto plan = gpu::plan_topk_launches(
      rows,
      in.aligned(),
      job.dtype,
      job.plan->k,
      job.mode,
      job.sorted ? mx::TopKOrder::sorted : mx::TopKOrder::unsorted,
      job.indices != nullptr,
      metal_tuning());
  if (!can_run(plan)) {
    return false;
  }
  auto size = rows.rows * job.plan->k;
  auto values = without_content(job.values, size * itemsize);
  EmulatedEncoder encoder(
      {{KernelArray::input, in.memory()},
       {KernelArray::values, values},
       // A kernel leaves the array of an unwanted output alone.
       {KernelArray::indices,
        job.indices ? without_content(job.indices, size * 4) : values}});
  gpu::encode(*plan, encoder);
  return true;
}

bool emulate(const mx::cpu::SortJob& job) {
  std::lock_guard lock(mutex);
  auto& rows = *job.rows;
  int64_t itemsize = mx::size_of(job.dtype);
  PlacedInput in(rows, job.in, itemsize);
  bool of_values = job.output == mx::cpu::SortOutput::values;
  auto plan = gpu::plan_partition(
      rows,
      in.aligned(),
      job.dtype,
      *job.kth,
      of_values ? mx::SortResult::values : mx::SortResult::indices,
      metal_tuning());
  if (!can_run(plan)) {
    return false;
  }
  auto size = rows.rows * rows.axis_size;
  auto out = without_content(job.out, size * (of_values ? itemsize : 4));
  EmulatedEncoder encoder(
      {{KernelArray::input, in.memory()},
       // A partition writes only one of these two, so both can be `out`.
       {KernelArray::values, out},
       {KernelArray::indices, out}});
  gpu::encode(*plan, encoder);
  return true;
}

bool emulate(const mx::cpu::RouteJob& job) {
  std::lock_guard lock(mutex);
  auto& rows = *job.rows;
  int64_t itemsize = mx::size_of(job.dtype);
  PlacedInput in(rows, job.logits, itemsize);
  auto plan = gpu::plan_route(
      rows,
      job.dtype,
      *job.settings,
      job.bias ? std::optional(job.bias_stride) : std::nullopt,
      job.scores != nullptr,
      metal_tuning());
  if (!can_run(plan)) {
    emulator().errors += "no kernel can route this\n";
    return false;
  }
  auto size = rows.rows * job.settings->k;
  auto weights = without_content(job.weights, size * itemsize);
  // A kernel leaves the arrays of a bias and of scores alone if there are none.
  Memory bias = in.memory();
  if (job.bias) {
    bias = memory_of(
        {0, rows.axis_size, job.bias_stride, 0, {}, {}, {}, 0}, job.bias, 4);
  }
  EmulatedEncoder encoder(
      {{KernelArray::input, in.memory()},
       {KernelArray::bias, bias},
       {KernelArray::values, weights},
       {KernelArray::indices, without_content(job.indices, size * 4)},
       {KernelArray::scores,
        job.scores ? without_content(job.scores, rows.rows * rows.axis_size * 4)
                   : weights}});
  gpu::encode(*plan, encoder);
  return true;
}

bool emulate(const mx::cpu::RouteGradientJob& job) {
  std::lock_guard lock(mutex);
  int64_t itemsize = mx::size_of(job.dtype);
  auto& rows = job.logits.rows;
  auto plan = gpu::plan_route_gradient(
      rows, job.dtype, *job.settings, bool(job.of_scores), metal_tuning());
  if (!can_run(plan)) {
    emulator().errors += "no kernel can compute this gradient\n";
    return false;
  }
  auto memory = [](const mx::cpu::RowsOf& a, int64_t itemsize) {
    return memory_of(a.rows, a.data, itemsize);
  };
  auto out = without_content(job.out, rows.rows * rows.axis_size * itemsize);
  EmulatedEncoder encoder(
      {{KernelArray::input, memory(job.logits, itemsize)},
       {KernelArray::values, out},
       {KernelArray::chosen, memory(job.indices, 4)},
       {KernelArray::scores, memory(job.scores, 4)},
       {KernelArray::of_weights, memory(job.of_weights, itemsize)},
       // The kernel leaves this array alone if there are no such cotangents.
       {KernelArray::of_scores,
        job.of_scores ? memory(*job.of_scores, 4) : out}});
  gpu::encode(*plan, encoder);
  return true;
}

} // namespace hooks
