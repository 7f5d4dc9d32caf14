// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels with what every machine of its kind has: SSE2, or NEON.

#include "mlx/backend/cpu/selection/includes.h"

#define SELECTION_NAMESPACE baseline
#define SELECTION_VECTOR_BYTES 16

#include "mlx/backend/cpu/selection/instructions.h"

namespace mlx::core::cpu {

extern const SelectionKernels baseline_kernels{
    "baseline",
    baseline::topk,
    baseline::order,
    baseline::arg_best};

} // namespace mlx::core::cpu
