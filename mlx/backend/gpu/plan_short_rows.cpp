// Copyright © 2026 the mlx-topk authors. MIT licence.

// Plans topk_lanes, which has one or more rows per simdgroup.

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "mlx/backend/gpu/plan_launches.h"

namespace mlx::core::gpu {

namespace {

// The kernels define the same numbers.
constexpr int64_t simd_size = 32;
constexpr int64_t group_simds = 8;
constexpr int64_t greatest_size = 32 * simd_size;

/** How many lanes share a row, and how many elements each of them has. */
struct LaneShape {
  int64_t lanes;
  int64_t elements;

  /**
   * Returns how many maxima each lane finds. The kernel is fast if k is at most
   * half of a row's maxima, or if every element is a maximum.
   */
  int64_t groups() const {
    return lanes == simd_size && elements > 1 ? 2 : 1;
  }

  bool fits(int64_t size, int64_t k) const {
    bool few = elements <= groups() ? k <= lanes : 2 * k <= groups() * lanes;
    return few && size <= lanes * elements;
  }
};

// The kernels that exist, in the order in which they are tried. Fewer lanes
// leave room for more rows, and fewer elements save registers. Other
// shapes are left out, because every kernel has to be compiled.
constexpr LaneShape dense_shapes[] = {
    {8, 1},
    {8, 4},
    {8, 8},
    {8, 16},
    {16, 4},
    {16, 8},
    {16, 10},
    {16, 16},
    {32, 1},
    {32, 4},
    {32, 8},
    {32, 12},
    {32, 16},
    {32, 28},
    {32, 32}};
constexpr LaneShape strided_shapes[] =
    {{8, 4}, {8, 16}, {16, 8}, {16, 16}, {32, 1}, {32, 8}, {32, 32}};

LaneShape shape_for(int64_t size, int64_t k, bool dense) {
  std::span<const LaneShape> shapes = strided_shapes;
  if (dense) {
    shapes = dense_shapes;
  }
  return *std::find_if(shapes.begin(), shapes.end(), [&](auto& shape) {
    return shape.fits(size, k);
  });
}

} // namespace

bool fits_registers(int64_t size, int64_t k, const LaunchTuning& tuning) {
  bool fits = size <= greatest_size && k <= simd_size;
  if (tuning.only) {
    return fits && tuning.only == TopKKernel::in_registers;
  }
  return fits && size <= tuning.register_size && k <= tuning.register_k;
}

Launch short_row_launch(const Selection& selection) {
  auto launch = base_launch(selection, "topk_lanes", 1);
  bind_outputs(launch);
  bool dense = launch.arguments.in_stride == 1;
  auto shape = shape_for(selection.rows.axis_size, selection.k, dense);
  for (auto number : {shape.elements, shape.lanes, shape.groups()}) {
    add_template_argument(launch, std::to_string(number));
  }
  add_template_argument(launch, dense ? "true" : "false");
  // With few rows, smaller threadgroups occupy more of the GPU's cores.
  auto simds = ceildiv(selection.rows.rows * shape.lanes, simd_size);
  auto simds_per_group = std::clamp<int64_t>(simds / 64, 1, group_simds);
  launch.groups = grid(1, ceildiv(simds, simds_per_group));
  launch.threads = simds_per_group * simd_size;
  return launch;
}

} // namespace mlx::core::gpu
