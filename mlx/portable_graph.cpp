// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/portable_graph.h"

#include <vector>

#include "mlx/ops.h"
#include "mlx/portable_ops.h"

namespace mlx::core {

namespace {

std::vector<PortableShapes>& scopes() {
  static thread_local std::vector<PortableShapes> scopes_;
  return scopes_;
}

bool follows_shapes() {
  return in_portable_graph() && scopes().back() == PortableShapes::any;
}

// The next three never ask for the size of the axis, so that a graph made of
// them holds for other sizes too.

array last_index(const array& a, int axis, const Stream& s) {
  auto size = number_of_elements(a, {axis}, false, uint32, s);
  return subtract(size, array(1, uint32), s);
}

array positions(const array& a, int axis, const Stream& s) {
  // A stable sort of equals leaves all where they are.
  auto equals = multiply(argsort(a, axis, s), array(0, uint32), s);
  return argsort(equals, axis, s);
}

array first_positions(const array& indices, int k, int axis, const Stream& s) {
  auto shape = Shape(indices.ndim(), 1);
  shape[axis] = k;
  auto one_each = multiply(sum(indices, axis, true, s), array(0, uint32), s);
  return add(one_each, reshape(arange(0, k, uint32, s), shape, s), s);
}

array best_of_any_shape(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    const Stream& s) {
  auto order = argsort(a, axis, s);
  auto first = first_positions(order, k, axis, s);
  if (mode == TopKMode::smallest) {
    return take_along_axis(order, first, axis, s);
  }
  auto last = last_index(a, axis, s);
  auto reverse = subtract(last, positions(a, axis, s), s);
  order = argsort(take_along_axis(a, reverse, axis, s), axis, s);
  order = take_along_axis(order, subtract(last, first, s), axis, s);
  return subtract(last, order, s);
}

array best_of_this_shape(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    const Stream& s) {
  auto start = Shape(a.ndim(), 0);
  auto stop = a.shape();
  stop[axis] = k;
  if (mode == TopKMode::smallest) {
    return slice(argsort(a, axis, s), start, stop, s);
  }
  // A stable ascending sort of the reversed row, read backwards, descends and
  // keeps the lower index first among equals.
  auto order = flip(argsort(flip(a, axis, s), axis, s), axis, s);
  auto last = array(static_cast<uint32_t>(a.shape(axis)) - 1, uint32);
  return subtract(last, slice(order, start, stop, s), s);
}

} // namespace

PortableGraphScope::PortableGraphScope(
    PortableShapes shapes /* = PortableShapes::fixed */) {
  scopes().push_back(shapes);
}

PortableGraphScope::~PortableGraphScope() {
  scopes().pop_back();
}

bool in_portable_graph() {
  return !scopes().empty();
}

bool needs_portable_ops(const Stream& s) {
  return in_portable_graph() || s.device == Device::gpu;
}

array portable_top_k(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    const Stream& s) {
  return follows_shapes() ? best_of_any_shape(a, k, axis, mode, s)
                          : best_of_this_shape(a, k, axis, mode, s);
}

array portable_argpartition(
    const array& a,
    int kth,
    int axis,
    const Stream& s) {
  // MLX's ArgPartition has kth counted from the front once and for all.
  return follows_shapes() ? argsort(a, axis, s) : argpartition(a, kth, axis, s);
}

} // namespace mlx::core
