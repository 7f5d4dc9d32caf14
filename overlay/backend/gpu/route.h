// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route on the GPU.

#pragma once

#include <cstdint>
#include <optional>

#include "mlx/array.h"
#include "mlx/backend/common/row_plan.h"
#include "mlx/backend/gpu/launch.h"
#include "mlx/backend/gpu/launch_tuning.h"
#include "overlay/route_settings.h"

namespace mlx::core {

/** Returns whether there is a GPU kernel for these logits and settings. */
bool gpu_has_route(const array& logits, const RouteSettings& settings);

/** Returns whether there is a GPU kernel for the gradient of such a route. */
bool gpu_has_route_gradient(const array& logits, const RouteSettings& settings);

namespace gpu {

#include "overlay/backend/metal/kernels/route_arguments.h"

/**
 * Returns whether plan_route has a plan. The kernel has up to 1024 experts, 64
 * chosen ones and 64 groups.
 */
bool can_route(
    Dtype dtype,
    int64_t experts,
    const RouteSettings& settings,
    const LaunchTuning& tuning);

/**
 * Plans one launch that routes each of ``rows``. The plan is empty if there are
 * no rows. Returns nothing if the kernel cannot do it. Without a bias,
 * ``bias_stride`` has no value.
 */
std::optional<LaunchPlan> plan_route(
    const RowPlan& rows,
    Dtype dtype,
    const RouteSettings& settings,
    std::optional<int64_t> bias_stride,
    bool writes_scores,
    const LaunchTuning& tuning);

/**
 * Returns whether plan_route_gradient has a plan. The kernel has up to 64
 * chosen experts.
 */
bool can_route_gradient(
    Dtype dtype,
    const RouteSettings& settings,
    const LaunchTuning& tuning);

/**
 * Plans one launch that computes what RouteGradient does for ``rows`` of
 * logits. All arrays are row-contiguous. The plan is empty if there are no
 * rows. Returns nothing if the kernel cannot do it.
 */
std::optional<LaunchPlan> plan_route_gradient(
    const RowPlan& rows,
    Dtype dtype,
    const RouteSettings& settings,
    bool adds_of_scores,
    const LaunchTuning& tuning);

} // namespace gpu

} // namespace mlx::core
