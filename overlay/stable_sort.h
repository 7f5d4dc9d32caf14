// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of sort, argsort, partition and argpartition.

#pragma once

#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "mlx/primitives.h"

namespace mlx::core {

/** Whether a sort returns the elements, or their indices in the input. */
enum class SortResult { values, indices };

/**
 * Sorts an axis in ascending, stable order. With ``kth`` it only partitions the
 * axis: position ``kth`` holds the element that the sort would put there, the
 * elements before it are not greater, and those after it are not smaller. A
 * negative ``kth`` is stored as it is, because a shapeless graph may run again
 * on an axis of another size.
 */
class MLX_API StableSort : public UnaryPrimitive {
 public:
  explicit StableSort(
      Stream stream,
      std::optional<int> kth,
      int axis,
      SortResult result)
      : UnaryPrimitive(stream), kth_(kth), axis_(axis), result_(result) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(StableSort)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_tuple(kth_, axis_, result_);
  }

  /**
   * Throws std::invalid_argument unless kth is an index into the axis. ``op``
   * is the name in the message.
   */
  static void check_kth(const char* op, int kth, int axis, const Shape& shape);

 private:
  array same_op(const array& a, int axis, SortResult result);

  std::optional<int> kth_;
  int axis_;
  SortResult result_;
};

} // namespace mlx::core
