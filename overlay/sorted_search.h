// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of searchsorted.

#pragma once

#include <vector>

#include "mlx/primitives.h"
#include "mlx/utils.h"

namespace mlx::core {

/** Whether a key goes before or after the elements that equal it. */
enum class SearchSide { left, right };

/**
 * Searches a sequence of one dimension as stock MLX's searchsorted does, and
 * calls it to evaluate. Unlike stock MLX's primitive, this one can be
 * vectorised over the sorted sequence.
 *
 * With a sequence of more dimensions, searches each row of its last axis for
 * the keys in the same row of the last axis of the keys.
 */
class MLX_API SortedSearch : public UnaryPrimitive {
 public:
  explicit SortedSearch(Stream stream, SearchSide side)
      : UnaryPrimitive(stream), side_(side) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(SortedSearch)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  SearchSide state() const {
    return side_;
  }

 private:
  SearchSide side_;
};

/**
 * Returns for each element of ``keys`` its position in ``sequence``, which has
 * one dimension.
 */
MLX_API array sorted_search(
    const array& sequence,
    const array& keys,
    SearchSide side,
    StreamOrDevice s = {});

/**
 * Searches each row of ``sequences`` for the keys in the same row of ``keys``.
 * Both have the same shape, except for the last axis.
 */
MLX_API array sorted_search_rows(
    const array& sequences,
    const array& keys,
    SearchSide side,
    StreamOrDevice s = {});

/**
 * Does what sorted_search_rows does, with stock MLX's ops. Both arrays have the
 * same type.
 */
MLX_API array stock_search_rows(
    const array& sequences,
    const array& keys,
    SearchSide side,
    const Stream& s);

} // namespace mlx::core
