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
 * Does what stock MLX's searchsorted does, and calls it to evaluate. Unlike
 * stock MLX's primitive, this one can be vectorised over the sorted sequence.
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

/** Returns for each element of ``keys`` its position in ``sequence``. */
MLX_API array sorted_search(
    const array& sequence,
    const array& keys,
    SearchSide side,
    StreamOrDevice s = {});

} // namespace mlx::core
