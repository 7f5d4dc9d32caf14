// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where compiled kernels come from. Each library that TopK is part of defines
// these functions in its own way.

#pragma once

#include "mlx/backend/gpu/launch.h"
#include "mlx/backend/metal/device.h"

namespace mlx::core::metal {

/** Whether all kernels of ``plan`` can be used on ``device``. */
bool has_kernels(Device& device, const gpu::LaunchPlan& plan);

/** Returns the kernel of ``launch``. has_kernels was true for its plan. */
MTL::ComputePipelineState* topk_kernel(
    Device& device,
    const gpu::Launch& launch);

} // namespace mlx::core::metal
