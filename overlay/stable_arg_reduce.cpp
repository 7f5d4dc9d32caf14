// Copyright © 2026 the mlx-topk authors. MIT licence.

// Shapes and transforms of StableArgReduce. What it computes is in backend/.

#include "overlay/stable_arg_reduce.h"

#include <memory>
#include <stdexcept>

#include "mlx/backend/common/vmap_axis.h"
#include "mlx/ops.h"
#include "overlay/stock_ops.h"

namespace mlx::core {

void StableArgReduce::eval_gpu(const std::vector<array>&, array&) {
  // argmax and argmin on a GPU never make this primitive: they call stock MLX.
  throw std::runtime_error(
      "[StableArgReduce::eval_gpu] There is no kernel for this device.");
}

std::pair<std::vector<array>, std::vector<int>> StableArgReduce::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto mapped = axes[0];
  auto axis = axis_under_vmap(axis_, mapped);
  auto primitive =
      std::make_shared<StableArgReduce>(stream(), axis, mode_, keepdims_);
  auto shape = primitive->output_shapes(inputs)[0];
  auto out = array(shape, uint32, primitive, {inputs[0]});
  return {{out}, {mapped - (!keepdims_ && axis < mapped)}};
}

std::vector<array> StableArgReduce::vjp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&,
    const std::vector<array>&) {
  return {zeros_like(primals[0], stream())};
}

std::vector<array> StableArgReduce::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  return {zeros(output_shapes(primals)[0], uint32, stream())};
}

bool StableArgReduce::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const StableArgReduce&>(other).state();
}

std::vector<Shape> StableArgReduce::output_shapes(
    const std::vector<array>& inputs) {
  auto shape = inputs[0].shape();
  check_axis_has_elements(
      mode_ == TopKMode::largest ? "argmax" : "argmin", axis_, shape);
  if (keepdims_) {
    shape[axis_] = 1;
  } else {
    shape.erase(shape.begin() + axis_);
  }
  return {shape};
}

} // namespace mlx::core
