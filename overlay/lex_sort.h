// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of lexsort.

#pragma once

#include <vector>

#include "mlx/primitives.h"

namespace mlx::core {

/**
 * Returns the indices that sort an axis by several keys, its inputs. The last
 * input counts most. Evaluates by one stable argsort for each key.
 */
class MLX_API LexSort : public UnaryPrimitive {
 public:
  explicit LexSort(Stream stream, int axis)
      : UnaryPrimitive(stream), axis_(axis) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(LexSort)
  DEFINE_INPUT_OUTPUT_SHAPE()
  bool is_equivalent(const Primitive& other) const override;
  int state() const {
    return axis_;
  }

 private:
  int axis_;
};

/**
 * Returns the indices that sort by all keys, composed of argsorts. ``axis`` is
 * not negative.
 */
MLX_API array
lex_order(const std::vector<array>& keys, int axis, const Stream& s);

} // namespace mlx::core
