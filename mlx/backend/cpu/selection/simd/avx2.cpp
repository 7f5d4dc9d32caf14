// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels for AVX2.

#if defined(__x86_64__)

#include "mlx/backend/cpu/selection/simd/includes.h"

#define SELECTION_NAMESPACE avx2
#define SELECTION_AVX2
#define SELECTION_VECTOR_BYTES 32

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)
#else
// There is no pop_options, because GCC compiles templates at the end of the
// file, and they need this target too.
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif

#include "mlx/backend/cpu/selection/simd/kernels-inl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

namespace mlx::core::cpu {

extern const SelectionKernels avx2_kernels{
    "avx2",
    avx2::topk,
    avx2::sort,
    avx2::arg_reduce,
    avx2::order_statistics};

} // namespace mlx::core::cpu

#endif
