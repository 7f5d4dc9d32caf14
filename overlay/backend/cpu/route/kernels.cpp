// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/backend/cpu/route/kernels.h"

#include <atomic>

#include "mlx/backend/cpu/selection/kernels.h"

namespace mlx::core::cpu {

extern const RouteKernels baseline_route_kernels;
extern const RouteKernels avx2_route_kernels;
extern const RouteKernels avx512_route_kernels;

namespace {

const RouteKernels* kernels_named([[maybe_unused]] std::string_view name) {
#if defined(__x86_64__)
  // The features that the targets in simd/avx2.cpp and simd/avx512.cpp have
  // beside those of the selection kernels.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    if (name == avx512_route_kernels.name) {
      return &avx512_route_kernels;
    }
    if (name == avx2_route_kernels.name) {
      return &avx2_route_kernels;
    }
  }
#endif
  return &baseline_route_kernels;
}

std::atomic<const RouteKernels*>& current_kernels() {
  static std::atomic kernels =
      kernels_named(available_selection_kernels().front()->name);
  return kernels;
}

} // namespace

TopKPlan plan_choice(int rows, int size, int64_t row_stride, int k) {
  return plan_topk({rows, size}, {row_stride, 1}, 1, k, TopKOrder::sorted);
}

const RouteKernels& route_kernels() {
  return *current_kernels();
}

void use_route_kernels(std::string_view name) {
  current_kernels() = kernels_named(name);
}

} // namespace mlx::core::cpu
