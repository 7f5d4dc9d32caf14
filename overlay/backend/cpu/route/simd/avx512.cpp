// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels of Route for AVX-512 (F, BW, DQ, VL).

#if defined(__x86_64__)

#include "overlay/backend/cpu/route/simd/includes.h"

#define SELECTION_NAMESPACE avx512
#define SELECTION_AVX512
#define SELECTION_VECTOR_BYTES 64

#if defined(__clang__)
#pragma clang attribute push(                                             \
    __attribute__((target(                                                \
        "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c,bmi,bmi2,popcnt"))), \
    apply_to = function)
#else
// There is no pop_options, because GCC compiles templates at the end of the
// file, and they need this target too.
#pragma GCC target( \
    "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c,bmi,bmi2,popcnt,prefer-vector-width=512")
#endif

#include "overlay/backend/cpu/route/simd/route_kernels-inl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

namespace mlx::core::cpu {

extern const RouteKernels avx512_route_kernels{
    "avx512",
    avx512::route,
    avx512::route_gradient};

} // namespace mlx::core::cpu

#endif
