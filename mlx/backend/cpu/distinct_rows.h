// Copyright © 2026 the mlx-topk authors. MIT licence.

// Rows that repeat because a stride is 0, as mx.broadcast_to makes them. They
// are selected from once, and the outputs repeat them in the same way.

#pragma once

#include <utility>

#include "mlx/allocator.h"
#include "mlx/array.h"
#include "mlx/backend/common/row_plan.h"

namespace mlx::core::cpu {

/** Returns whether the rows of ``in`` repeat along axis ``i``. */
inline bool rows_repeat(const array& in, int axis, int i) {
  return in.strides()[i] == 0 && i != axis && in.shape()[i] > 1;
}

/** Returns whether the rows of ``in`` repeat along any axis. */
inline bool rows_repeat(const array& in, int axis) {
  for (int i = 0; i < static_cast<int>(in.ndim()); ++i) {
    if (rows_repeat(in, axis, i)) {
      return true;
    }
  }
  return false;
}

/** Returns the shape of ``in`` with size 1 along axes on which rows repeat. */
inline Shape shape_of_distinct_rows(const array& in, int axis) {
  auto shape = in.shape();
  for (int i = 0; i < static_cast<int>(shape.size()); ++i) {
    if (rows_repeat(in, axis, i)) {
      shape[i] = 1;
    }
  }
  return shape;
}

/**
 * Plans the distinct rows of ``in``, and those of an output that has the size
 * ``out_axis_size`` along ``axis``.
 */
inline CompactRowPlan
plan_distinct_rows(const array& in, int axis, int out_axis_size) {
  return rows_repeat(in, axis)
      ? CompactRowPlan(
            shape_of_distinct_rows(in, axis), in.strides(), axis, out_axis_size)
      : CompactRowPlan(in.shape(), in.strides(), axis, out_axis_size);
}

/**
 * Allocates an output that has the shape of ``in`` but for its size along
 * ``axis``, or that lacks this axis. Its distinct rows are row-contiguous.
 * Where the rows of ``in`` repeat, those of the output repeat too, with stride
 * 0.
 */
inline void allocate_distinct_rows(array& out, const array& in, int axis) {
  if (out.size() == 0 || !rows_repeat(in, axis)) {
    out.set_data(allocator::malloc(out.nbytes()));
    return;
  }
  Strides strides(out.ndim(), 0);
  int64_t size = 1;
  bool has_axis = out.ndim() == in.ndim();
  auto i = static_cast<int>(out.ndim());
  for (int of_in = static_cast<int>(in.ndim()) - 1; of_in >= 0; --of_in) {
    if (of_in == axis && !has_axis) {
      continue;
    }
    --i;
    if (!rows_repeat(in, axis, of_in)) {
      strides[i] = size;
      size *= out.shape(i);
    }
  }
  array::Flags flags{};
  flags.contiguous = true;
  out.set_data(
      allocator::malloc(size * out.itemsize()),
      size,
      std::move(strides),
      flags);
}

} // namespace mlx::core::cpu
