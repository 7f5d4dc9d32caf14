// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of lexsort.

#pragma once

#include <utility>
#include <vector>

#include "mlx/primitives.h"

namespace mlx::core {

/**
 * Whether each key is an input, or one input holds all of them along its first
 * axis.
 */
enum class KeyLayout { separate, stacked };

/**
 * Returns the indices that sort an axis by several keys. The last key counts
 * most. ``axis`` is an axis of one key. Evaluates by one stable argsort for
 * each key.
 */
class MLX_API LexSort : public UnaryPrimitive {
 public:
  explicit LexSort(Stream stream, int axis, KeyLayout layout)
      : UnaryPrimitive(stream), axis_(axis), layout_(layout) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(LexSort)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_pair(axis_, layout_);
  }

 private:
  int axis_;
  KeyLayout layout_;
};

/**
 * Returns what LexSort does, composed of argsorts. ``axis`` is not negative.
 */
MLX_API array lex_order(
    const std::vector<array>& inputs,
    int axis,
    KeyLayout layout,
    const Stream& s);

} // namespace mlx::core
