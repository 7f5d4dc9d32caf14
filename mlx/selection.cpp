// Copyright © 2026 the mlx-topk authors. MIT licence.

// Validates, applies the index gradient, and hands over to the primitives.

#include "mlx/selection.h"

#include <optional>
#include <sstream>

#include "mlx/backend/gpu_selection.h"
#include "mlx/index_output.h"
#include "mlx/ops.h"
#include "mlx/portable_graph.h"
#include "mlx/portable_ops.h"
#include "mlx/selection_primitives.h"

namespace mlx::core::selection {

namespace {

bool has_axis(const array& a, int axis) {
  int ndim = a.ndim();
  return axis >= -ndim && axis < ndim;
}

int check_axis(const char* op, int axis, const array& a) {
  int ndim = a.ndim();
  if (!has_axis(a, axis)) {
    std::ostringstream msg;
    msg << "[" << op << "] axis ";
    if (ndim == 0) {
      msg << "cannot be given for an array with 0 dimensions";
    } else {
      msg << "must be between " << -ndim << " and " << ndim - 1
          << " for an array with shape " << a.shape();
    }
    msg << ", got " << axis << ".";
    throw std::out_of_range(msg.str());
  }
  return axis < 0 ? axis + ndim : axis;
}

// Whether ops have to be built of MLX's own primitives: on the GPU where it has
// no kernel of ours for this.
bool topk_is_portable(const array& a, int axis, int k, const Stream& s) {
  return needs_portable_ops(s) &&
      (in_portable_graph() || !gpu_has_topk(a, axis, k));
}

bool partition_is_portable(const array& a, int axis, int kth, const Stream& s) {
  return needs_portable_ops(s) &&
      (in_portable_graph() || !gpu_has_partition(a, axis, kth));
}

TopKResult top_k_op(
    const char* op,
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s) {
  axis = check_axis(op, axis, a);
  TopK::check_k(op, k, axis, a.shape());
  auto stream = to_stream(s);
  if (topk_is_portable(a, axis, k, stream)) {
    auto choose = [&](const array& in) {
      return portable_top_k(in, k, axis, mode, stream);
    };
    auto indices = index_op(op, stream, choose, a);
    auto chosen = constant(indices, stream);
    return {take_along_axis(a, chosen, axis, stream), indices};
  }
  auto shape = a.shape();
  shape[axis] = k;
  auto outputs = array::make_arrays(
      {shape, shape},
      {a.dtype(), uint32},
      std::make_shared<TopK>(stream, k, axis, mode, order),
      {a});
  return {outputs[0], index_output(outputs[1], op, stream)};
}

// MLX's own does the rest, and refuses in its own words.
bool sorts_ourselves(const array& a, int axis, const Stream& stream) {
  return has_axis(a, axis) && !needs_portable_ops(stream);
}

array row_order(
    const array& a,
    std::optional<int> kth,
    int axis,
    OrderResult result,
    const Stream& stream) {
  axis = axis < 0 ? axis + a.ndim() : axis;
  return array(
      a.shape(),
      result == OrderResult::indices ? uint32 : a.dtype(),
      std::make_shared<RowOrder>(stream, kth, axis, result),
      {a});
}

// MLX's own, in its own words where it refuses.
array stock_arg_best(
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

array arg_best(
    const array& a,
    std::optional<int> axis,
    bool keepdims,
    TopKMode mode,
    StreamOrDevice s) {
  auto stream = to_stream(s);
  auto op = [&](const array& in) {
    int ndim = in.ndim();
    bool refused = in.size() == 0 || (axis && !has_axis(in, *axis));
    if (refused || ndim == 0 || needs_portable_ops(stream)) {
      return stock_arg_best(in, axis, keepdims, mode, stream);
    }
    auto rows = axis ? in : flatten(in, stream);
    int along = axis ? (*axis + ndim) % ndim : 0;
    auto shape = rows.shape();
    shape[along] = 1;
    auto out = array(
        shape, uint32, std::make_shared<ArgBest>(stream, along, mode), {rows});
    if (!axis) {
      return reshape(out, Shape(keepdims ? ndim : 0, 1), stream);
    }
    return keepdims ? out : squeeze(out, along, stream);
  };
  return index_op(
      mode == TopKMode::largest ? "argmax" : "argmin", stream, op, a);
}

} // namespace

TopKResult top_k(
    const array& a,
    int k,
    int axis /* = -1 */,
    TopKMode mode /* = TopKMode::largest */,
    TopKOrder order /* = TopKOrder::sorted */,
    StreamOrDevice s /* = {} */) {
  return top_k_op("top_k", a, k, axis, mode, order, s);
}

TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s /* = {} */) {
  return top_k_op("topk", a, k, axis, mode, order, s);
}

array topk(const array& a, int k, int axis, StreamOrDevice s /* = {} */) {
  return selection::topk(a, k, axis, TopKMode::largest, TopKOrder::unsorted, s)
      .values;
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
  RowOrder::check_kth("argpartition", kth, axis, a.shape());
  auto stream = to_stream(s);
  auto op = [&](const array& in) {
    return partition_is_portable(in, axis, kth, stream)
        ? portable_argpartition(in, kth, axis, stream)
        : row_order(in, kth, axis, OrderResult::indices, stream);
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
  RowOrder::check_kth("partition", kth, axis, a.shape());
  auto stream = to_stream(s);
  if (!partition_is_portable(a, axis, kth, stream)) {
    return row_order(a, kth, axis, OrderResult::values, stream);
  }
  // Whatever the mode: no index leaves this op.
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
    return sorts_ourselves(in, axis, stream)
        ? row_order(in, {}, axis, OrderResult::indices, stream)
        : core::argsort(in, axis, stream);
  };
  return index_op("argsort", stream, op, a);
}

array argsort(const array& a, StreamOrDevice s /* = {} */) {
  return selection::argsort(flatten(a, s), 0, s);
}

array sort(const array& a, int axis, StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  return sorts_ourselves(a, axis, stream)
      ? row_order(a, {}, axis, OrderResult::values, stream)
      : core::sort(a, axis, stream);
}

array sort(const array& a, StreamOrDevice s /* = {} */) {
  return selection::sort(flatten(a, s), 0, s);
}

array argmax(
    const array& a,
    int axis,
    bool keepdims /* = false */,
    StreamOrDevice s /* = {} */) {
  return arg_best(a, axis, keepdims, TopKMode::largest, s);
}

array argmax(const array& a, bool keepdims, StreamOrDevice s /* = {} */) {
  return arg_best(a, {}, keepdims, TopKMode::largest, s);
}

array argmin(
    const array& a,
    int axis,
    bool keepdims /* = false */,
    StreamOrDevice s /* = {} */) {
  return arg_best(a, axis, keepdims, TopKMode::smallest, s);
}

array argmin(const array& a, bool keepdims, StreamOrDevice s /* = {} */) {
  return arg_best(a, {}, keepdims, TopKMode::smallest, s);
}

array searchsorted(
    const array& sorted_sequence,
    const array& values,
    const std::string& side /* = "left" */,
    StreamOrDevice s /* = {} */) {
  auto op = [&](const array& sequence, const array& wanted) {
    return core::searchsorted(sequence, wanted, side, s);
  };
  return index_op("searchsorted", s, op, sorted_sequence, values);
}

} // namespace mlx::core::selection
