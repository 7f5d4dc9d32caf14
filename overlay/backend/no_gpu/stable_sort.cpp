// Copyright © 2026 the mlx-topk authors. MIT licence.

// Without kernels for a GPU, ops on its streams are stock MLX's.

#include "overlay/stable_sort.h"

#include <stdexcept>

#include "overlay/backend/gpu/partition.h"

namespace mlx::core {

bool gpu_has_partition(const array&, int, int) {
  return false;
}

void StableSort::eval_gpu(const std::vector<array>&, array&) {
  throw std::runtime_error(
      "[StableSort::eval_gpu] There is no kernel for this device.");
}

} // namespace mlx::core
