// Copyright © 2026 the mlx-topk authors. MIT licence.

// Records the launches of backend/gpu with Metal's command encoder.

#include <optional>
#include <utility>
#include <vector>

#include "mlx/allocator.h"
#include "mlx/backend/gpu/device.h"
#include "mlx/backend/gpu/kernel_encoder.h"
#include "mlx/backend/metal/device.h"
#include "mlx/backend/metal/kernel_library.h"

namespace mlx::core::gpu {

namespace {

class MetalEncoder : public KernelEncoder {
 public:
  MetalEncoder(KernelArrays arrays, const Stream& s)
      : arrays_(std::move(arrays)),
        device_(metal::device(s.device)),
        encoder_(metal::get_command_encoder(s)) {}

  void add_scratch(const Scratch& scratch) override {
    auto& memory = arrays_.add_scratch(scratch);
    memory.set_data(allocator::malloc(memory.nbytes()));
    encoder_.add_temporary(memory);
  }

  void set_kernel(const Launch& launch) override {
    encoder_.set_compute_pipeline_state(metal::topk_kernel(device_, launch));
  }

  void set_array(const KernelBuffer& buffer) override {
    if (buffer.written) {
      encoder_.set_output_array(arrays_.get_output(buffer.array), buffer.index);
    } else {
      encoder_.set_input_array(arrays_.get(buffer.array), buffer.index);
    }
  }

  void set_bytes(const void* data, size_t bytes, int index) override {
    encoder_.set_bytes(static_cast<const char*>(data), bytes, index);
  }

  void set_threadgroup_memory(size_t bytes, int index) override {
    encoder_.set_threadgroup_memory_length(bytes, index);
  }

  void launch(const Launch& launch) override {
    auto& [x, y, z] = launch.groups;
    encoder_.dispatch_threadgroups(
        MTL::Size(x, y, z), MTL::Size(launch.threads, 1, 1));
  }

 private:
  KernelArrays arrays_;
  metal::Device& device_;
  metal::CommandEncoder& encoder_;
};

} // namespace

bool kernels_available() {
  return true;
}

bool run(
    const std::optional<LaunchPlan>& plan,
    const array& in,
    array* values,
    array* indices,
    const Stream& s,
    const MoreArrays& more) {
  if (!plan || !metal::has_kernels(metal::device(s.device), *plan)) {
    return false;
  }
  for (auto output : {values, indices}) {
    if (output) {
      output->set_data(allocator::malloc(output->nbytes()));
    }
  }
  KernelArrays arrays(in, values, indices);
  for (auto [name, a, is_output] : more) {
    if (is_output) {
      a.set_data(allocator::malloc(a.nbytes()));
    }
    arrays.add(name, a);
  }
  MetalEncoder encoder(std::move(arrays), s);
  encode(*plan, encoder);
  return true;
}

void add_temporaries(const std::vector<array>& arrays, const Stream& s) {
  metal::get_command_encoder(s).add_temporaries(arrays);
}

} // namespace mlx::core::gpu
