// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/common/row_plan.h"

#include <algorithm>

namespace mlx::core {

RowPlan plan_rows(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size) {
  RowPlan plan;
  plan.rows = 1;
  plan.axis_size = shape[axis];
  plan.in_axis_stride = strides[axis];
  plan.out_axis_stride = 1;
  plan.last_in_offset = 0;
  int64_t out_stride = 1;
  // From the innermost axis on.
  for (int i = static_cast<int>(shape.size()) - 1; i >= 0; --i) {
    int64_t size = shape[i];
    plan.last_in_offset += std::max<int64_t>(0, (size - 1) * strides[i]);
    if (i == axis) {
      plan.out_axis_stride = out_stride;
      out_stride *= out_axis_size;
      continue;
    }
    if (size == 1) {
      continue;
    }
    plan.rows *= size;
    auto continues = [&](const Strides& inner, int64_t stride) {
      return stride == inner.back() * plan.shape.back();
    };
    if (!plan.shape.empty() && continues(plan.in_strides, strides[i]) &&
        continues(plan.out_strides, out_stride)) {
      plan.shape.back() *= size;
    } else {
      plan.shape.push_back(size);
      plan.in_strides.push_back(strides[i]);
      plan.out_strides.push_back(out_stride);
    }
    out_stride *= size;
  }
  for (auto* outermost_last :
       {&plan.shape, &plan.in_strides, &plan.out_strides}) {
    std::reverse(outermost_last->begin(), outermost_last->end());
  }
  return plan;
}

RowCursor::RowCursor(const RowPlan& plan, int64_t first)
    : plan_(plan), position_(plan.shape.size(), 0) {
  for (int i = static_cast<int>(position_.size()) - 1; i >= 0; --i) {
    position_[i] = first % plan.shape[i];
    first /= plan.shape[i];
    in_offset += position_[i] * plan.in_strides[i];
    out_offset += position_[i] * plan.out_strides[i];
  }
}

} // namespace mlx::core
