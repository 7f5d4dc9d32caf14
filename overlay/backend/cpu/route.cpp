// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route and RouteGradient on the CPU: allocate the outputs and hand a job to
// the kernels in route/.

#include "overlay/route.h"

#include <optional>

#include "mlx/allocator.h"
#include "mlx/backend/cpu/array_data.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/split_rows.h"
#include "overlay/backend/cpu/route/kernels.h"
#include "overlay/route_gradient.h"

namespace mlx::core {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 14;

namespace {

std::optional<cpu::ArrayData> data_of(
    const std::vector<array>& arrays,
    size_t i) {
  if (i >= arrays.size()) {
    return {};
  }
  return cpu::ArrayData(arrays[i]);
}

/** The rows of an array along its last axis, and those of an output. */
CompactRowPlan plan_last_axis(const array& a, int out_axis_size) {
  return {
      a.shape(), a.strides(), static_cast<int>(a.ndim()) - 1, out_axis_size};
}

/** What a task keeps of an input. */
struct Input {
  explicit Input(const array& a)
      : data(a), plan(plan_last_axis(a, a.shape(-1))) {}

  cpu::RowsOf rows() const {
    return {data.get<void>(), plan.expand()};
  }

  cpu::ArrayData data;
  CompactRowPlan plan;
};

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
  encoder.dispatch([logits = cpu::ArrayData(inputs[0]),
                    plan = plan_last_axis(inputs[0], settings_.k),
                    dtype = inputs[0].dtype(),
                    bias = data_of(inputs, 1),
                    bias_stride = inputs.size() > 1 ? inputs[1].strides(0) : 0,
                    weights = cpu::ArrayData(outputs[0]),
                    indices = cpu::ArrayData(outputs[1]),
                    scores = data_of(outputs, 2),
                    route = settings_] {
    auto rows = plan.expand();
    cpu::RouteJob job{
        &route,
        &rows,
        dtype,
        logits.get<void>(),
        bias ? bias->get<float>() : nullptr,
        bias_stride,
        weights.get<void>(),
        indices.get<uint32_t>(),
        scores ? scores->get<float>() : nullptr};
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
  std::vector<Input> in;
  in.reserve(inputs.size());
  for (auto& input : inputs) {
    encoder.set_input_array(input);
    in.emplace_back(input);
  }
  encoder.set_output_array(out);
  encoder.dispatch([in = std::move(in),
                    out = cpu::ArrayData(out),
                    dtype = out.dtype(),
                    route = settings_] {
    cpu::RouteGradientJob job{
        &route,
        dtype,
        in[0].rows(),
        in[1].rows(),
        in[2].rows(),
        in[3].rows(),
        {},
        out.get<void>()};
    if (in.size() > 4) {
      job.of_scores = in[4].rows();
    }
    auto& kernels = cpu::route_kernels();
    auto& rows = job.scores.rows;
    cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
      kernels.gradient(job, first, last);
    });
  });
}

} // namespace mlx::core
