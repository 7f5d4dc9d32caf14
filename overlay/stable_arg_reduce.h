// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of argmax and argmin.

#pragma once

#include <tuple>
#include <utility>
#include <vector>

#include "mlx/primitives.h"
#include "mlx/topk.h"

namespace mlx::core {

/**
 * Returns the index of the first best element along an axis. The output has
 * size 1 along this axis, or lacks it unless ``keepdims``. NaN is best in both
 * modes, as in MLX's argmax and argmin.
 */
class MLX_API StableArgReduce : public UnaryPrimitive {
 public:
  explicit StableArgReduce(
      Stream stream,
      int axis,
      TopKMode mode,
      bool keepdims)
      : UnaryPrimitive(stream), axis_(axis), mode_(mode), keepdims_(keepdims) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(StableArgReduce)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_tuple(axis_, mode_, keepdims_);
  }

 private:
  int axis_;
  TopKMode mode_;
  bool keepdims_;
};

} // namespace mlx::core
