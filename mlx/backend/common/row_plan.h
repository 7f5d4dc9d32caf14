// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds where the rows along one axis are, from shapes and strides alone.

#pragma once

#include <cstdint>
#include <memory>

#include "mlx/array.h"

namespace mlx::core {

/**
 * The rows along one axis: where each starts in the input, and in a
 * row-contiguous output whose shape differs only in the size of that axis.
 * Offsets and strides are in elements.
 */
struct RowPlan {
  int64_t rows;
  int64_t axis_size;
  int64_t in_axis_stride;
  int64_t out_axis_stride;

  // The other axes, outermost first. Neighbours are merged if one stride serves
  // for both, so a size may exceed an int.
  Strides shape;
  Strides in_strides;
  Strides out_strides;

  // The greatest offset of an element of the input, relative to the element
  // with index 0 along every axis.
  int64_t last_in_offset;
};

/**
 * Returns the plan for an input with this shape and these strides, and for an
 * output that has the size ``out_axis_size`` along ``axis``.
 */
RowPlan plan_rows(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size);

/** Another axis than that of the rows, with the names that RowPlan uses. */
struct OtherAxis {
  int64_t size;
  int64_t in_stride;
  int64_t out_stride;
};

/**
 * The plan that plan_rows returns, in less memory: a few numbers if it has at
 * most one other axis. This is what a task keeps until it runs. To move it
 * takes less time than to move a RowPlan.
 */
struct CompactRowPlan {
  CompactRowPlan(
      const Shape& shape,
      const Strides& strides,
      int axis,
      int out_axis_size);

  RowPlan expand() const;

  int64_t rows;
  int64_t axis_size;
  int64_t in_axis_stride;
  int64_t out_axis_stride;
  int64_t last_in_offset;
  // How many other axes there are, and the other axis if there is one.
  int others{0};
  OtherAxis only;
  // The plan if there are several other axes.
  std::shared_ptr<const RowPlan> whole;
};

/** Walks over the rows of a plan in the order of the output. */
class RowCursor {
 public:
  explicit RowCursor(const RowPlan& plan, int64_t first = 0);

  void next() {
    for (int i = static_cast<int>(position_.size()) - 1; i >= 0; --i) {
      in_offset += plan_.in_strides[i];
      out_offset += plan_.out_strides[i];
      if (++position_[i] < plan_.shape[i]) {
        return;
      }
      in_offset -= plan_.in_strides[i] * plan_.shape[i];
      out_offset -= plan_.out_strides[i] * plan_.shape[i];
      position_[i] = 0;
    }
  }

  /** Moves on by ``count`` rows, which is at most left_of_inner(). */
  void advance(int64_t count) {
    if (count > 0 && !position_.empty()) {
      in_offset += (count - 1) * plan_.in_strides.back();
      out_offset += (count - 1) * plan_.out_strides.back();
      position_.back() += count - 1;
      next();
    }
  }

  /**
   * Returns how many rows are left, with the current one, along the innermost
   * axis of the plan's ``shape``.
   */
  int64_t left_of_inner() const {
    return position_.empty() ? 1 : plan_.shape.back() - position_.back();
  }

  int64_t in_offset{0};
  int64_t out_offset{0};

 private:
  const RowPlan& plan_;
  Strides position_;
};

} // namespace mlx::core
