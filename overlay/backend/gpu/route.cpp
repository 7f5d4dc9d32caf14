// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route on the GPU, whichever kind it is.

#include "overlay/backend/gpu/route.h"

#include <algorithm>

#include "mlx/backend/gpu/device.h"
#include "overlay/route.h"
#include "overlay/route_gradient.h"
#include "overlay/stock_eval.h"

namespace mlx::core {

bool gpu_has_route(const array& logits, const RouteSettings& settings) {
  return gpu::kernels_available() &&
      gpu::can_route(
             logits.dtype(), logits.shape(-1), settings, gpu::launch_tuning());
}

bool gpu_has_route_gradient(
    const array& logits,
    const RouteSettings& settings) {
  return gpu::kernels_available() &&
      gpu::can_route_gradient(logits.dtype(), settings, gpu::launch_tuning());
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

void RouteGradient::eval_gpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& logits = inputs[0];
  gpu::MoreArrays more{
      {gpu::KernelArray::chosen, inputs[1], false},
      {gpu::KernelArray::scores, inputs[2], false},
      {gpu::KernelArray::of_weights, inputs[3], false}};
  if (inputs.size() > 4) {
    more.push_back({gpu::KernelArray::of_scores, inputs[4], false});
  }
  bool contiguous =
      std::all_of(inputs.begin(), inputs.end(), [](const array& input) {
        return input.flags().row_contiguous;
      });
  std::optional<gpu::LaunchPlan> plan;
  if (contiguous) {
    plan = gpu::plan_route_gradient(
        plan_rows(
            logits.shape(), logits.strides(), logits.ndim() - 1, settings_.k),
        logits.dtype(),
        settings_,
        inputs.size() > 4,
        gpu::launch_tuning());
  }
  if (!gpu::run(plan, logits, &outputs[0], nullptr, stream(), more)) {
    eval_by_stock(*this, inputs, outputs[0]);
  }
}

} // namespace mlx::core
