// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route on the GPU, whichever kind it is.

#include "overlay/backend/gpu/route.h"

#include "mlx/backend/gpu/device.h"
#include "overlay/route.h"
#include "overlay/stock_eval.h"

namespace mlx::core {

bool gpu_has_route(const array& logits, const RouteSettings& settings) {
  return gpu::kernels_available() &&
      gpu::can_route(
             logits.dtype(), logits.shape(-1), settings, gpu::launch_tuning());
}

void Route::eval_gpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& logits = inputs[0];
  std::optional<int64_t> bias_stride;
  gpu::MoreArrays more;
  if (inputs.size() > 1) {
    bias_stride = inputs[1].strides(0);
    more.push_back({gpu::KernelArray::bias, inputs[1], false});
  }
  if (keeps_scores_) {
    more.push_back({gpu::KernelArray::scores, outputs[2], true});
  }
  auto plan = gpu::plan_route(
      plan_rows(
          logits.shape(), logits.strides(), logits.ndim() - 1, settings_.k),
      logits.dtype(),
      settings_,
      bias_stride,
      keeps_scores_,
      gpu::launch_tuning());
  if (!gpu::run(plan, logits, &outputs[0], &outputs[1], stream(), more)) {
    eval_by_stock(*this, inputs, outputs);
  }
}

} // namespace mlx::core
