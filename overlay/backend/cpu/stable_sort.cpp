// Copyright © 2026 the mlx-topk authors. MIT licence.

// StableSort on the CPU: allocates the output and hands a job to the kernels in
// mlx/backend/cpu/selection.

#include "overlay/stable_sort.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mlx/backend/cpu/array_data.h"
#include "mlx/backend/cpu/distinct_rows.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/split_rows.h"

namespace mlx::core {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 15;

namespace {

// Returns the position at which to partition an axis of ``size`` elements, so
// that all of ``kths`` hold the right elements. Returns nothing if the axis has
// to be sorted.
std::optional<size_t> position_to_partition(
    std::span<const int> kths,
    int size) {
  if (kths.empty()) {
    return {};
  }
  int first = size;
  int last = 0;
  for (int kth : kths) {
    kth += kth < 0 ? size : 0;
    first = std::min(first, kth);
    last = std::max(last, kth);
  }
  if (first == last) {
    return first;
  }
  // A partition leaves the smaller side of its position in order, together with
  // that position, if they have few elements (SortJob).
  constexpr int few = TopKTuning::ordered_k;
  if (last + 1 <= std::min(few, size - last)) {
    return last;
  }
  if (size - first <= std::min(few, first)) {
    return first;
  }
  return {};
}

} // namespace

void StableSort::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  if (result_ == SortResult::values && in.strides()[axis_] == 0 &&
      in.size() > 0) {
    // All elements of a row are the same element.
    out.copy_shared_buffer(in);
    return;
  }
  cpu::allocate_distinct_rows(out, in, axis_);

  auto size = in.shape(axis_);
  auto kth = position_to_partition(kths_, size);
  auto output = result_ == SortResult::values ? cpu::SortOutput::values
                                              : cpu::SortOutput::indices;
  auto mode = direction_ == SortDirection::ascending ? TopKMode::smallest
                                                     : TopKMode::largest;
  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  encoder.dispatch([in = cpu::ArrayData(in),
                    out = cpu::ArrayData(out),
                    dtype = in.dtype(),
                    plan = cpu::plan_distinct_rows(in, axis_, size),
                    mode,
                    output,
                    kth] {
    if (plan.axis_size == 0) {
      return;
    }
    auto rows = plan.expand();
    cpu::SortJob job{
        &rows, mode, 1, kth, output, dtype, in.get<void>(), out.get<void>()};
    auto& kernels = cpu::selection_kernels();
    // Several rows go to a thread each, since not every sort and partition of
    // one row can be divided.
    if (rows.rows == 1 && rows.axis_size > 2 * elements_per_part) {
      job.threads_per_row = selection::threads();
      cpu::BusyThread busy;
      return kernels.sort(job, 0, 1);
    }
    cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
      kernels.sort(job, first, last);
    });
  });
}

} // namespace mlx::core
