// Copyright © 2026 the mlx-topk authors. MIT licence.

// Which rows there are and what is done to each: pure arithmetic on shapes and
// strides, the same for every back end.

#pragma once

#include <cstdint>
#include <optional>

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
  explicit RowCursor(const RowPlan& plan, int64_t first = 0);
  void next();

  int64_t in_offset{0};
  int64_t out_offset{0};

 private:
  const RowPlan& plan_;
  Shape position_;
};

/**
 * whole_row: every element, where it is.
 * short_row: the row as ranks on the stack, a bound, and few survivors.
 * bounded:   a bound on the k-th best from one pass, then what is up to it.
 * select:    the whole row as ranks, split at the k-th best.
 *
 * Chosen by the size of the axis and k, never by how many rows there are: a
 * batch gives what its rows give.
 */
enum class TopKAlgorithm { whole_row, short_row, bounded, select };

/** For tests: this one wherever it can be. Empty: the one that is fastest. */
MLX_API void force_topk_algorithm(std::optional<TopKAlgorithm> algorithm);

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
