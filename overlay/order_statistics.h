// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of kthvalue, quantile and median.

#pragma once

#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "mlx/primitives.h"
#include "mlx/topk.h"

namespace mlx::core {

/**
 * What happens in a row with a NaN. ``greatest``: NaN is an element like any
 * other, and counts as greatest. ``wins``: the first NaN is at every place.
 */
enum class NanRule { greatest, wins };

/**
 * The elements that a stable sort along an axis has at some places, and their
 * indices. Both outputs have as many elements along the axis as there are
 * places. The sort is ascending in mode ``smallest``, and has the greatest
 * element first in mode ``largest``.
 *
 * The places are part of the primitive, or, if ``places`` is empty, a second
 * input of type uint32: a vector of places for all rows, or an array of the
 * shape of the outputs, with places for each row. A place of the second input
 * that is beyond the row is taken for the last one. Places in the primitive are
 * those of kthvalue, and are checked against each new shape.
 */
class MLX_API OrderStatistics : public Primitive {
 public:
  explicit OrderStatistics(
      Stream stream,
      std::vector<uint32_t> places,
      int axis,
      TopKMode mode,
      NanRule nan)
      : Primitive(stream),
        places_(std::move(places)),
        axis_(axis),
        mode_(mode),
        nan_(nan) {}

  void eval_cpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;
  void eval_gpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(OrderStatistics)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_tuple(places_, axis_, mode_, nan_);
  }

  /** Builds the graph node. Returns the values and the indices. */
  static TopKResult build(
      const std::vector<array>& inputs,
      std::shared_ptr<OrderStatistics> primitive);

  /**
   * Throws std::invalid_argument unless k is between 1 and the size of the
   * axis, which kthvalue requires.
   */
  static void check_k(int k, int axis, const Shape& shape);

 private:
  TopKResult same_op(const std::vector<array>& inputs, int axis);

  std::vector<uint32_t> places_;
  int axis_;
  TopKMode mode_;
  NanRule nan_;
};

/**
 * Returns the elements that an ascending, stable sort along the axis has at
 * ``places``, and their indices. Transforms treat the indices as the index
 * gradient mode says, and errors call the op ``op``. Builds an OrderStatistics,
 * or a graph of stock MLX's ops where these are preferred. ``axis`` is not
 * negative. ``places`` is a vector of type uint32.
 */
TopKResult elements_at(
    const char* op,
    const array& a,
    const array& places,
    int axis,
    NanRule nan,
    const Stream& s);

/** Does the same for one place of a sort in either direction. */
TopKResult element_at(
    const char* op,
    const array& a,
    uint32_t place,
    int axis,
    TopKMode mode,
    const Stream& s);

} // namespace mlx::core
