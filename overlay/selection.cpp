// Copyright © 2026 the mlx-topk authors. MIT licence.

// Validates arguments, applies the index gradient mode and builds the
// primitives.

#include "overlay/selection.h"

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mlx/ops.h"
#include "mlx/topk_ops.h"
#include "mlx/topk_seam.h"
#include "overlay/index_output.h"
#include "overlay/stable_arg_reduce.h"
#include "overlay/stable_sort.h"
#include "overlay/stock_graph.h"
#include "overlay/stock_ops.h"

namespace mlx::core::selection {

namespace {

bool has_axis(const array& a, int axis) {
  int ndim = a.ndim();
  return axis >= -ndim && axis < ndim;
}

array stable_sort(
    const array& a,
    std::span<const int> kths,
    int axis,
    SortResult result,
    SortDirection direction,
    const Stream& stream) {
  return array(
      a.shape(),
      result == SortResult::indices ? uint32 : a.dtype(),
      std::make_shared<StableSort>(stream, kths, axis, result, direction),
      {a});
}

void check_kths(
    const char* op,
    std::span<const int> kths,
    int axis,
    const Shape& shape) {
  for (int kth : kths) {
    StableSort::check_kth(op, kth, axis, shape);
  }
}

array partition_indices(
    const array& a,
    std::span<const int> kths,
    int axis,
    SortDirection direction,
    StreamOrDevice s) {
  axis = check_axis("argpartition", axis, a);
  check_kths("argpartition", kths, axis, a.shape());
  auto stream = to_stream(s);
  auto op = [&](const array& in) {
    if (kths.empty()) {
      return stock_positions(in, axis, stream);
    }
    return partition_is_stock(in, kths, axis, direction, stream)
        ? stock_argpartition(in, kths, axis, direction, stream)
        : stable_sort(in, kths, axis, SortResult::indices, direction, stream);
  };
  return index_op("argpartition", stream, op, a);
}

array partition_values(
    const array& a,
    std::span<const int> kths,
    int axis,
    SortDirection direction,
    StreamOrDevice s) {
  axis = check_axis("partition", axis, a);
  check_kths("partition", kths, axis, a.shape());
  if (kths.empty()) {
    return a;
  }
  auto stream = to_stream(s);
  if (!partition_is_stock(a, kths, axis, direction, stream)) {
    return stable_sort(a, kths, axis, SortResult::values, direction, stream);
  }
  // The index gradient mode must not matter, because the result holds values.
  IndexGradientScope stop(IndexGradient::stop);
  auto indices = partition_indices(a, kths, axis, direction, stream);
  return take_along_axis(a, indices, axis, stream);
}

array stock_arg_reduce(
    const array& a,
    std::optional<int> axis,
    bool keepdims,
    TopKMode mode,
    const Stream& s) {
  if (mode == TopKMode::largest) {
    return axis ? core::argmax(a, *axis, keepdims, s)
                : core::argmax(a, keepdims, s);
  }
  return axis ? core::argmin(a, *axis, keepdims, s)
              : core::argmin(a, keepdims, s);
}

array arg_reduce(
    const array& a,
    std::optional<int> axis,
    bool keepdims,
    TopKMode mode,
    StreamOrDevice s) {
  auto stream = to_stream(s);
  auto name = mode == TopKMode::largest ? "argmax" : "argmin";
  auto op = [&](const array& in) {
    int ndim = in.ndim();
    // Stock MLX raises the error for a bad axis.
    if (ndim == 0 || (axis && !has_axis(in, *axis))) {
      return stock_arg_reduce(in, axis, keepdims, mode, stream);
    }
    auto rows = axis ? in : flatten(in, stream);
    int along = axis ? (*axis + ndim) % ndim : 0;
    check_axis_has_elements(name, along, rows.shape());
    // Stock MLX refuses an array without elements, also if its axis has some.
    bool empty = in.size() == 0;
    if (!empty && prefers_stock(stream)) {
      return stock_arg_reduce(in, axis, keepdims, mode, stream);
    }
    bool keeps_axis = axis && keepdims;
    auto reduce =
        std::make_shared<StableArgReduce>(stream, along, mode, keeps_axis);
    auto shape = reduce->output_shapes({rows})[0];
    auto out = empty && prefers_stock(stream)
        ? zeros(shape, uint32, stream)
        : array(shape, uint32, reduce, {rows});
    return keepdims && !axis ? reshape(out, Shape(ndim, 1), stream) : out;
  };
  return index_op(name, stream, op, a);
}

} // namespace

TopKResult top_k(
    const array& a,
    int k,
    int axis /* = -1 */,
    TopKMode mode /* = TopKMode::largest */,
    TopKOrder order /* = TopKOrder::sorted */,
    StreamOrDevice s /* = {} */) {
  return core::top_k(a, k, axis, mode, order, s);
}

TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s /* = {} */) {
  return core::topk(a, k, axis, mode, order, s);
}

array topk(const array& a, int k, int axis, StreamOrDevice s /* = {} */) {
  return core::topk_values(
      a, k, axis, TopKMode::largest, TopKOrder::unsorted, s);
}

array topk(const array& a, int k, StreamOrDevice s /* = {} */) {
  return selection::topk(flatten(a, s), k, 0, s);
}

array argpartition(
    const array& a,
    const std::vector<int>& kths,
    int axis,
    SortDirection direction /* = SortDirection::ascending */,
    StreamOrDevice s /* = {} */) {
  return partition_indices(a, kths, axis, direction, s);
}

array argpartition(
    const array& a,
    int kth,
    int axis,
    SortDirection direction,
    StreamOrDevice s /* = {} */) {
  return partition_indices(a, {&kth, 1}, axis, direction, s);
}

array argpartition(
    const array& a,
    int kth,
    int axis,
    StreamOrDevice s /* = {} */) {
  return selection::argpartition(a, kth, axis, SortDirection::ascending, s);
}

array argpartition(const array& a, int kth, StreamOrDevice s /* = {} */) {
  return selection::argpartition(flatten(a, s), kth, 0, s);
}

array partition(
    const array& a,
    const std::vector<int>& kths,
    int axis,
    SortDirection direction /* = SortDirection::ascending */,
    StreamOrDevice s /* = {} */) {
  return partition_values(a, kths, axis, direction, s);
}

array partition(
    const array& a,
    int kth,
    int axis,
    SortDirection direction,
    StreamOrDevice s /* = {} */) {
  return partition_values(a, {&kth, 1}, axis, direction, s);
}

array partition(
    const array& a,
    int kth,
    int axis,
    StreamOrDevice s /* = {} */) {
  return selection::partition(a, kth, axis, SortDirection::ascending, s);
}

array partition(const array& a, int kth, StreamOrDevice s /* = {} */) {
  return selection::partition(flatten(a, s), kth, 0, s);
}

array argsort(
    const array& a,
    int axis,
    SortDirection direction,
    StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  auto op = [&](const array& in) {
    if (!has_axis(in, axis)) {
      return core::argsort(in, axis, stream); // an error
    }
    int along = axis < 0 ? axis + in.ndim() : axis;
    return prefers_stock(stream)
        ? stock_argsort(in, along, direction, stream)
        : stable_sort(in, {}, along, SortResult::indices, direction, stream);
  };
  return index_op("argsort", stream, op, a);
}

array argsort(const array& a, int axis, StreamOrDevice s /* = {} */) {
  return selection::argsort(a, axis, SortDirection::ascending, s);
}

array argsort(const array& a, StreamOrDevice s /* = {} */) {
  return selection::argsort(flatten(a, s), 0, s);
}

array sort(
    const array& a,
    int axis,
    SortDirection direction,
    StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  if (!has_axis(a, axis)) {
    return core::sort(a, axis, stream); // an error
  }
  int along = axis < 0 ? axis + a.ndim() : axis;
  return prefers_stock(stream)
      ? stock_sort(a, along, direction, stream)
      : stable_sort(a, {}, along, SortResult::values, direction, stream);
}

array sort(const array& a, int axis, StreamOrDevice s /* = {} */) {
  return selection::sort(a, axis, SortDirection::ascending, s);
}

array sort(const array& a, StreamOrDevice s /* = {} */) {
  return selection::sort(flatten(a, s), 0, s);
}

array argmax(
    const array& a,
    int axis,
    bool keepdims /* = false */,
    StreamOrDevice s /* = {} */) {
  return arg_reduce(a, axis, keepdims, TopKMode::largest, s);
}

array argmax(const array& a, bool keepdims, StreamOrDevice s /* = {} */) {
  return arg_reduce(a, {}, keepdims, TopKMode::largest, s);
}

array argmin(
    const array& a,
    int axis,
    bool keepdims /* = false */,
    StreamOrDevice s /* = {} */) {
  return arg_reduce(a, axis, keepdims, TopKMode::smallest, s);
}

array argmin(const array& a, bool keepdims, StreamOrDevice s /* = {} */) {
  return arg_reduce(a, {}, keepdims, TopKMode::smallest, s);
}

} // namespace mlx::core::selection
