// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route on the CPU: allocates the outputs and hands a job to the kernels in
// route/.

#include "overlay/route.h"

#include <optional>

#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/split_rows.h"
#include "overlay/backend/cpu/route/kernels.h"

namespace mlx::core {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 14;

namespace {

// A copy that does not count as a reference, so that buffers can be donated.
std::optional<array> weak_copy(const std::vector<array>& arrays, size_t i) {
  if (i >= arrays.size()) {
    return {};
  }
  return array::unsafe_weak_copy(arrays[i]);
}

} // namespace

void Route::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& encoder = cpu::get_command_encoder(stream());
  for (auto& input : inputs) {
    encoder.set_input_array(input);
  }
  for (auto& output : outputs) {
    output.set_data(allocator::malloc(output.nbytes()));
    encoder.set_output_array(output);
  }
  encoder.dispatch([logits = array::unsafe_weak_copy(inputs[0]),
                    bias = weak_copy(inputs, 1),
                    weights = array::unsafe_weak_copy(outputs[0]),
                    indices = array::unsafe_weak_copy(outputs[1]),
                    scores = weak_copy(outputs, 2),
                    route = settings_]() mutable {
    int axis = logits.ndim() - 1;
    auto rows = plan_rows(logits.shape(), logits.strides(), axis, route.k);
    cpu::RouteJob job{
        &route,
        &rows,
        logits.dtype(),
        logits.data<void>(),
        bias ? bias->data<float>() : nullptr,
        bias ? bias->strides(0) : 0,
        weights.data<void>(),
        indices.data<uint32_t>(),
        scores ? scores->data<float>() : nullptr};
    auto& kernels = cpu::route_kernels();
    cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
      kernels.route(job, first, last);
    });
  });
}

} // namespace mlx::core
