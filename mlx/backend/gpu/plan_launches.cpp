// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/gpu/plan_launches.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "mlx/utils.h"

namespace mlx::core::gpu {

namespace {

// The kernels define the same number.
constexpr int64_t group_threads = 256;

/**
 * Returns how many threadgroups share a row. The time is about that of reading
 * size / segments + segments * k elements: least for sqrt(size / k) segments.
 * What the segments find takes at most a quarter of the memory of the row.
 */
int64_t segments_for(const Selection& selection, const LaunchTuning& tuning) {
  auto size = selection.rows.axis_size;
  auto k = selection.k;
  if (tuning.only == TopKKernel::split) {
    return std::clamp<int64_t>(size / std::max<int64_t>(k, 1), 1, 5);
  }
  if (tuning.only || size <= tuning.resident_size) {
    return 1;
  }
  auto balanced = static_cast<int64_t>(std::sqrt(size / k));
  auto pair = 2 * (std::max<int64_t>(selection.itemsize, 4) + 4);
  auto affordable = size * selection.itemsize / (2 * pair * k);
  auto long_enough = size / std::max(tuning.segment_size, k);
  return std::max<int64_t>(1, std::min({balanced, affordable, long_enough}));
}

/**
 * Returns how many candidates the threadgroup memory holds. With more, they are
 * reduced to k less often, but fewer threadgroups run at a time. All sizes fit
 * into the 32 KiB that Metal grants.
 */
int64_t capacity_for(int64_t k, int64_t key_bytes) {
  if (k <= 64) {
    return 1024;
  }
  bool wide = key_bytes == 8;
  if (k <= 512) {
    return wide ? 1536 : 2048;
  }
  return wide ? 2560 : 3584;
}

std::vector<int64_t> axes_table(const RowPlan& rows) {
  std::vector<int64_t> table;
  table.reserve(3 * rows.shape.size());
  for (size_t i = 0; i < rows.shape.size(); ++i) {
    table.push_back(rows.shape[i]);
    table.push_back(rows.in_strides[i]);
    table.push_back(rows.out_strides[i]);
  }
  if (table.empty()) {
    table.push_back(0); // A buffer cannot be empty.
  }
  return table;
}

void add_candidates(Launch& launch, const Selection& selection) {
  auto capacity = capacity_for(selection.k, selection.key_bytes());
  launch.arguments.capacity = capacity;
  launch.threadgroup_bytes = {capacity * selection.key_bytes(), capacity * 4};
}

LaunchPlan plan_resident(const Selection& selection) {
  auto launch = base_launch(selection, "topk_resident", 1);
  bind_outputs(launch);
  add_candidates(launch, selection);
  return {{std::move(launch)}, {}};
}

LaunchPlan plan_split(const Selection& selection, int64_t segments) {
  auto split = base_launch(selection, "topk_split", segments);
  bind_found(split, true);
  add_candidates(split, selection);
  auto merge = base_launch(selection, "topk_merge", segments);
  merge.groups = grid(1, selection.rows.rows);
  bind_outputs(merge);
  bind_found(merge, false);
  add_candidates(merge, selection);
  auto found = selection.rows.rows * segments * selection.k;
  LaunchPlan plan;
  plan.launches.reserve(2);
  plan.launches.push_back(std::move(split));
  plan.launches.push_back(std::move(merge));
  plan.scratch = {
      {KernelArray::found_keys, found * selection.key_bytes()},
      {KernelArray::found_positions, found * 4}};
  return plan;
}

} // namespace

const char* key_type_of(Dtype dtype) {
  switch (dtype.val()) {
    case Dtype::Val::bool_:
    case Dtype::Val::uint8:
      return "uint8";
    case Dtype::Val::uint16:
      return "uint16";
    case Dtype::Val::uint32:
      return "uint32";
    case Dtype::Val::uint64:
      return "uint64";
    case Dtype::Val::int8:
      return "int8";
    case Dtype::Val::int16:
      return "int16";
    case Dtype::Val::int32:
      return "int32";
    case Dtype::Val::int64:
      return "int64";
    case Dtype::Val::float16:
      return "float16";
    case Dtype::Val::bfloat16:
      return "bfloat16";
    case Dtype::Val::float32:
      return "float32";
    default:
      return nullptr;
  }
}

std::array<uint32_t, 3> grid(int64_t groups_per_row, int64_t rows) {
  int64_t y = std::min<int64_t>(rows, 65535);
  return {
      static_cast<uint32_t>(groups_per_row),
      static_cast<uint32_t>(y),
      static_cast<uint32_t>(ceildiv(rows, y))};
}

Launch base_launch(
    const Selection& selection,
    const std::string& family,
    int64_t segments) {
  auto& rows = selection.rows;
  Launch launch{};
  launch.kernel = family + "_" + selection.key_type;
  launch.instantiation = family + ", order_" + selection.key_type;
  auto& args = launch.arguments;
  args.rows = rows.rows;
  args.axis_size = rows.axis_size;
  args.k = selection.k;
  args.segments = segments;
  args.in_stride = rows.in_axis_stride;
  args.out_stride = rows.out_axis_stride;
  args.smallest = selection.smallest;
  args.sorted = selection.sorted;
  args.writes_values = selection.writes_values;
  args.writes_indices = selection.writes_indices;
  args.row_axes = rows.shape.size();
  if (selection.mirrored) {
    args.in_start = (rows.axis_size - 1) * args.in_stride;
    args.in_stride = -args.in_stride;
  }
  launch.axes = axes_table(rows);
  launch.buffers.reserve(5);
  launch.buffers.push_back({0, KernelArray::input, false});
  launch.groups = grid(segments, rows.rows);
  launch.threads = group_threads;
  return launch;
}

void add_template_argument(Launch& launch, const std::string& argument) {
  launch.kernel.append("_").append(argument);
  launch.instantiation.append(", ").append(argument);
}

void bind_found(Launch& launch, bool written) {
  launch.buffers.push_back({5, KernelArray::found_keys, written});
  launch.buffers.push_back({6, KernelArray::found_positions, written});
}

void bind_outputs(Launch& launch) {
  launch.buffers.push_back({1, KernelArray::values, true});
  launch.buffers.push_back({2, KernelArray::indices, true});
}

LaunchPlan plan_selection(
    const Selection& selection,
    const LaunchTuning& tuning) {
  if (fits_registers(selection.rows.axis_size, selection.k, tuning)) {
    return {{short_row_launch(selection)}, {}};
  }
  if (auto plan = plan_bounds(selection, tuning)) {
    return *std::move(plan);
  }
  auto segments = segments_for(selection, tuning);
  return segments == 1 ? plan_resident(selection)
                       : plan_split(selection, segments);
}

bool can_topk(Dtype dtype, int64_t k, const LaunchTuning& tuning) {
  return tuning.enabled && key_type_of(dtype) && k <= tuning.selected_k;
}

std::optional<LaunchPlan> plan_topk_launches(
    const RowPlan& rows,
    bool aligned,
    Dtype dtype,
    int64_t k,
    TopKMode mode,
    TopKOrder order,
    bool writes_indices,
    const LaunchTuning& tuning) {
  if (!can_topk(dtype, k, tuning)) {
    return {};
  }
  if (k == 0 || rows.rows == 0) {
    return LaunchPlan{};
  }
  Selection selection{
      rows,
      key_type_of(dtype),
      static_cast<int64_t>(size_of(dtype)),
      k,
      mode == TopKMode::smallest,
      order == TopKOrder::sorted,
      true,
      writes_indices,
      false,
      aligned};
  return plan_selection(selection, tuning);
}

} // namespace mlx::core::gpu
