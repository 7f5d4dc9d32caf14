// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/common/row_plan.h"

#include <algorithm>

namespace mlx::core {

RowPlan plan_rows(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size) {
  int ndim = shape.size();
  Strides out_strides(ndim, 1);
  for (int i = ndim - 1; i > 0; --i) {
    int64_t size = i == axis ? out_axis_size : shape[i];
    out_strides[i - 1] = out_strides[i] * size;
  }

  RowPlan plan{1, shape[axis], strides[axis], out_strides[axis], {}, {}, {}, 0};
  for (int i = 0; i < ndim; ++i) {
    plan.last_in_offset += std::max<int64_t>(0, (shape[i] - 1) * strides[i]);
    if (i == axis || shape[i] == 1) {
      continue;
    }
    plan.rows *= shape[i];
    auto continues = [&](const Strides& outer, const Strides& strides) {
      return outer.back() == strides[i] * shape[i];
    };
    if (!plan.shape.empty() && continues(plan.in_strides, strides) &&
        continues(plan.out_strides, out_strides)) {
      plan.shape.back() *= shape[i];
      plan.in_strides.back() = strides[i];
      plan.out_strides.back() = out_strides[i];
    } else {
      plan.shape.push_back(shape[i]);
      plan.in_strides.push_back(strides[i]);
      plan.out_strides.push_back(out_strides[i]);
    }
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
