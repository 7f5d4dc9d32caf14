// Copyright © 2026 the mlx-topk authors. MIT licence.

// Transforms of TopKValues. TopK::eval_cpu and TopK::eval_gpu compute it.

#include "mlx/topk_values.h"

#include <memory>
#include <tuple>

#include "mlx/backend/common/vmap_axis.h"

namespace mlx::core {

namespace {

template <typename Primitive>
std::vector<array> outputs_of(const array& a, TopK& topk, int count) {
  auto [k, axis, mode, order] = topk.state();
  auto shape = a.shape();
  shape[axis] = k;
  std::vector<Shape> shapes{shape, shape};
  std::vector<Dtype> types{a.dtype(), uint32};
  shapes.resize(count);
  types.erase(types.begin() + count, types.end());
  auto primitive =
      std::make_shared<Primitive>(topk.stream(), k, axis, mode, order);
  return array::make_arrays(shapes, types, primitive, {a});
}

} // namespace

array build_topk_values(const array& a, TopK& topk) {
  return a.is_tracer() ? outputs_of<TopK>(a, topk, 2)[0]
                       : outputs_of<TopKValues>(a, topk, 1)[0];
}

std::pair<std::vector<array>, std::vector<int>> TopKValues::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto [k, axis, mode, order] = state();
  TopK mapped(stream(), k, axis_under_vmap(axis, axes[0]), mode, order);
  return {{build_topk_values(inputs[0], mapped)}, {axes[0]}};
}

// Selects again to find the indices. They are the same as in the forward pass,
// because the order is total.
std::vector<array> TopKValues::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>& argnums,
    const std::vector<array>&) {
  auto both = outputs_of<TopK>(primals[0], *this, 2);
  return TopK::vjp(primals, cotangents, argnums, both);
}

std::vector<array> TopKValues::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>& argnums) {
  return {TopK::jvp(primals, tangents, argnums)[0]};
}

std::vector<Shape> TopKValues::output_shapes(const std::vector<array>& inputs) {
  return {TopK::output_shapes(inputs)[0]};
}

} // namespace mlx::core
