// Copyright © 2026 the mlx-topk authors. MIT licence.

// Records the launches of backend/gpu in the CUDA graph of a stream, if the
// libmlx that is loaded has CUDA.

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "mlx/allocator.h"
#include "mlx/backend/gpu/device.h"
#include "mlx/backend/gpu/kernel_encoder.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"
#include "overlay/backend/cuda/loaded_kernels.h"
#include "overlay/backend/cuda/mlx_cuda.h"
#include "overlay/backend/gpu/kernel_record.h"

namespace mlx::core::gpu {

namespace {

// The length of the table of axes, which the kernels take by value. It has 3
// numbers for each axis, so this is enough for 8 axes. Adjacent axes that one
// stride serves have been merged, so few arrays have more.
constexpr size_t axes_table_size = 24;

/** Returns an array without elements whose flags say that it has gaps. */
array strided_empty_array() {
  array empty({0}, float32, nullptr, {});
  array::Flags flags{};
  flags.contiguous = flags.row_contiguous = flags.col_contiguous = false;
  empty.set_data(allocator::malloc(0), 0, {1}, flags);
  return empty;
}

/**
 * Allocates an array in the GPU's memory, in the order of the stream of the
 * array's primitive.
 *
 * MLX does not export its own function for this. Instead this evaluates MLX's
 * primitive Negative for an input that has no elements and is not contiguous.
 * Negative allocates its output in the wanted way, and then has nothing to
 * compute. allocator::malloc is not used, because it returns memory that the
 * CPU shares, and waits for the GPU before it reuses a buffer.
 */
void allocate(array& out) {
  // These are never destroyed. At the end of the process MLX's allocator may be
  // gone before them.
  static const auto& inputs = *new std::vector<array>{strided_empty_array()};
  static const auto& primitive =
      *new std::shared_ptr<Primitive>(negative(array(1.0f)).primitive_ptr());
  if (out.has_primitive()) {
    std::vector<array> outputs{out};
    primitive->eval_gpu(inputs, outputs);
  }
  if (!out.data_shared_ptr()) {
    out.set_data(allocator::malloc(out.nbytes()));
  }
}

/** Returns the address of an array's first element in the GPU's memory. */
char* address_of(const array& a) {
  // A buffer of MLX's CUDA back end begins with the address of its data.
  auto data = *static_cast<char* const*>(a.buffer().ptr());
  return data + a.offset();
}

class CudaEncoder : public KernelEncoder {
 public:
  CudaEncoder(KernelArrays arrays, const Stream& s)
      : arrays_(std::move(arrays)),
        stream_(s),
        encoder_(cu::get_command_encoder(s)) {}

  void add_scratch(const Scratch& scratch) override {
    auto& memory = arrays_.add_scratch(scratch);
    allocate(memory);
    encoder_.add_completed_handler([memory]() {});
  }

  void set_kernel(const Launch&) override {
    parameters_ = {};
  }

  void set_array(const KernelBuffer& buffer) override {
    auto& a = arrays_.get(buffer.array);
    if (buffer.written) {
      encoder_.set_output_array(a);
    } else {
      encoder_.set_input_array(a);
    }
    addresses_[buffer.index] = address_of(a);
    parameters_[buffer.index] = &addresses_[buffer.index];
  }

  void set_bytes(const void* data, size_t bytes, int index) override {
    if (index == Launch::axes_index) {
      std::memcpy(axes_.data(), data, bytes);
      data = axes_.data();
    }
    parameters_[index] = const_cast<void*>(data);
  }

  // Does nothing, because CUDA has one block of shared memory for a launch.
  // launch() passes its size.
  void set_threadgroup_memory(size_t, int) override {}

  void launch(const Launch& launch) override {
    auto [x, y, z] = launch.groups;
    auto kernel = cuda::load_kernel(launch, stream_.device.index);
    // A kernel has parameters only for the buffers that it uses. So removes the
    // gaps that the indices of other buffers leave.
    auto end = std::remove(parameters_.begin(), parameters_.end(), nullptr);
    std::fill(end, parameters_.end(), nullptr);
    encoder_.add_kernel_node_raw(
        kernel,
        {x, y, z},
        {launch.threads, 1, 1},
        {0, 0, 0},
        cuda::shared_bytes(launch),
        parameters_.data());
  }

 private:
  static constexpr int most_buffers = 9;

  KernelArrays arrays_;
  Stream stream_;
  cu::CommandEncoder& encoder_;
  std::array<int64_t, axes_table_size> axes_{};
  std::array<char*, most_buffers> addresses_{};
  std::array<void*, most_buffers> parameters_{};
};

bool fits_parameters(const LaunchPlan& plan) {
  return std::all_of(
      plan.launches.begin(), plan.launches.end(), [](const Launch& launch) {
        return launch.axes.size() <= axes_table_size;
      });
}

} // namespace

bool kernels_available() {
  return &cu::get_command_encoder != nullptr;
}

bool run(
    const std::optional<LaunchPlan>& plan,
    const array& in,
    array* values,
    array* indices,
    const Stream& s,
    const MoreArrays& more) {
  if (!plan || !fits_parameters(*plan)) {
    return false;
  }
  auto load = [&](const Launch& launch) {
    cuda::load_kernel(launch, s.device.index);
  };
  if (!prepare(*plan, load)) {
    return false;
  }
  for (auto output : {values, indices}) {
    if (output) {
      allocate(*output);
    }
  }
  KernelArrays arrays(in, values, indices);
  for (auto [name, a, is_output] : more) {
    if (is_output) {
      allocate(a);
    }
    arrays.add(name, a);
  }
  CudaEncoder encoder(std::move(arrays), s);
  encode(*plan, encoder);
  return true;
}

void add_temporaries(const std::vector<array>& arrays, const Stream& s) {
  cu::get_command_encoder(s).add_completed_handler([arrays]() {});
}

} // namespace mlx::core::gpu
