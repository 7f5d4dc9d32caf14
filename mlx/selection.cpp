// Copyright © 2026 the mlx-topk authors. MIT licence.

// Validates, applies the index gradient, and hands over to the primitives.

#include "mlx/selection.h"

#include <sstream>

#include "mlx/ops.h"
#include "mlx/portable_ops.h"
#include "mlx/selection_primitives.h"

namespace mlx::core::selection {

namespace {

int check_axis(const char* op, int axis, const array& a) {
  int ndim = a.ndim();
  if (axis < -ndim || axis >= ndim) {
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
  if (needs_portable_ops(stream)) {
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
  KthPartition::check_kth("argpartition", kth, axis, a.shape());
  auto stream = to_stream(s);
  auto op = [&](const array& in) {
    if (needs_portable_ops(stream)) {
      return portable_argpartition(in, kth, axis, stream);
    }
    return array(
        in.shape(),
        uint32,
        std::make_shared<KthPartition>(stream, kth, axis),
        {in});
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
  KthPartition::check_kth("partition", kth, axis, a.shape());
  auto stream = to_stream(s);
  // Whatever the mode: no index leaves this op.
  IndexGradientScope stop(IndexGradient::stop);
  auto indices = selection::argpartition(a, kth, axis, stream);
  return take_along_axis(a, indices, axis, stream);
}

array partition(const array& a, int kth, StreamOrDevice s /* = {} */) {
  return selection::partition(flatten(a, s), kth, 0, s);
}

array argsort(const array& a, int axis, StreamOrDevice s /* = {} */) {
  auto op = [&](const array& in) { return core::argsort(in, axis, s); };
  return index_op("argsort", s, op, a);
}

array argsort(const array& a, StreamOrDevice s /* = {} */) {
  return selection::argsort(flatten(a, s), 0, s);
}

array argmax(
    const array& a,
    int axis,
    bool keepdims /* = false */,
    StreamOrDevice s /* = {} */) {
  auto op = [&](const array& in) {
    return core::argmax(in, axis, keepdims, s);
  };
  return index_op("argmax", s, op, a);
}

array argmax(const array& a, bool keepdims, StreamOrDevice s /* = {} */) {
  auto op = [&](const array& in) { return core::argmax(in, keepdims, s); };
  return index_op("argmax", s, op, a);
}

array argmin(
    const array& a,
    int axis,
    bool keepdims /* = false */,
    StreamOrDevice s /* = {} */) {
  auto op = [&](const array& in) {
    return core::argmin(in, axis, keepdims, s);
  };
  return index_op("argmin", s, op, a);
}

array argmin(const array& a, bool keepdims, StreamOrDevice s /* = {} */) {
  auto op = [&](const array& in) { return core::argmin(in, keepdims, s); };
  return index_op("argmin", s, op, a);
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
