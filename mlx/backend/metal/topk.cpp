// Copyright © 2026 the mlx-topk authors. MIT licence.

// TopK and RowOrder on Metal. The kernels are compiled from the source that is
// in the library, when one is first asked for; where that fails upstream sorts.
// Compiled and linked for macOS; nobody has run it yet.

#include <stdexcept>

#include "mlx/allocator.h"
#include "mlx/backend/gpu_selection.h"
#include "mlx/backend/metal/device.h"
#include "mlx/backend/metal/topk_dispatch.h"
#include "mlx/backend/upstream_eval.h"
#include "mlx/selection_primitives.h"

namespace mlx::core {

namespace metal {

namespace {

class MetalEncoder : public KernelEncoder {
 public:
  explicit MetalEncoder(Stream stream)
      : device_(device(stream.device)), encoder_(get_command_encoder(stream)) {}

  void prepare(const Dispatch& dispatch) override {
    auto kernel = pipeline(dispatch);
    if (kernel->maxTotalThreadsPerThreadgroup() < dispatch.threads) {
      throw std::runtime_error(
          "[topk] " + dispatch.kernel +
          " needs more threads than it may have.");
    }
  }

  array scratch(int64_t bytes) override {
    auto result = scratch_array(bytes);
    result.set_data(allocator::malloc(result.nbytes()));
    encoder_.add_temporary(result);
    return result;
  }

  void set_kernel(const Dispatch& dispatch) override {
    encoder_.set_compute_pipeline_state(pipeline(dispatch));
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

  void launch(const Dispatch& dispatch) override {
    auto& [x, y, z] = dispatch.groups;
    encoder_.dispatch_threadgroups(
        MTL::Size(x, y, z), MTL::Size(dispatch.threads, 1, 1));
  }

 private:
  MTL::ComputePipelineState* pipeline(const Dispatch& dispatch) {
    auto library = device_.get_library(
        "mlx_topk_" + dispatch.kernel, [&] { return source_of(dispatch); });
    return device_.get_kernel(dispatch.kernel, library);
  }

  Device& device_;
  CommandEncoder& encoder_;
};

/** False: nothing was recorded, and it is upstream's turn. */
bool run(
    const std::optional<Selection>& selection,
    const array& in,
    array* values,
    array* indices,
    Stream stream) {
  MetalEncoder encoder(stream);
  if (!selection || !prepare(*selection, encoder)) {
    return false;
  }
  for (auto output : {values, indices}) {
    if (output) {
      output->set_data(allocator::malloc(output->nbytes()));
    }
  }
  encode(*selection, in, values, indices, encoder);
  return true;
}

} // namespace

} // namespace metal

bool gpu_has_topk(const array& a, int, int k) {
  return metal::can_topk(a.dtype(), k);
}

bool gpu_has_partition(const array& a, int axis, int kth) {
  int size = a.shape(axis);
  return metal::can_partition(a.dtype(), size, kth < 0 ? kth + size : kth);
}

void TopK::eval_gpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto selection = metal::plan_topk(inputs[0], axis_, k_, mode_, order_);
  if (!metal::run(selection, inputs[0], &outputs[0], &outputs[1], stream())) {
    eval_by_upstream(*this, inputs, outputs);
  }
}

void RowOrder::eval_gpu(const std::vector<array>& inputs, array& out) {
  bool of_values = result_ == OrderResult::values;
  std::optional<metal::Selection> selection;
  if (kth_) {
    auto size = inputs[0].shape(axis_);
    auto kth = *kth_ < 0 ? *kth_ + size : *kth_;
    selection = metal::plan_partition(inputs[0], axis_, kth, result_);
  }
  auto values = of_values ? &out : nullptr;
  auto indices = of_values ? nullptr : &out;
  if (!metal::run(selection, inputs[0], values, indices, stream())) {
    eval_by_upstream(*this, inputs, out);
  }
}

} // namespace mlx::core
