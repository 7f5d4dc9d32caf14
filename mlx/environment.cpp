// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/environment.h"

#include <cstdlib>
#include <initializer_list>

namespace mlx::core {

namespace {

/**
 * Returns the names of the environment variables that give ``setting``. The
 * first variable that is set is used.
 */
std::initializer_list<const char*> names_of(Setting setting) {
  static constexpr std::initializer_list<const char*> index_gradient{
      "MLX_INDEX_GRADIENT", "MLX_TOPK_INDEX_GRADIENT"};
  static constexpr std::initializer_list<const char*> threads{
      "MLX_TOPK_THREADS", "MLX_SELECTION_THREADS"};
  static constexpr std::initializer_list<const char*> cpu_kernels{
      "MLX_TOPK_CPU"};
  static constexpr std::initializer_list<const char*> gpu_tuning{
      "MLX_TOPK_GPU", "MLX_TOPK_METAL"};
  static constexpr std::initializer_list<const char*> kernel_cache{
      "MLX_TOPK_CACHE"};
  switch (setting) {
    case Setting::index_gradient:
      return index_gradient;
    case Setting::threads:
      return threads;
    case Setting::cpu_kernels:
      return cpu_kernels;
    case Setting::gpu_tuning:
      return gpu_tuning;
    default:
      return kernel_cache;
  }
}

} // namespace

std::optional<Variable> read_variable(Setting setting) {
  for (auto name : names_of(setting)) {
    if (auto value = std::getenv(name)) {
      return Variable{name, value};
    }
  }
  return {};
}

} // namespace mlx::core
