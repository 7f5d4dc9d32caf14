// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of sort, argsort, partition and argpartition.

#pragma once

#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "mlx/primitives.h"
#include "overlay/sort_direction.h"

namespace mlx::core {

/** Whether a sort returns the elements, or their indices in the input. */
enum class SortResult { values, indices };

/**
 * Sorts an axis in stable order. With ``kths`` it only partitions the axis:
 * each of these positions holds the element that the sort would put there. The
 * elements before such a position are those that the sort would put before it,
 * and so are the elements after it. Negative ``kths`` are stored as they are,
 * because a shapeless graph may run again on an axis of another size.
 */
class MLX_API StableSort : public UnaryPrimitive {
 public:
  explicit StableSort(
      Stream stream,
      std::span<const int> kths,
      int axis,
      SortResult result,
      SortDirection direction = SortDirection::ascending)
      : UnaryPrimitive(stream),
        kths_(kths.begin(), kths.end()),
        axis_(axis),
        result_(result),
        direction_(direction) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(StableSort)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_tuple(kths_, axis_, result_, direction_);
  }

  /**
   * Throws std::invalid_argument unless kth is an index into the axis. ``op``
   * is the name in the message.
   */
  static void check_kth(const char* op, int kth, int axis, const Shape& shape);

 private:
  array same_op(const array& a, int axis, SortResult result);

  // Holds one position without memory of its own.
  SmallVector<int, 2> kths_;
  int axis_;
  SortResult result_;
  SortDirection direction_;
};

} // namespace mlx::core
