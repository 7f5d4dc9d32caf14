// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/cpu/selection/kernels.h"

namespace mlx::core::cpu {

extern const SelectionKernels baseline_kernels;
extern const SelectionKernels avx2_kernels;
extern const SelectionKernels avx512_kernels;

const std::vector<const SelectionKernels*>& available_selection_kernels() {
  static const auto available = [] {
    std::vector<const SelectionKernels*> kernels;
#if defined(__x86_64__)
    __builtin_cpu_init();
    // What avx2.cpp and avx512.cpp ask the compiler for.
    bool avx2 = __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
        __builtin_cpu_supports("popcnt");
    if (avx2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      kernels.push_back(&avx512_kernels);
    }
    if (avx2) {
      kernels.push_back(&avx2_kernels);
    }
#endif
    kernels.push_back(&baseline_kernels);
    return kernels;
  }();
  return available;
}

std::atomic<const SelectionKernels*>& current_selection_kernels() {
  static std::atomic kernels = available_selection_kernels().front();
  return kernels;
}

} // namespace mlx::core::cpu
