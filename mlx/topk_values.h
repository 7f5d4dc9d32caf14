// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of a selection whose indices nobody asked for. It allocates no
// memory for them.

#pragma once

#include <utility>
#include <vector>

#include "mlx/topk_primitive.h"

namespace mlx::core {

/** The k best elements along an axis. Its one output is their values. */
class MLX_API TopKValues : public TopK {
 public:
  using TopK::TopK;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(TopKValues)
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
};

/**
 * Returns the values of the selection that ``topk`` describes. While ``a`` is
 * traced this builds a TopK, because its gradient uses the indices. Otherwise
 * it builds a TopKValues.
 */
array build_topk_values(const array& a, TopK& topk);

} // namespace mlx::core
