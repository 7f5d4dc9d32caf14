// Copyright © 2026 the mlx-topk authors. MIT licence.

// StableSort on the GPU. The kernels only partition, at one position and in
// ascending order. Stock MLX does the rest.

#include "overlay/stable_sort.h"

#include "mlx/backend/gpu/device.h"
#include "overlay/backend/gpu/partition.h"
#include "overlay/stock_eval.h"

namespace mlx::core {

bool gpu_has_partition(const array& a, int kth, int axis) {
  int size = a.shape(axis);
  return gpu::kernels_available() &&
      gpu::can_partition(
             a.dtype(), size, kth < 0 ? kth + size : kth, gpu::launch_tuning());
}

void StableSort::eval_gpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  auto size = in.shape(axis_);
  std::optional<gpu::LaunchPlan> plan;
  if (kths_.size() == 1 && direction_ == SortDirection::ascending) {
    int kth = kths_[0];
    plan = gpu::plan_partition(
        plan_rows(in.shape(), in.strides(), axis_, size),
        gpu::is_aligned(in),
        in.dtype(),
        kth < 0 ? kth + size : kth,
        result_,
        gpu::launch_tuning());
  }
  bool of_values = result_ == SortResult::values;
  auto values = of_values ? &out : nullptr;
  auto indices = of_values ? nullptr : &out;
  if (!gpu::run(plan, in, values, indices, stream())) {
    eval_by_stock(*this, inputs, out);
  }
}

} // namespace mlx::core
