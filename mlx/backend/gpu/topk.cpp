// Copyright © 2026 the mlx-topk authors. MIT licence.

// TopK on the GPU, whichever kind it is.

#include "mlx/backend/gpu/topk.h"

#include "mlx/backend/gpu/device.h"
#include "mlx/backend/gpu/launch_tuning.h"
#include "mlx/backend/gpu/plan_launches.h"
#include "mlx/topk_primitive.h"
#include "mlx/topk_seam.h"

namespace mlx::core {

bool gpu_has_topk(const array& a, int k, int) {
  return gpu::kernels_available() &&
      gpu::can_topk(a.dtype(), k, gpu::launch_tuning());
}

void TopK::eval_gpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& in = inputs[0];
  // TopKValues has no indices.
  auto indices = outputs.size() > 1 ? &outputs[1] : nullptr;
  auto plan = gpu::plan_topk_launches(
      plan_rows(in.shape(), in.strides(), axis_, k_),
      gpu::is_aligned(in),
      in.dtype(),
      k_,
      mode_,
      order_,
      indices != nullptr,
      gpu::launch_tuning());
  if (!gpu::run(plan, in, &outputs[0], indices, stream())) {
    eval_composed(*this, inputs, outputs);
  }
}

} // namespace mlx::core
