// Copyright © 2026 the mlx-topk authors. MIT licence.

// Validates arguments, applies the index gradient mode and builds the
// primitives.

#include "overlay/selection.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include "mlx/ops.h"
#include "mlx/topk_ops.h"
#include "mlx/topk_seam.h"
#include "overlay/index_output.h"
#include "overlay/sorted_search.h"
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

// Returns whether stock MLX does the sort. Stock MLX is also called if the axis
// does not exist, so that the error is stock MLX's.
bool sort_is_stock(const array& a, int axis, const Stream& stream) {
  return !has_axis(a, axis) || prefers_stock(stream);
}

array stable_sort(
    const array& a,
    std::optional<int> kth,
    int axis,
    SortResult result,
    const Stream& stream) {
  axis = axis < 0 ? axis + a.ndim() : axis;
  return array(
      a.shape(),
      result == SortResult::indices ? uint32 : a.dtype(),
      std::make_shared<StableSort>(stream, kth, axis, result),
      {a});
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
    auto shape = rows.shape();
    check_axis_has_elements(name, along, shape);
    // Stock MLX refuses an array without elements, also if its axis has some.
    bool empty = in.size() == 0;
    if (!empty && prefers_stock(stream)) {
      return stock_arg_reduce(in, axis, keepdims, mode, stream);
    }
    shape[along] = 1;
    auto out = empty && prefers_stock(stream)
        ? zeros(shape, uint32, stream)
        : array(
              shape,
              uint32,
              std::make_shared<StableArgReduce>(stream, along, mode),
              {rows});
    if (!axis) {
      return reshape(out, Shape(keepdims ? ndim : 0, 1), stream);
    }
    return keepdims ? out : squeeze(out, along, stream);
  };
  return index_op(name, stream, op, a);
}

// Searches a sequence of uint64 for signed integers, or the reverse. MLX would
// compare both as float32. ``search(sequence, keys, side)`` gets arguments that
// have the same type.
template <typename Search>
array search_mixed_signs(
    const array& sequence,
    const array& keys,
    const std::string& side,
    const Search& search,
    const Stream& s) {
  if (sequence.dtype() == uint64) {
    auto negative = less(keys, array(0, keys.dtype()), s);
    auto found = search(sequence, astype(keys, uint64, s), side);
    return where(negative, array(0u, uint32), found, s);
  }
  auto signed_sequence = astype(sequence, int64, s);
  auto limit = std::numeric_limits<int64_t>::max();
  auto beyond = greater(keys, array(static_cast<uint64_t>(limit), uint64), s);
  auto found = search(signed_sequence, astype(keys, int64, s), side);
  // Finds the size of the sequence by a search and not from its shape, because
  // a compiled function may run again with a sequence of another size.
  auto end = search(signed_sequence, array(limit, int64), "right");
  return where(beyond, end, found, s);
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
    int kth,
    int axis,
    StreamOrDevice s /* = {} */) {
  axis = check_axis("argpartition", axis, a);
  StableSort::check_kth("argpartition", kth, axis, a.shape());
  auto stream = to_stream(s);
  auto op = [&](const array& in) {
    return partition_is_stock(in, kth, axis, stream)
        ? stock_argpartition(in, kth, axis, stream)
        : stable_sort(in, kth, axis, SortResult::indices, stream);
  };
  return index_op("argpartition", stream, op, a);
}

array argpartition(const array& a, int kth, StreamOrDevice s /* = {} */) {
  return selection::argpartition(flatten(a, s), kth, 0, s);
}

array partition(
    const array& a,
    int kth,
    int axis,
    StreamOrDevice s /* = {} */) {
  axis = check_axis("partition", axis, a);
  StableSort::check_kth("partition", kth, axis, a.shape());
  auto stream = to_stream(s);
  if (!partition_is_stock(a, kth, axis, stream)) {
    return stable_sort(a, kth, axis, SortResult::values, stream);
  }
  // The index gradient mode must not matter, because the result holds values.
  IndexGradientScope stop(IndexGradient::stop);
  auto indices = selection::argpartition(a, kth, axis, stream);
  return take_along_axis(a, indices, axis, stream);
}

array partition(const array& a, int kth, StreamOrDevice s /* = {} */) {
  return selection::partition(flatten(a, s), kth, 0, s);
}

array argsort(const array& a, int axis, StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  auto op = [&](const array& in) {
    return sort_is_stock(in, axis, stream)
        ? core::argsort(in, axis, stream)
        : stable_sort(in, {}, axis, SortResult::indices, stream);
  };
  return index_op("argsort", stream, op, a);
}

array argsort(const array& a, StreamOrDevice s /* = {} */) {
  return selection::argsort(flatten(a, s), 0, s);
}

array sort(const array& a, int axis, StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  return sort_is_stock(a, axis, stream)
      ? core::sort(a, axis, stream)
      : stable_sort(a, {}, axis, SortResult::values, stream);
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

array searchsorted(
    const array& sorted_sequence,
    const array& values,
    const std::string& side /* = "left" */,
    StreamOrDevice s /* = {} */) {
  auto search =
      [&](const array& sequence, const array& keys, const std::string& side) {
        if (side != "left" && side != "right") {
          return core::searchsorted(sequence, keys, side, s); // an error
        }
        auto at = side == "left" ? SearchSide::left : SearchSide::right;
        return sorted_search(sequence, keys, at, s);
      };
  auto op = [&](const array& sequence, const array& keys) {
    auto a = sequence.dtype(), b = keys.dtype();
    bool mixed = (a == uint64 && issubdtype(b, signedinteger)) ||
        (b == uint64 && issubdtype(a, signedinteger));
    return mixed
        ? search_mixed_signs(sequence, keys, side, search, to_stream(s))
        : search(sequence, keys, side);
  };
  return index_op("searchsorted", s, op, sorted_sequence, values);
}

} // namespace mlx::core::selection
