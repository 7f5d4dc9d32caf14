// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/cpu/selection/kernels.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "mlx/environment.h"

namespace mlx::core::cpu {

extern const SelectionKernels baseline_kernels;
extern const SelectionKernels avx2_kernels;
extern const SelectionKernels avx512_kernels;

namespace {

// Returns the kernels that this machine can run, the fastest first.
std::vector<const SelectionKernels*> supported_kernels() {
  std::vector<const SelectionKernels*> kernels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // The same features as the targets in simd/avx2.cpp and simd/avx512.cpp.
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
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
}

// Moves the kernels that the variable names to the front.
void put_first(
    std::vector<const SelectionKernels*>& kernels,
    const Variable& variable) {
  auto named = std::find_if(kernels.begin(), kernels.end(), [&](auto* k) {
    return k->name == variable.value;
  });
  if (named == kernels.end()) {
    std::ostringstream msg;
    msg << "[" << variable.name << "] this processor has the kernels";
    for (auto* k : kernels) {
      msg << (k == kernels.front() ? " " : ", ") << k->name;
    }
    msg << ", got \"" << variable.value << "\".";
    throw std::invalid_argument(msg.str());
  }
  std::rotate(kernels.begin(), named, named + 1);
}

} // namespace

const std::vector<const SelectionKernels*>& available_selection_kernels() {
  static const auto available = [] {
    auto kernels = supported_kernels();
    if (auto variable = read_variable(Setting::cpu_kernels)) {
      put_first(kernels, *variable);
    }
    return kernels;
  }();
  return available;
}

std::atomic<const SelectionKernels*>& current_selection_kernels() {
  static std::atomic kernels = available_selection_kernels().front();
  return kernels;
}

} // namespace mlx::core::cpu
