// Copyright © 2026 the mlx-topk authors. MIT licence.

// Plans topk_route, which has one or more rows per simdgroup, and
// topk_route_gradient, which has one.

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "mlx/backend/gpu/plan_launches.h"
#include "overlay/backend/gpu/route.h"

namespace mlx::core::gpu {

namespace {

// The kernel defines the same numbers.
constexpr int64_t simd_size = 32;
constexpr int64_t group_simds = 8;
constexpr int64_t greatest_size = 32 * simd_size;
constexpr int64_t greatest_k = 2 * simd_size;

constexpr int64_t greatest_groups = 64;
// With less threadgroup memory, more threadgroups run at a time. Metal grants
// 32 KiB, of which the kernel's variables take 8.
constexpr int64_t most_memory = 16 << 10;

/** How many lanes share a row, and how many experts each of them has. */
struct RouteShape {
  int64_t lanes;
  int64_t elements;

  /** Returns how many maxima each lane finds: see topk_lanes. */
  int64_t maxima() const {
    return lanes == simd_size && elements > 1 ? 2 : 1;
  }

  bool fits(int64_t size, int64_t k) const {
    // For a greater k, the kernel bisects the keys of the row.
    bool few = elements <= maxima() ? k <= lanes : 2 * k <= maxima() * lanes;
    return size <= lanes * elements && (few || (lanes == 32 && k > lanes));
  }
};

// The kernels that exist, in the order in which they are tried.
constexpr std::array<RouteShape, 11> shapes{
    {{8, 1},
     {8, 4},
     {8, 8},
     {16, 8},
     {16, 10},
     {16, 16},
     {32, 1},
     {32, 4},
     {32, 8},
     {32, 16},
     {32, 32}}};

RouteShape shape_for(int64_t size, int64_t k) {
  return *std::find_if(shapes.begin(), shapes.end(), [&](auto& shape) {
    return shape.fits(size, k);
  });
}

int64_t members_of(int64_t experts, const RouteSettings& settings) {
  return experts / settings.groups;
}

/** Returns the greatest power of two that is at most ``limit``. */
uint32_t power_of_two_up_to(int64_t limit) {
  uint32_t power = 1;
  while (2 * power <= limit) {
    power *= 2;
  }
  return power;
}

RouteArguments arguments_of(
    int64_t experts,
    int64_t lanes,
    const RouteSettings& settings,
    std::optional<int64_t> bias_stride,
    bool writes_scores) {
  RouteArguments args{};
  auto members = members_of(experts, settings);
  args.bias_stride = bias_stride.value_or(0);
  args.score = static_cast<uint32_t>(settings.score);
  args.members = members;
  args.group_lanes =
      power_of_two_up_to(std::min(lanes / settings.groups, members));
  args.groups = settings.groups;
  args.topk_groups = settings.topk_groups;
  args.sums_pair = settings.group_score == GroupScore::top2 && members > 1;
  args.later_group_first = settings.group_ties != settings.ties;
  args.excluded_score = settings.excluded_score;
  args.renormalizes = settings.renormalize;
  args.eps = settings.uses_softmax_of_chosen() ? 0 : settings.eps;
  args.scale = settings.scale;
  args.masks_infinity = settings.masks_infinity;
  args.has_bias = bias_stride.has_value();
  args.writes_scores = writes_scores;
  return args;
}

void set_arguments(Launch& launch, const RouteArguments& args) {
  launch.settings.resize(sizeof(args));
  std::memcpy(launch.settings.data(), &args, sizeof(args));
}

/** Returns how many simdgroups a threadgroup has if ``simds`` are needed. */
int64_t simds_per_group_for(int64_t simds) {
  // With few rows, smaller threadgroups occupy more of the GPU's cores.
  return std::clamp<int64_t>(simds / 64, 1, group_simds);
}

bool has_type(Dtype dtype) {
  return dtype == float32 || dtype == float16 || dtype == bfloat16;
}

Launch route_launch(
    const std::string& family,
    const RowPlan& rows,
    Dtype dtype,
    const RouteSettings& settings) {
  Selection selection{
      rows,
      key_type_of(dtype),
      static_cast<int64_t>(size_of(dtype)),
      settings.k,
      false,
      settings.sorted,
      true,
      true,
      settings.ties == RouteTies::higher,
      false};
  auto launch = base_launch(selection, family, 1);
  launch.arguments.mirrored = selection.mirrored;
  return launch;
}

} // namespace

bool can_route(
    Dtype dtype,
    int64_t experts,
    const RouteSettings& settings,
    const LaunchTuning& tuning) {
  return tuning.enabled && has_type(dtype) && experts <= greatest_size &&
      settings.k <= greatest_k && settings.groups <= greatest_groups;
}

std::optional<LaunchPlan> plan_route(
    const RowPlan& rows,
    Dtype dtype,
    const RouteSettings& settings,
    std::optional<int64_t> bias_stride,
    bool writes_scores,
    const LaunchTuning& tuning) {
  auto experts = rows.axis_size;
  if (!can_route(dtype, experts, settings, tuning)) {
    return {};
  }
  if (rows.rows == 0) {
    return LaunchPlan{};
  }
  auto launch = route_launch("topk_route", rows, dtype, settings);
  bind_outputs(launch);
  launch.buffers.push_back({5, KernelArray::bias, false});
  launch.buffers.push_back({6, KernelArray::scores, true});
  auto shape = shape_for(experts, settings.k);
  for (auto number : {shape.elements, shape.lanes, shape.maxima()}) {
    add_template_argument(launch, std::to_string(number));
  }
  set_arguments(
      launch,
      arguments_of(experts, shape.lanes, settings, bias_stride, writes_scores));
  auto rows_per_simd = simd_size / shape.lanes;
  auto words = settings.uses_groups() ? experts + settings.groups : 0;
  auto bytes_per_simd = rows_per_simd * words * 4;
  auto simds = ceildiv(rows.rows, rows_per_simd);
  auto simds_per_group = simds_per_group_for(simds);
  if (bytes_per_simd > 0) {
    simds_per_group = std::min(simds_per_group, most_memory / bytes_per_simd);
  }
  launch.groups = grid(1, ceildiv(simds, simds_per_group));
  launch.threads = simds_per_group * simd_size;
  // Metal wants a multiple of 16 bytes, and not 0.
  auto bytes = std::max<int64_t>(simds_per_group * bytes_per_simd, 1);
  launch.threadgroup_bytes = {ceildiv(bytes, 16) * 16, 0};
  return LaunchPlan{{std::move(launch)}, {}};
}

bool can_route_gradient(
    Dtype dtype,
    const RouteSettings& settings,
    const LaunchTuning& tuning) {
  return tuning.enabled && has_type(dtype) && settings.k <= greatest_k;
}

std::optional<LaunchPlan> plan_route_gradient(
    const RowPlan& rows,
    Dtype dtype,
    const RouteSettings& settings,
    bool adds_of_scores,
    const LaunchTuning& tuning) {
  if (!can_route_gradient(dtype, settings, tuning)) {
    return {};
  }
  if (rows.rows == 0) {
    return LaunchPlan{};
  }
  auto launch = route_launch("topk_route_gradient", rows, dtype, settings);
  launch.buffers.push_back({1, KernelArray::values, true});
  launch.buffers.push_back({2, KernelArray::chosen, false});
  launch.buffers.push_back({5, KernelArray::scores, false});
  launch.buffers.push_back({6, KernelArray::of_weights, false});
  launch.buffers.push_back({8, KernelArray::of_scores, false});
  auto args = arguments_of(rows.axis_size, simd_size, settings, {}, false);
  args.adds_of_scores = adds_of_scores;
  set_arguments(launch, args);
  auto simds_per_group = simds_per_group_for(rows.rows);
  launch.groups = grid(1, ceildiv(rows.rows, simds_per_group));
  launch.threads = simds_per_group * simd_size;
  return LaunchPlan{{std::move(launch)}, {}};
}

} // namespace mlx::core::gpu
