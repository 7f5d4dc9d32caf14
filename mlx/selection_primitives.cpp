// Copyright © 2026 the mlx-topk authors. MIT licence.

// Shapes and transforms of the primitives. What they compute is in backend/.

#include "mlx/selection_primitives.h"

#include <sstream>

#include "mlx/ops.h"

namespace mlx::core {

namespace {

// Where ``axis`` of an unmapped array is once a mapped axis is in front of it.
int axis_under_vmap(int axis, int mapped_axis) {
  return axis + (mapped_axis >= 0 && mapped_axis <= axis);
}

// The devices that have no kernel get portable ops when the op is called.
[[noreturn]] void no_gpu_kernel(const char* primitive) {
  std::ostringstream msg;
  msg << "[" << primitive << "::eval_gpu] has no kernel for this device.";
  throw std::runtime_error(msg.str());
}

} // namespace

void TopK::check_k(const char* op, int k, int axis, const Shape& shape) {
  if (k < 0 || k > shape[axis]) {
    std::ostringstream msg;
    msg << "[" << op << "] k must be between 0 and " << shape[axis]
        << " for axis " << axis << " of an array with shape " << shape
        << ", got " << k << ".";
    throw std::invalid_argument(msg.str());
  }
}

void TopK::eval_gpu(const std::vector<array>&, std::vector<array>&) {
  no_gpu_kernel("TopK");
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
  // To the elements that the forward pass chose: under ties a choice made
  // again in another order would be another choice.
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
  // MLX does not hand the outputs to jvp. The order is total, so that choosing
  // again gives the same indices.
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

void KthPartition::check_kth(
    const char* op,
    int kth,
    int axis,
    const Shape& shape) {
  int n = shape[axis];
  if (kth < -n || kth >= n) {
    std::ostringstream msg;
    msg << "[" << op << "] kth must be between " << -n << " and " << n - 1
        << " for axis " << axis << " of an array with shape " << shape
        << ", got " << kth << ".";
    throw std::invalid_argument(msg.str());
  }
}

void KthPartition::eval_gpu(const std::vector<array>&, array&) {
  no_gpu_kernel("KthPartition");
}

std::pair<std::vector<array>, std::vector<int>> KthPartition::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto axis = axis_under_vmap(axis_, axes[0]);
  auto out = array(
      inputs[0].shape(),
      uint32,
      std::make_shared<KthPartition>(stream(), kth_, axis),
      {inputs[0]});
  return {{out}, axes};
}

std::vector<array> KthPartition::vjp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&,
    const std::vector<array>&) {
  return {zeros_like(primals[0], stream())};
}

std::vector<array> KthPartition::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  return {zeros(primals[0].shape(), uint32, stream())};
}

bool KthPartition::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const KthPartition&>(other).state();
}

std::vector<Shape> KthPartition::output_shapes(
    const std::vector<array>& inputs) {
  check_kth("argpartition", kth_, axis_, inputs[0].shape());
  return {inputs[0].shape()};
}

void IndexOutput::eval_cpu(const std::vector<array>& inputs, array& out) {
  out.copy_shared_buffer(inputs[0]);
}

void IndexOutput::eval_gpu(const std::vector<array>& inputs, array& out) {
  out.copy_shared_buffer(inputs[0]);
}

std::pair<std::vector<array>, std::vector<int>> IndexOutput::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto out = array(
      inputs[0].shape(),
      inputs[0].dtype(),
      std::make_shared<IndexOutput>(stream(), mode_, op_),
      {inputs[0]});
  return {{out}, axes};
}

std::vector<array> IndexOutput::tangent(const array& indices) {
  if (mode_ == IndexGradient::error) {
    throw std::invalid_argument(index_gradient_error(op_));
  }
  return {zeros_like(indices, stream())};
}

std::vector<array> IndexOutput::vjp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&,
    const std::vector<array>&) {
  return tangent(primals[0]);
}

std::vector<array> IndexOutput::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  return tangent(primals[0]);
}

bool IndexOutput::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const IndexOutput&>(other).state();
}

} // namespace mlx::core
