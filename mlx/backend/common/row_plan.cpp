// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/common/row_plan.h"

#include <algorithm>

namespace mlx::core {

namespace {

/**
 * Calls add(axis) for each other axis, the innermost first. Neighbours are
 * merged where RowPlan merges them. Sets the rest of ``plan``, which may be a
 * RowPlan or a CompactRowPlan.
 */
template <typename Plan, typename Add>
void plan_axes(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size,
    Plan& plan,
    Add&& add) {
  plan.rows = 1;
  plan.axis_size = shape[axis];
  plan.in_axis_stride = strides[axis];
  plan.last_in_offset = 0;
  OtherAxis inner{0, 0, 0};
  bool has_inner = false;
  int64_t out_stride = 1;
  for (int i = static_cast<int>(shape.size()) - 1; i >= 0; --i) {
    int64_t size = shape[i];
    auto stride = strides[i];
    plan.last_in_offset += std::max<int64_t>(0, (size - 1) * stride);
    if (i == axis) {
      plan.out_axis_stride = out_stride;
      out_stride *= out_axis_size;
    } else if (size != 1) {
      plan.rows *= size;
      if (has_inner && stride == inner.in_stride * inner.size &&
          out_stride == inner.out_stride * inner.size) {
        inner.size *= size;
      } else {
        if (has_inner) {
          add(inner);
        }
        has_inner = true;
        inner = {size, stride, out_stride};
      }
      out_stride *= size;
    }
  }
  if (has_inner) {
    add(inner);
  }
}

} // namespace

RowPlan plan_rows(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size) {
  RowPlan plan;
  auto add = [&](const OtherAxis& other) {
    plan.shape.push_back(other.size);
    plan.in_strides.push_back(other.in_stride);
    plan.out_strides.push_back(other.out_stride);
  };
  plan_axes(shape, strides, axis, out_axis_size, plan, add);
  for (auto* innermost_first :
       {&plan.shape, &plan.in_strides, &plan.out_strides}) {
    std::reverse(innermost_first->begin(), innermost_first->end());
  }
  return plan;
}

CompactRowPlan::CompactRowPlan(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size)
    : only{} {
  auto add = [&](const OtherAxis& other) {
    ++others;
    only = other;
  };
  plan_axes(shape, strides, axis, out_axis_size, *this, add);
  if (others > 1) {
    whole = std::make_shared<RowPlan>(
        plan_rows(shape, strides, axis, out_axis_size));
  }
}

RowPlan CompactRowPlan::expand() const {
  if (whole) {
    return *whole;
  }
  RowPlan plan;
  plan.rows = rows;
  plan.axis_size = axis_size;
  plan.in_axis_stride = in_axis_stride;
  plan.out_axis_stride = out_axis_stride;
  plan.last_in_offset = last_in_offset;
  if (others == 1) {
    plan.shape.push_back(only.size);
    plan.in_strides.push_back(only.in_stride);
    plan.out_strides.push_back(only.out_stride);
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
