// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels of Route for AVX2, with FMA and F16C.

#if defined(__x86_64__)

#include "overlay/backend/cpu/route/simd/includes.h"

#define SELECTION_NAMESPACE avx2
#define SELECTION_AVX2
#define SELECTION_VECTOR_BYTES 32

#if defined(__clang__)
#pragma clang attribute push(                                 \
    __attribute__((target("avx2,fma,f16c,bmi,bmi2,popcnt"))), \
    apply_to = function)
#else
// There is no pop_options, because GCC compiles templates at the end of the
// file, and they need this target too.
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,popcnt")
#endif

#include "overlay/backend/cpu/route/simd/route_kernels-inl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

namespace mlx::core::cpu {

extern const RouteKernels avx2_route_kernels{
    "avx2",
    avx2::route,
    avx2::route_gradient};

} // namespace mlx::core::cpu

#endif
