// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels of Route for the instructions that every machine of its
// architecture has.

#include "overlay/backend/cpu/route/simd/includes.h"

#define SELECTION_NAMESPACE baseline
#define SELECTION_VECTOR_BYTES 16

#include "overlay/backend/cpu/route/simd/route_kernels-inl.h"

namespace mlx::core::cpu {

extern const RouteKernels baseline_route_kernels{
    "baseline",
    baseline::route,
    baseline::route_gradient};

} // namespace mlx::core::cpu
