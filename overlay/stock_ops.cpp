// Copyright © 2026 the mlx-topk authors. MIT licence.

// Also implements mlx/topk_seam.h, except for eval_composed, which is in
// stock_eval.cpp.

#include "overlay/stock_ops.h"

#include <sstream>
#include <stdexcept>

#include "mlx/backend/gpu/topk.h"
#include "mlx/topk_seam.h"
#include "overlay/backend/gpu/partition.h"
#include "overlay/index_output.h"
#include "overlay/portable_graph.h"
#include "overlay/stock_graph.h"

namespace mlx::core {

int check_axis(const char* op, int axis, const array& a) {
  int ndim = a.ndim();
  if (axis >= -ndim && axis < ndim) {
    return axis < 0 ? axis + ndim : axis;
  }
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

void check_axis_has_elements(const char* op, int axis, const Shape& shape) {
  if (shape[axis] > 0) {
    return;
  }
  std::ostringstream msg;
  msg << "[" << op << "] axis " << axis << " of an array with shape " << shape
      << " has no elements.";
  throw std::invalid_argument(msg.str());
}

bool prefers_stock(const Stream& s) {
  return in_portable_graph() || s.device == Device::gpu;
}

bool composes_topk(const array& a, int k, int axis, const Stream& s) {
  return prefers_stock(s) && (in_portable_graph() || !gpu_has_topk(a, k, axis));
}

bool partition_is_stock(
    const array& a,
    std::span<const int> kths,
    int axis,
    SortDirection direction,
    const Stream& s) {
  if (!prefers_stock(s)) {
    return false;
  }
  bool may_have_kernel = !in_portable_graph() && kths.size() == 1 &&
      direction == SortDirection::ascending;
  return !may_have_kernel || !gpu_has_partition(a, kths[0], axis);
}

array composed_topk(
    const char* op,
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    const Stream& s) {
  auto indices = [&](const array& in) {
    return stock_topk_indices(in, k, axis, mode, order, s);
  };
  return index_op(op, s, indices, a);
}

} // namespace mlx::core
