// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node that topk and top_k build. Its autograd rules are side by side
// in topk_primitive.cpp, its kernels are in backend/.

#pragma once

#include <tuple>
#include <utility>
#include <vector>

#include "mlx/primitives.h"
#include "mlx/topk.h"

namespace mlx::core {

/** The k best elements along an axis. Outputs are their values and indices. */
class MLX_API TopK : public Primitive {
 public:
  explicit TopK(Stream stream, int k, int axis, TopKMode mode, TopKOrder order)
      : Primitive(stream), k_(k), axis_(axis), mode_(mode), order_(order) {}

  void eval_cpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;
  void eval_gpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(TopK)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_tuple(k_, axis_, mode_, order_);
  }

  /**
   * Throws std::invalid_argument unless k is between 0 and the size of the
   * axis. ``op`` is the name in the message.
   */
  static void check_k(const char* op, int k, int axis, const Shape& shape);

 private:
  std::vector<array> same_op(const array& a, int axis);

  int k_;
  int axis_;
  TopKMode mode_;
  TopKOrder order_;
};

} // namespace mlx::core
