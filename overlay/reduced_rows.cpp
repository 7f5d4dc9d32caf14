// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/reduced_rows.h"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "mlx/ops.h"
#include "mlx/topk_seam.h"

namespace mlx::core {

std::vector<int> checked_axes(
    const char* op,
    const array& a,
    const std::optional<std::vector<int>>& axes) {
  std::vector<int> checked(axes ? axes->size() : a.ndim());
  if (!axes) {
    std::iota(checked.begin(), checked.end(), 0);
    return checked;
  }
  for (size_t i = 0; i < axes->size(); ++i) {
    checked[i] = check_axis(op, (*axes)[i], a);
  }
  std::sort(checked.begin(), checked.end());
  auto again = std::adjacent_find(checked.begin(), checked.end());
  if (again != checked.end()) {
    std::ostringstream msg;
    msg << "[" << op << "] axis " << *again << " is given twice.";
    throw std::invalid_argument(msg.str());
  }
  return checked;
}

Rows rows_along(const array& a, std::vector<int> axes, const Stream& s) {
  if (axes.size() == 1) {
    return {a, axes[0], axes};
  }
  int ndim = a.ndim();
  if (axes.empty()) {
    // Each element is a row.
    return {expand_dims(a, ndim, s), ndim, axes};
  }
  std::vector<int> order;
  for (int i = 0; i < ndim; ++i) {
    if (!std::binary_search(axes.begin(), axes.end(), i)) {
      order.push_back(i);
    }
  }
  int kept = order.size();
  order.insert(order.end(), axes.begin(), axes.end());
  auto moved = kept == 0 ? a : transpose(a, order, s);
  return {flatten(moved, kept, ndim - 1, s), kept, axes};
}

array shaped_result(
    array result,
    const Rows& rows,
    const Shape& shape,
    bool keepdims,
    const Stream& s) {
  int new_axes = shape.size();
  if (new_axes == 0) {
    result = squeeze(result, rows.axis, s);
  } else {
    result = rows.axis == 0 ? result : moveaxis(result, rows.axis, 0, s);
    result = new_axes == 1 ? result : unflatten(result, 0, shape, s);
  }
  if (keepdims && !rows.reduced.empty()) {
    auto axes = rows.reduced;
    for (auto& axis : axes) {
      axis += new_axes;
    }
    result = expand_dims(result, axes, s);
  }
  return result;
}

} // namespace mlx::core
