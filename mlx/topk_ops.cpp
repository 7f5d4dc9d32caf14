// Copyright © 2026 the mlx-topk authors. MIT licence.

// Validates the arguments and builds the primitive.

#include "mlx/topk_ops.h"

#include <memory>
#include <utility>
#include <vector>

#include "mlx/index_marks.h"
#include "mlx/ops.h"
#include "mlx/topk_primitive.h"
#include "mlx/topk_seam.h"
#include "mlx/topk_values.h"

namespace mlx::core {

namespace {

TopKResult build_topk(
    const char* op,
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    const Stream& s) {
  axis = check_axis(op, axis, a);
  TopK::check_k(op, k, axis, a.shape());
  if (composes_topk(a, k, axis, s)) {
    auto indices = composed_topk(op, a, k, axis, mode, order, s);
    return {take_along_axis(a, constant(indices, s), axis, s), indices};
  }
  auto shape = a.shape();
  shape[axis] = k;
  auto outputs = array::make_arrays(
      std::vector<Shape>(2, shape),
      {a.dtype(), uint32},
      std::make_shared<TopK>(s, k, axis, mode, order),
      {a});
  return {std::move(outputs[0]), index_output(outputs[1], op, s)};
}

} // namespace

TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s /* = {} */) {
  return build_topk("topk", a, k, axis, mode, order, to_stream(s));
}

array topk_values(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  axis = check_axis("topk", axis, a);
  TopK::check_k("topk", k, axis, a.shape());
  if (composes_topk(a, k, axis, stream)) {
    return topk(a, k, axis, mode, order, stream).values;
  }
  if (a.shape(axis) == 1 && k == 1 && !a.is_tracer()) {
    return a; // The result has the same elements in the same order.
  }
  TopK described(stream, k, axis, mode, order);
  return build_topk_values(a, described);
}

TopKResult top_k(
    const array& a,
    int k,
    int axis /* = -1 */,
    TopKMode mode /* = TopKMode::largest */,
    TopKOrder order /* = TopKOrder::sorted */,
    StreamOrDevice s /* = {} */) {
  return build_topk("top_k", a, k, axis, mode, order, to_stream(s));
}

} // namespace mlx::core
