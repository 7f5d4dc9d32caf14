// Copyright © 2026 the mlx-topk authors. MIT licence.

// TopK on Metal. The kernels are in kernels/topk.h; which of them, and with
// what, is in topk_dispatch.

#include <stdexcept>

#include "mlx/allocator.h"
#include "mlx/backend/gpu_selection.h"
#include "mlx/backend/metal/device.h"
#include "mlx/backend/metal/kernels.h"
#include "mlx/backend/metal/topk_dispatch.h"
#include "mlx/primitives.h"

namespace mlx::core {

namespace {

class MetalEncoder : public metal::KernelEncoder {
 public:
  explicit MetalEncoder(Stream stream)
      : device_(metal::device(stream.device)),
        encoder_(metal::get_command_encoder(stream)) {}

  array scratch(int64_t bytes) override {
    auto result = metal::scratch_array(bytes);
    result.set_data(allocator::malloc(result.nbytes()));
    encoder_.add_temporary(result);
    return result;
  }

  void set_kernel(const metal::Dispatch& dispatch) override {
    encoder_.set_compute_pipeline_state(
        get_topk_kernel(device_, dispatch.kernel, dispatch.instantiation));
  }

  void set_input(const array& a, int index) override {
    encoder_.set_input_array(a, index);
  }

  void set_output(array& a, int index) override {
    encoder_.set_output_array(a, index);
  }

  void set_bytes(const void* data, size_t bytes, int index) override {
    encoder_.set_bytes(static_cast<const char*>(data), bytes, index);
  }

  void set_threadgroup_memory(size_t bytes, int index) override {
    encoder_.set_threadgroup_memory_length(bytes, index);
  }

  void launch(const metal::Dispatch& dispatch) override {
    auto& [x, y, z] = dispatch.groups;
    encoder_.dispatch_threadgroups(
        MTL::Size(x, y, z), MTL::Size(dispatch.threads, 1, 1));
  }

 private:
  metal::Device& device_;
  metal::CommandEncoder& encoder_;
};

} // namespace

bool gpu_has_topk(const array& a, int, int k) {
  return metal::can_topk(a.dtype(), k);
}

void TopK::eval_gpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& in = inputs[0];
  auto selection = metal::plan_topk(in, axis_, k_, mode_, order_);
  if (!selection) {
    throw std::runtime_error("[TopK::eval_gpu] has no kernel for this input.");
  }
  for (auto& output : outputs) {
    output.set_data(allocator::malloc(output.nbytes()));
  }
  MetalEncoder encoder(stream());
  metal::encode(*selection, in, &outputs[0], &outputs[1], encoder);
}

} // namespace mlx::core
