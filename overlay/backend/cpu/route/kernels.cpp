// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/backend/cpu/route/kernels.h"

#include <string_view>

#include "mlx/backend/cpu/selection/kernels.h"

namespace mlx::core::cpu {

extern const RouteKernels baseline_route_kernels;
extern const RouteKernels avx2_route_kernels;
extern const RouteKernels avx512_route_kernels;

TopKPlan plan_choice(int rows, int size, int64_t row_stride, int k) {
  return plan_topk({rows, size}, {row_stride, 1}, 1, k, TopKOrder::sorted);
}

const RouteKernels& route_kernels() {
#if defined(__x86_64__)
  // The features that the targets in simd/avx2.cpp and simd/avx512.cpp have
  // beside those of the selection kernels.
  static const bool multiplies_and_adds = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  }();
  std::string_view name = selection_kernels().name;
  if (multiplies_and_adds && name == avx512_route_kernels.name) {
    return avx512_route_kernels;
  }
  if (multiplies_and_adds && name == avx2_route_kernels.name) {
    return avx2_route_kernels;
  }
#endif
  return baseline_route_kernels;
}

} // namespace mlx::core::cpu
