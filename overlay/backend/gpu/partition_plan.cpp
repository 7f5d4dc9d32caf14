// Copyright © 2026 the mlx-topk authors. MIT licence.

// Plans partitions. A partition selects the elements on one side of kth, and
// then copies all others.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "mlx/backend/gpu/plan_launches.h"
#include "overlay/backend/gpu/partition.h"

namespace mlx::core::gpu {

namespace {

// Returns whether the kernels select the elements from kth to the end of the
// sorted row, because these are fewer than the elements up to kth. There a
// greater element is better, and among equal elements the one with the higher
// index. The kernels prefer the lower index, so they read and write such a row
// from its end: it is mirrored.
bool selects_from_right(int64_t axis_size, int64_t kth) {
  return axis_size - kth < kth + 1;
}

int64_t selected_for(int64_t axis_size, int64_t kth) {
  return selects_from_right(axis_size, kth) ? axis_size - kth : kth + 1;
}

void write_mirrored(TopKArguments& args) {
  args.out_start += (int64_t(args.axis_size) - 1) * args.out_stride;
  args.out_stride = -args.out_stride;
  args.mirrored = 1;
}

/** Returns the same rows with an output of k elements each, contiguous. */
RowPlan with_contiguous_output(RowPlan rows, int64_t k) {
  rows.out_axis_stride = 1;
  int64_t stride = k;
  for (int i = static_cast<int>(rows.shape.size()) - 1; i >= 0; --i) {
    rows.out_strides[i] = stride;
    stride *= rows.shape[i];
  }
  return rows;
}

LaunchPlan plan_in_registers(const Selection& selection) {
  auto launch = short_row_launch(selection);
  launch.arguments.writes_rest = 1;
  if (selection.mirrored) {
    write_mirrored(launch.arguments);
  }
  return {{std::move(launch)}, {}};
}

/**
 * Returns into how many segments topk_rest divides a row. Each threadgroup
 * reads the k positions, so short segments would read these more often than
 * elements. But they occupy more of the GPU's cores if there are few rows.
 */
int64_t rest_segments(const Selection& selection, const LaunchTuning& tuning) {
  constexpr int64_t longest = 8192;
  auto rows = selection.rows.rows;
  auto size = selection.rows.axis_size;
  bool many = rows * ceildiv(size, longest) >= 1024;
  auto segment =
      many ? longest : std::clamp(4 * selection.k, longest / 4, longest);
  return ceildiv(size, std::min(segment, tuning.resident_size));
}

/**
 * Returns whether the strides of the axis fit into 32 bits, as topk_rest needs.
 * No memory has room for long rows with greater strides.
 */
bool has_narrow_strides(const RowPlan& rows) {
  auto fits = [](int64_t stride) {
    // The stride of a mirrored row has the opposite sign.
    return std::abs(stride) < int64_t(1) << 31;
  };
  return fits(rows.in_axis_stride) && fits(rows.out_axis_stride);
}

/** Selects into scratch, from which topk_rest writes all of the output. */
LaunchPlan plan_with_rest(
    const Selection& selection,
    const LaunchTuning& tuning) {
  auto first = selection;
  first.rows = with_contiguous_output(selection.rows, selection.k);
  first.writes_values = false;
  first.writes_indices = true;
  auto plan = plan_selection(first, tuning);
  for (auto& launch : plan.launches) {
    for (auto& buffer : launch.buffers) {
      if (buffer.array == KernelArray::indices) {
        buffer.array = KernelArray::best_positions;
      }
    }
  }
  plan.scratch.push_back(
      {KernelArray::best_positions, selection.rows.rows * selection.k * 4});

  auto rest =
      base_launch(selection, "topk_rest", rest_segments(selection, tuning));
  bind_outputs(rest);
  rest.buffers.push_back({6, KernelArray::best_positions, false});
  if (selection.mirrored) {
    write_mirrored(rest.arguments);
  }
  plan.launches.push_back(std::move(rest));
  return plan;
}

} // namespace

bool can_partition(
    Dtype dtype,
    int64_t axis_size,
    int64_t kth,
    const LaunchTuning& tuning) {
  auto k = selected_for(axis_size, kth);
  if (!tuning.enabled || !key_type_of(dtype)) {
    return false;
  }
  bool long_enough = axis_size > tuning.partition_size || tuning.only;
  return fits_registers(axis_size, k, tuning) ||
      (k <= tuning.selected_k && long_enough);
}

std::optional<LaunchPlan> plan_partition(
    const RowPlan& rows,
    bool aligned,
    Dtype dtype,
    int64_t kth,
    SortResult result,
    const LaunchTuning& tuning) {
  auto size = rows.axis_size;
  if (!can_partition(dtype, size, kth, tuning)) {
    return {};
  }
  if (size == 0 || rows.rows == 0) {
    return LaunchPlan{};
  }
  bool mirror = selects_from_right(size, kth);
  auto k = selected_for(size, kth);
  Selection selection{
      rows,
      key_type_of(dtype),
      static_cast<int64_t>(size_of(dtype)),
      k,
      !mirror,
      true,
      result == SortResult::values,
      result == SortResult::indices,
      mirror,
      aligned};
  if (fits_registers(size, k, tuning)) {
    return plan_in_registers(selection);
  }
  if (!has_narrow_strides(rows)) {
    return {};
  }
  return plan_with_rest(selection, tuning);
}

} // namespace mlx::core::gpu
