// Copyright © 2026 the mlx-topk authors. MIT licence.

// Shapes and transforms of StableSort. What it computes is in backend/.

#include "overlay/stable_sort.h"

#include <memory>
#include <sstream>
#include <stdexcept>

#include "mlx/backend/common/vmap_axis.h"
#include "mlx/ops.h"
#include "overlay/stock_ops.h"

namespace mlx::core {

void StableSort::check_kth(
    const char* op,
    int kth,
    int axis,
    const Shape& shape) {
  check_axis_has_elements(op, axis, shape);
  int n = shape[axis];
  if (kth < -n || kth >= n) {
    std::ostringstream msg;
    msg << "[" << op << "] kth must be between " << -n << " and " << n - 1
        << " for axis " << axis << " of an array with shape " << shape
        << ", got " << kth << ".";
    throw std::invalid_argument(msg.str());
  }
}

array StableSort::same_op(const array& a, int axis, SortResult result) {
  return array(
      a.shape(),
      result == SortResult::indices ? uint32 : a.dtype(),
      std::make_shared<StableSort>(stream(), kths_, axis, result, direction_),
      {a});
}

std::pair<std::vector<array>, std::vector<int>> StableSort::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  return {{same_op(inputs[0], axis_under_vmap(axis_, axes[0]), result_)}, axes};
}

// Sorts again to find the indices of the values. They are the same as in the
// forward pass, because the order is total.
std::vector<array> StableSort::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>&,
    const std::vector<array>&) {
  auto& a = primals[0];
  auto zero = zeros_like(a, stream());
  if (result_ == SortResult::indices) {
    return {zero};
  }
  auto indices = same_op(a, axis_, SortResult::indices);
  return {put_along_axis(
      zero, stop_gradient(indices, stream()), cotangents[0], axis_, stream())};
}

std::vector<array> StableSort::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>&) {
  auto& a = primals[0];
  if (result_ == SortResult::indices) {
    return {zeros(a.shape(), uint32, stream())};
  }
  auto indices = same_op(a, axis_, SortResult::indices);
  return {take_along_axis(
      tangents[0], stop_gradient(indices, stream()), axis_, stream())};
}

bool StableSort::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const StableSort&>(other).state();
}

std::vector<Shape> StableSort::output_shapes(const std::vector<array>& inputs) {
  auto& shape = inputs[0].shape();
  auto op = result_ == SortResult::indices ? "argpartition" : "partition";
  for (int kth : kths_) {
    check_kth(op, kth, axis_, shape);
  }
  return {shape};
}

} // namespace mlx::core
