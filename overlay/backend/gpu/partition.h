// Copyright © 2026 the mlx-topk authors. MIT licence.

// Partitions on the GPU.

#pragma once

#include <cstdint>
#include <optional>

#include "mlx/array.h"
#include "mlx/backend/common/row_plan.h"
#include "mlx/backend/gpu/launch.h"
#include "mlx/backend/gpu/launch_tuning.h"
#include "mlx/dtype.h"
#include "overlay/stable_sort.h"

namespace mlx::core {

/**
 * Returns whether there are GPU kernels that partition ``a``. ``axis`` is not
 * negative.
 */
bool gpu_has_partition(const array& a, int kth, int axis);

namespace gpu {

/**
 * Returns whether plan_partition has a plan for such rows. ``kth`` counts from
 * the front.
 */
bool can_partition(
    Dtype dtype,
    int64_t axis_size,
    int64_t kth,
    const LaunchTuning& tuning);

/**
 * Plans a partition of each of ``rows``. The plan is empty if there is nothing
 * to do. Returns nothing if the kernels cannot do it. ``kth`` counts from the
 * front. ``aligned`` is as for plan_topk_launches.
 */
std::optional<LaunchPlan> plan_partition(
    const RowPlan& rows,
    bool aligned,
    Dtype dtype,
    int64_t kth,
    SortResult result,
    const LaunchTuning& tuning);

} // namespace gpu

} // namespace mlx::core
