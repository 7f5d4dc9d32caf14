// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels for the instructions that every machine of its architecture has:
// SSE2 on x86-64, NEON on arm64.

#include "mlx/backend/cpu/selection/simd/includes.h"

#define SELECTION_NAMESPACE baseline
#define SELECTION_VECTOR_BYTES 16

#include "mlx/backend/cpu/selection/simd/kernels-inl.h"

namespace mlx::core::cpu {

extern const SelectionKernels baseline_kernels{
    "baseline",
    baseline::topk,
    baseline::sort,
    baseline::arg_reduce,
    baseline::order_statistics};

} // namespace mlx::core::cpu
