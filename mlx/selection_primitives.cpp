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

void RowOrder::check_kth(
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

array RowOrder::same_op(const array& a, int axis, OrderResult result) {
  return array(
      a.shape(),
      result == OrderResult::indices ? uint32 : a.dtype(),
      std::make_shared<RowOrder>(stream(), kth_, axis, result),
      {a});
}

std::pair<std::vector<array>, std::vector<int>> RowOrder::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  return {{same_op(inputs[0], axis_under_vmap(axis_, axes[0]), result_)}, axes};
}

// The order is total, so that indices found again are those of the values.
std::vector<array> RowOrder::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>&,
    const std::vector<array>&) {
  auto& a = primals[0];
  auto nowhere = zeros_like(a, stream());
  if (result_ == OrderResult::indices) {
    return {nowhere};
  }
  auto indices = same_op(a, axis_, OrderResult::indices);
  return {put_along_axis(
      nowhere,
      stop_gradient(indices, stream()),
      cotangents[0],
      axis_,
      stream())};
}

std::vector<array> RowOrder::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>&) {
  auto& a = primals[0];
  if (result_ == OrderResult::indices) {
    return {zeros(a.shape(), uint32, stream())};
  }
  auto indices = same_op(a, axis_, OrderResult::indices);
  return {take_along_axis(
      tangents[0], stop_gradient(indices, stream()), axis_, stream())};
}

bool RowOrder::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const RowOrder&>(other).state();
}

std::vector<Shape> RowOrder::output_shapes(const std::vector<array>& inputs) {
  auto& shape = inputs[0].shape();
  if (kth_) {
    auto op = result_ == OrderResult::indices ? "argpartition" : "partition";
    check_kth(op, *kth_, axis_, shape);
  }
  return {shape};
}

void ArgBest::eval_gpu(const std::vector<array>&, array&) {
  // The op is upstream's there.
  throw std::runtime_error("[ArgBest::eval_gpu] has no kernel.");
}

std::pair<std::vector<array>, std::vector<int>> ArgBest::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto axis = axis_under_vmap(axis_, axes[0]);
  auto shape = inputs[0].shape();
  shape[axis] = 1;
  auto out = array(
      shape,
      uint32,
      std::make_shared<ArgBest>(stream(), axis, mode_),
      {inputs[0]});
  return {{out}, axes};
}

std::vector<array> ArgBest::vjp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&,
    const std::vector<array>&) {
  return {zeros_like(primals[0], stream())};
}

std::vector<array> ArgBest::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  return {zeros(output_shapes(primals)[0], uint32, stream())};
}

bool ArgBest::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const ArgBest&>(other).state();
}

std::vector<Shape> ArgBest::output_shapes(const std::vector<array>& inputs) {
  auto shape = inputs[0].shape();
  if (shape[axis_] == 0) {
    std::ostringstream msg;
    msg << "[arg" << (mode_ == TopKMode::largest ? "max" : "min") << "] axis "
        << axis_ << " of an array with shape " << shape << " has no elements.";
    throw std::invalid_argument(msg.str());
  }
  shape[axis_] = 1;
  return {shape};
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
