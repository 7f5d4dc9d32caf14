// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route and RouteGradient on the CPU: allocate the outputs and hand a job to
// the kernels in route/.

#include "overlay/route.h"

#include <optional>

#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/split_rows.h"
#include "overlay/backend/cpu/route/kernels.h"
#include "overlay/route_gradient.h"

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

/** Returns the rows of an array along its last axis. */
cpu::RowsOf rows_of(const array& a) {
  int axis = a.ndim() - 1;
  return {
      a.data<void>(), plan_rows(a.shape(), a.strides(), axis, a.shape(axis))};
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

void RouteGradient::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& out = outputs[0];
  out.set_data(allocator::malloc(out.nbytes()));
  auto& encoder = cpu::get_command_encoder(stream());
  std::vector<array> in;
  for (auto& input : inputs) {
    encoder.set_input_array(input);
    in.push_back(array::unsafe_weak_copy(input));
  }
  encoder.set_output_array(out);
  encoder.dispatch([in = std::move(in),
                    out = array::unsafe_weak_copy(out),
                    route = settings_]() mutable {
    cpu::RouteGradientJob job{
        &route,
        out.dtype(),
        rows_of(in[0]),
        rows_of(in[1]),
        rows_of(in[2]),
        rows_of(in[3]),
        {},
        out.data<void>()};
    if (in.size() > 4) {
      job.of_scores = rows_of(in[4]);
    }
    auto& kernels = cpu::route_kernels();
    auto& rows = job.scores.rows;
    cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
      kernels.gradient(job, first, last);
    });
  });
}

} // namespace mlx::core
