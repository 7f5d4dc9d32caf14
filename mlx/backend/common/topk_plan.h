// Copyright © 2026 the mlx-topk authors. MIT licence.

// Which rows there are and what is done to each: pure arithmetic on shapes and
// strides, the same for every back end.

#pragma once

#include <cstdint>

#include "mlx/array.h"
#include "mlx/selection.h"

namespace mlx::core {

/**
 * The rows along one axis of an input, and where each starts in it and in a
 * row-contiguous output that differs in that axis' size only. Offsets and
 * strides are in elements.
 */
struct RowPlan {
  int64_t rows;
  int64_t axis_size;
  int64_t in_axis_stride;
  int64_t out_axis_stride;

  // The other axes, outermost first, merged where one stride serves both.
  Shape shape;
  Strides in_strides;
  Strides out_strides;
};

RowPlan plan_rows(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size);

/** Walks over a RowPlan's rows in the order of the output. */
class RowCursor {
 public:
  explicit RowCursor(const RowPlan& plan);
  void next();

  int64_t in_offset{0};
  int64_t out_offset{0};

 private:
  const RowPlan& plan_;
  Shape position_;
};

/**
 * whole_row: every element, where it is.
 * select:    a selection of the row, then a sort of what was selected if asked.
 */
enum class TopKAlgorithm { whole_row, select };

struct TopKPlan {
  RowPlan rows;
  int64_t k;
  TopKAlgorithm algorithm;
};

TopKPlan plan_topk(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int k,
    selection::TopKOrder order);

} // namespace mlx::core
