// Copyright © 2026 the mlx-topk authors. MIT licence.

// Shapes and transforms of OrderStatistics, and the same selection composed of
// stock MLX's ops. What the primitive computes is in backend/.

#include "overlay/order_statistics.h"

#include <algorithm>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "mlx/backend/common/vmap_axis.h"
#include "mlx/ops.h"
#include "overlay/index_output.h"
#include "overlay/stock_graph.h"
#include "overlay/stock_ops.h"

namespace mlx::core {

// ---- the primitive ----------------------------------------------------------

void OrderStatistics::check_k(int k, int axis, const Shape& shape) {
  check_axis_has_elements("kthvalue", axis, shape);
  if (k < 1 || k > shape[axis]) {
    std::ostringstream msg;
    msg << "[kthvalue] k must be between 1 and " << shape[axis] << " for axis "
        << axis << " of an array with shape " << shape << ", got " << k << ".";
    throw std::invalid_argument(msg.str());
  }
}

void OrderStatistics::eval_gpu(const std::vector<array>&, std::vector<array>&) {
  // On a GPU, elements_at() composes the selection of stock MLX's ops.
  throw std::runtime_error(
      "[OrderStatistics::eval_gpu] There is no kernel for this device.");
}

TopKResult OrderStatistics::build(
    const std::vector<array>& inputs,
    std::shared_ptr<OrderStatistics> primitive) {
  auto shape = primitive->output_shapes(inputs)[0];
  auto outputs = array::make_arrays(
      {shape, shape}, {inputs[0].dtype(), uint32}, primitive, inputs);
  return {outputs[0], outputs[1]};
}

TopKResult OrderStatistics::same_op(
    const std::vector<array>& inputs,
    int axis) {
  return build(
      inputs,
      std::make_shared<OrderStatistics>(stream(), places_, axis, mode_, nan_));
}

std::pair<std::vector<array>, std::vector<int>> OrderStatistics::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto a = inputs[0];
  auto& s = stream();
  auto mapped = axes[0];
  if (inputs.size() == 1 || axes[1] < 0) {
    auto axis = axis_under_vmap(axis_, mapped);
    bool own_places = inputs.size() > 1 && inputs[1].ndim() > 1;
    auto all = inputs;
    if (own_places) {
      // Each element of the batch has the same places.
      auto shape = inputs[1].shape();
      shape.insert(shape.begin() + mapped, a.shape(mapped));
      all[1] = broadcast_to(expand_dims(inputs[1], mapped, s), shape, s);
    }
    auto result = same_op(all, axis);
    return {{result.values, result.indices}, {mapped, mapped}};
  }
  // Each element of the batch has places of its own. They get the shape of the
  // outputs.
  auto places = moveaxis(inputs[1], axes[1], 0, s);
  auto count = places.shape(0);
  if (mapped < 0) {
    mapped = 0;
    auto shape = a.shape();
    shape.insert(shape.begin(), count);
    a = broadcast_to(expand_dims(a, 0, s), shape, s);
  }
  auto axis = axis_under_vmap(axis_, mapped);
  auto shape = a.shape();
  shape[axis] = places.shape(-1);
  if (places.ndim() == a.ndim()) {
    places = moveaxis(places, 0, mapped, s);
  } else {
    auto wide = Shape(a.ndim(), 1);
    wide[mapped] = count;
    wide[axis] = shape[axis];
    places = mapped < axis ? places : transpose(places, s);
    places = broadcast_to(reshape(places, wide, s), shape, s);
  }
  auto result = same_op({a, places}, axis);
  return {{result.values, result.indices}, {mapped, mapped}};
}

std::vector<array> OrderStatistics::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>& argnums,
    const std::vector<array>& outputs) {
  std::vector<array> gradients;
  for (auto argnum : argnums) {
    auto zero = zeros_like(primals[argnum], stream());
    // Two places may have the same element, so cotangents are added.
    gradients.push_back(
        argnum > 0 ? zero
                   : scatter_add_axis(
                         zero,
                         stop_gradient(outputs[1], stream()),
                         cotangents[0],
                         axis_,
                         stream()));
  }
  return gradients;
}

std::vector<array> OrderStatistics::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>& argnums) {
  // MLX does not pass the outputs to jvp, so this selects again. The order is
  // total, so the indices are the same.
  auto indices = stop_gradient(same_op(primals, axis_).indices, stream());
  auto no_tangent = zeros_like(indices, stream());
  for (size_t i = 0; i < argnums.size(); ++i) {
    if (argnums[i] == 0) {
      return {
          take_along_axis(tangents[i], indices, axis_, stream()), no_tangent};
    }
  }
  return {zeros(indices.shape(), primals[0].dtype(), stream()), no_tangent};
}

bool OrderStatistics::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const OrderStatistics&>(other).state();
}

std::vector<Shape> OrderStatistics::output_shapes(
    const std::vector<array>& inputs) {
  auto shape = inputs[0].shape();
  if (places_.empty()) {
    auto& places = inputs[1];
    shape[axis_] = places.shape(places.ndim() > 1 ? axis_ : 0);
  } else {
    auto highest = *std::max_element(places_.begin(), places_.end());
    check_k(static_cast<int>(highest) + 1, axis_, shape);
    shape[axis_] = places_.size();
  }
  return {shape, shape};
}

// ---- composed of stock MLX's ops --------------------------------------------

namespace {

// Returns the places as an array that has the shape of ``order`` along the
// other axes. Its graph does not contain the shape.
array places_for_rows(
    const array& a,
    const array& order,
    const array& places,
    int axis,
    NanRule nan,
    const Stream& s) {
  auto wide = Shape(a.ndim(), 1);
  wide[axis] = places.size();
  auto at = reshape(astype(places, uint32, s), wide, s);
  auto none = multiply(sum(order, axis, true, s), array(0, uint32), s);
  at = add(none, at, s);
  if (nan == NanRule::greatest || !issubdtype(a.dtype(), inexact)) {
    return at;
  }
  // The NaNs are last.
  auto nans = sum(astype(isnan(a, s), uint32, s), axis, true, s);
  auto size = number_of_elements(a, {axis}, false, uint32, s);
  auto is_nan = greater(nans, array(0, uint32), s);
  return where(is_nan, subtract(size, nans, s), at, s);
}

// ``sorted`` returns the indices of the sorted rows.
template <typename Sorted>
TopKResult composed_elements_at(
    const char* op,
    const array& a,
    const array& places,
    int axis,
    const Sorted& sorted,
    NanRule nan,
    const Stream& s) {
  auto find = [&](const array& in) {
    auto order = sorted(in);
    auto at = places_for_rows(in, order, places, axis, nan, s);
    return take_along_axis(order, at, axis, s);
  };
  auto indices = index_op(op, s, find, a);
  return {take_along_axis(a, constant(indices, s), axis, s), indices};
}

} // namespace

TopKResult elements_at(
    const char* op,
    const array& a,
    const array& places,
    int axis,
    NanRule nan,
    const Stream& s) {
  auto fixed = places.is_tracer() ? stop_gradient(places, s) : places;
  if (prefers_stock(s)) {
    auto sorted = [&](const array& in) { return argsort(in, axis, s); };
    return composed_elements_at(op, a, fixed, axis, sorted, nan, s);
  }
  auto found = OrderStatistics::build(
      {a, fixed},
      std::make_shared<OrderStatistics>(
          s, std::vector<uint32_t>{}, axis, TopKMode::smallest, nan));
  return {found.values, index_output(found.indices, op, s)};
}

TopKResult element_at(
    const char* op,
    const array& a,
    uint32_t place,
    int axis,
    TopKMode mode,
    const Stream& s) {
  if (prefers_stock(s)) {
    int k = place + 1;
    auto best = [&](const array& in) {
      return stock_topk_indices(in, k, axis, mode, TopKOrder::unsorted, s);
    };
    // The k-th best is the first of the k best in this order.
    auto first = zeros({1}, uint32, s);
    return composed_elements_at(op, a, first, axis, best, NanRule::greatest, s);
  }
  auto found = OrderStatistics::build(
      {a},
      std::make_shared<OrderStatistics>(
          s, std::vector<uint32_t>{place}, axis, mode, NanRule::greatest));
  return {found.values, index_output(found.indices, op, s)};
}

} // namespace mlx::core
