// Copyright © 2026 the mlx-topk authors. MIT licence.

// Which rows there are and what is done to each: pure arithmetic on shapes and
// strides, the same for every back end.

#pragma once

#include <cstdint>
#include <optional>

#include "mlx/array.h"
#include "mlx/topk.h"

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

  // The other axes, outermost first, merged where one stride serves both: so
  // that a size may be beyond an int.
  Strides shape;
  Strides in_strides;
  Strides out_strides;

  // The greatest offset of an element.
  int64_t last_in_offset;
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

  /** How many rows of the innermost of the other axes are to come. */
  int64_t left_of_inner() const {
    return position_.empty() ? 1 : plan_.shape.back() - position_.back();
  }

  int64_t in_offset{0};
  int64_t out_offset{0};

 private:
  const RowPlan& plan_;
  Strides position_;
};

/**
 * whole_row: every element, where it is.
 * lanes:     several rows at once, each in its lane of a sorting network.
 * short_row: the row as ranks on the stack, a bound, and few survivors.
 * bounded:   a bound on the k-th best from one pass, then what reaches it.
 * select:    the whole row as ranks, split at the k-th best.
 *
 * Chosen by the size of the axis and k, never by how many rows there are: a
 * batch gives what its rows give.
 */
enum class TopKAlgorithm { whole_row, lanes, short_row, bounded, select };

/** What the algorithms are made for, and where one becomes the faster. */
struct TopKTuning {
  static constexpr int64_t lanes_size = 256;
  static constexpr int64_t lanes_k = 16;
  static constexpr int64_t short_row_size = 1024;
  static constexpr int64_t short_row_k = 64;
  // Of a row, for each of the k: below, the whole row is split.
  static constexpr int64_t bounded_elements_per_k = 8;
};

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
    TopKOrder order);

} // namespace mlx::core
