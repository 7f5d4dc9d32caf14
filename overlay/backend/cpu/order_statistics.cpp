// Copyright © 2026 the mlx-topk authors. MIT licence.

// OrderStatistics on the CPU: allocates the outputs and hands a job to the
// kernels in mlx/backend/cpu/selection.

#include "overlay/order_statistics.h"

#include <optional>

#include "mlx/backend/cpu/array_data.h"
#include "mlx/backend/cpu/distinct_rows.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/split_rows.h"
#include "mlx/ops.h"

namespace mlx::core {

namespace {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 15;

void run_job(cpu::OrderStatisticsJob& job) {
  auto& kernels = cpu::selection_kernels();
  auto& rows = *job.rows;
  if (rows.rows == 1) {
    job.threads_per_row = selection::threads();
    cpu::BusyThread busy;
    kernels.order_statistics(job, 0, 1);
    return;
  }
  cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
    kernels.order_statistics(job, first, last);
  });
}

// Returns a row-contiguous copy of the places.
std::vector<uint32_t> copied(const array& places) {
  std::vector<uint32_t> copy;
  copy.reserve(places.size());
  auto& shape = places.shape();
  auto& strides = places.strides();
  auto data = places.data<uint32_t>();
  for (size_t i = 0; i < places.size(); ++i) {
    int64_t offset = 0;
    auto rest = static_cast<int64_t>(i);
    for (int axis = places.ndim() - 1; axis >= 0; --axis) {
      offset += rest % shape[axis] * strides[axis];
      rest /= shape[axis];
    }
    copy.push_back(data[offset]);
  }
  return copy;
}

} // namespace

void OrderStatistics::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& in = inputs[0];
  std::optional<array> given;
  if (inputs.size() > 1) {
    given = array::unsafe_weak_copy(inputs[1]);
  }
  bool own_places = given && given->ndim() > 1;
  auto count = outputs[0].shape(axis_);
  auto plan = own_places
      ? CompactRowPlan(in.shape(), in.strides(), axis_, count)
      : cpu::plan_distinct_rows(in, axis_, count);
  for (auto& output : outputs) {
    if (own_places) {
      output.set_data(allocator::malloc(output.nbytes()));
    } else {
      // Rows that repeat have the same places.
      cpu::allocate_distinct_rows(output, in, axis_);
    }
  }

  auto& encoder = cpu::get_command_encoder(stream());
  for (auto& input : inputs) {
    encoder.set_input_array(input);
  }
  for (auto& output : outputs) {
    encoder.set_output_array(output);
  }
  encoder.dispatch([in = cpu::ArrayData(in),
                    dtype = in.dtype(),
                    values = cpu::ArrayData(outputs[0]),
                    indices = cpu::ArrayData(outputs[1]),
                    plan = std::move(plan),
                    places_per_row = count,
                    places = places_,
                    given,
                    own_places,
                    mode = mode_,
                    nan_wins = nan_ == NanRule::wins]() mutable {
    if (plan.rows == 0 || places_per_row == 0) {
      return;
    }
    auto rows = plan.expand();
    if (given) {
      places = copied(*given);
    }
    cpu::OrderStatisticsJob job{
        &rows,
        mode,
        nan_wins,
        1,
        static_cast<size_t>(places_per_row),
        own_places,
        places.data(),
        dtype,
        in.get<void>(),
        values.get<void>(),
        indices.get<uint32_t>()};
    run_job(job);
  });
}

} // namespace mlx::core
