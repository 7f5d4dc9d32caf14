// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/stock_graph.h"

#include "mlx/ops.h"
#include "overlay/portable_graph.h"

namespace mlx::core {

namespace {

bool holds_for_any_shape() {
  return portable_shapes() == PortableShapes::any;
}

// In a portable graph for any shape, the functions here build graphs that do
// not contain the size of the axis. So the graphs are valid for inputs of other
// sizes too.

/** Returns the last index of the axis, as an array. */
array last_index(const array& a, int axis, const Stream& s) {
  if (!holds_for_any_shape()) {
    return array(static_cast<uint32_t>(a.shape(axis)) - 1, uint32);
  }
  auto size = number_of_elements(a, {axis}, false, uint32, s);
  return subtract(size, array(1, uint32), s);
}

/**
 * Returns 0, ..., k - 1 along the axis, or k - 1, ..., 0 if ``reversed``. The
 * other axes are those of ``indices``.
 */
array first_positions(
    const array& indices,
    int k,
    int axis,
    bool reversed,
    const Stream& s) {
  auto first = arange(0, k, uint32, s);
  if (reversed) {
    first = subtract(array(static_cast<uint32_t>(k - 1), uint32), first, s);
  }
  auto shape = Shape(indices.ndim(), 1);
  shape[axis] = k;
  auto one_each = multiply(sum(indices, axis, true, s), array(0, uint32), s);
  return add(one_each, reshape(first, shape, s), s);
}

/** Returns last, ..., 1, 0 along the axis, where ``last`` is last_index(). */
array reverse_positions(
    const array& a,
    const array& last,
    int axis,
    const Stream& s) {
  return subtract(last, stock_positions(a, axis, s), s);
}

array best_of_any_shape(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder result_order,
    const Stream& s) {
  auto order = argsort(a, axis, s);
  auto first =
      first_positions(order, k, axis, result_order == TopKOrder::unsorted, s);
  if (mode == TopKMode::smallest) {
    return take_along_axis(order, first, axis, s);
  }
  auto last = last_index(a, axis, s);
  auto reverse = reverse_positions(a, last, axis, s);
  order = argsort(take_along_axis(a, reverse, axis, s), axis, s);
  order = take_along_axis(order, subtract(last, first, s), axis, s);
  return subtract(last, order, s);
}

array best_of_this_shape(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    const Stream& s) {
  auto start = Shape(a.ndim(), 0);
  auto stop = a.shape();
  if (mode == TopKMode::smallest) {
    stop[axis] = k;
    auto best = slice(argsort(a, axis, s), start, stop, s);
    return order == TopKOrder::sorted ? best : flip(best, axis, s);
  }
  // Sorts the reversed row in ascending, stable order. The best are the last k
  // of the result, and the last of all has the lowest index among its equals.
  start[axis] = a.shape(axis) - k;
  auto ascending = slice(argsort(flip(a, axis, s), axis, s), start, stop, s);
  auto last = array(static_cast<uint32_t>(a.shape(axis)) - 1, uint32);
  auto best = subtract(last, ascending, s);
  return order == TopKOrder::sorted ? flip(best, axis, s) : best;
}

/** Reverses the axis. */
array reversed(const array& a, int axis, const Stream& s) {
  if (!holds_for_any_shape()) {
    return flip(a, axis, s);
  }
  auto reverse = reverse_positions(a, last_index(a, axis, s), axis, s);
  return take_along_axis(a, stop_gradient(reverse, s), axis, s);
}

} // namespace

array stock_topk_indices(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    const Stream& s) {
  return holds_for_any_shape() ? best_of_any_shape(a, k, axis, mode, order, s)
                               : best_of_this_shape(a, k, axis, mode, order, s);
}

// A descending sort is the reverse of an ascending sort of the reversed row.
// Reversing twice keeps equal elements in the order of their indices.

array stock_sort(
    const array& a,
    int axis,
    SortDirection direction,
    const Stream& s) {
  if (direction == SortDirection::ascending) {
    return sort(a, axis, s);
  }
  return reversed(sort(reversed(a, axis, s), axis, s), axis, s);
}

array stock_argsort(
    const array& a,
    int axis,
    SortDirection direction,
    const Stream& s) {
  if (direction == SortDirection::ascending) {
    return argsort(a, axis, s);
  }
  auto order = reversed(argsort(reversed(a, axis, s), axis, s), axis, s);
  return subtract(last_index(a, axis, s), order, s);
}

array stock_argpartition(
    const array& a,
    std::span<const int> kths,
    int axis,
    SortDirection direction,
    const Stream& s) {
  // MLX's ArgPartition stores kth counted from the front. If the caller gave a
  // negative kth, that is wrong for an axis of another size.
  bool sorts = direction == SortDirection::descending || kths.size() > 1;
  return sorts || holds_for_any_shape() ? stock_argsort(a, axis, direction, s)
                                        : argpartition(a, kths[0], axis, s);
}

array stock_positions(const array& a, int axis, const Stream& s) {
  // The stable argsort of n equal keys is 0, 1, ..., n - 1.
  auto equals = multiply(argsort(a, axis, s), array(0, uint32), s);
  return argsort(equals, axis, s);
}

} // namespace mlx::core
