// Copyright © 2026 the mlx-topk authors. MIT licence.

// Without kernels for a GPU, ops on its streams are composed of other ops.

#include <stdexcept>

#include "mlx/backend/gpu/device.h"
#include "mlx/backend/gpu/topk.h"
#include "mlx/topk_primitive.h"

namespace mlx::core {

bool gpu_has_topk(const array&, int, int) {
  return false;
}

void TopK::eval_gpu(const std::vector<array>&, std::vector<array>&) {
  throw std::runtime_error(
      "[TopK::eval_gpu] There is no kernel for this device.");
}

void gpu::add_temporaries(const std::vector<array>&, const Stream&) {}

} // namespace mlx::core
