// Copyright © 2026 the mlx-topk authors. MIT licence.

// Shapes and transforms of TopK. What it computes is in backend/.

#include "mlx/topk_primitive.h"

#include <memory>
#include <sstream>
#include <stdexcept>

#include "mlx/backend/common/vmap_axis.h"
#include "mlx/ops.h"

namespace mlx::core {

void TopK::check_k(const char* op, int k, int axis, const Shape& shape) {
  if (k < 0 || k > shape[axis]) {
    std::ostringstream msg;
    msg << "[" << op << "] ";
    if (shape[axis] == 0) {
      msg << "axis " << axis << " of an array with shape " << shape
          << " has no elements, so k must be 0";
    } else {
      msg << "k must be between 0 and " << shape[axis] << " for axis " << axis
          << " of an array with shape " << shape;
    }
    msg << ", got " << k << ".";
    throw std::invalid_argument(msg.str());
  }
}

std::vector<array> TopK::same_op(const array& a, int axis) {
  auto shape = a.shape();
  shape[axis] = k_;
  return array::make_arrays(
      {shape, shape},
      {a.dtype(), uint32},
      std::make_shared<TopK>(stream(), k_, axis, mode_, order_),
      {a});
}

std::pair<std::vector<array>, std::vector<int>> TopK::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  return {
      same_op(inputs[0], axis_under_vmap(axis_, axes[0])), {axes[0], axes[0]}};
}

std::vector<array> TopK::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>&,
    const std::vector<array>& outputs) {
  // Uses the indices of the forward pass, so that among equal elements the
  // gradient goes to those that were chosen.
  return {put_along_axis(
      zeros_like(primals[0], stream()),
      stop_gradient(outputs[1], stream()),
      cotangents[0],
      axis_,
      stream())};
}

std::vector<array> TopK::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>&) {
  // MLX does not pass the outputs to jvp, so this selects again. The order is
  // total, so the indices are the same.
  auto indices = stop_gradient(same_op(primals[0], axis_)[1], stream());
  return {
      take_along_axis(tangents[0], indices, axis_, stream()),
      zeros_like(indices, stream())};
}

bool TopK::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const TopK&>(other).state();
}

std::vector<Shape> TopK::output_shapes(const std::vector<array>& inputs) {
  auto shape = inputs[0].shape();
  check_k("topk", k_, axis_, shape);
  shape[axis_] = k_;
  return {shape, shape};
}

} // namespace mlx::core
