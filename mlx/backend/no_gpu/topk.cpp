// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where there is no kernel for the GPU, ops on its streams are upstream's.

#include <stdexcept>

#include "mlx/backend/gpu_selection.h"
#include "mlx/selection_primitives.h"

namespace mlx::core {

bool gpu_has_topk(const array&, int, int) {
  return false;
}

bool gpu_has_partition(const array&, int, int) {
  return false;
}

void TopK::eval_gpu(const std::vector<array>&, std::vector<array>&) {
  throw std::runtime_error("[TopK::eval_gpu] has no kernel for this device.");
}

void RowOrder::eval_gpu(const std::vector<array>&, array&) {
  throw std::runtime_error(
      "[RowOrder::eval_gpu] has no kernel for this device.");
}

} // namespace mlx::core
