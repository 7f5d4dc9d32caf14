// Copyright © 2026 the mlx-topk authors. MIT licence.

// Transforms of RouteGradient. What it computes is in backend/.

#include "overlay/route_gradient.h"

#include <memory>

#include "mlx/ops.h"
#include "mlx/transforms.h"
#include "overlay/route_derivative.h"

namespace mlx::core {

namespace {

// The position of the indices among the inputs.
constexpr int at_indices = 1;

/** Returns all arrays but the one at the position of the indices. */
std::vector<array> without_indices(const std::vector<array>& inputs) {
  auto rest = inputs;
  rest.erase(rest.begin() + at_indices);
  return rest;
}

/** Returns the function of all inputs but the indices, in MLX's ops. */
auto composed_of(
    const RouteSettings& route,
    const array& indices,
    const Stream& s) {
  return [=](const std::vector<array>& in) -> std::vector<array> {
    RouteDerivative derivative(route, in[0], indices, in[1], s);
    auto of_scores = in.size() > 3 ? std::optional(in[3]) : std::nullopt;
    return {derivative.vjp(in[2], of_scores)};
  };
}

// Returns the position of an input in without_indices().
int position_of(int argument) {
  return argument - (argument > at_indices);
}

} // namespace

array RouteGradient::build(
    const std::vector<array>& inputs,
    const RouteSettings& settings,
    const Stream& s) {
  auto in = inputs;
  if (s.device != Device::cpu) {
    for (auto& input : in) {
      input = contiguous(input, false, s); // The GPU kernel has no strides.
    }
  }
  auto& logits = inputs[0];
  auto node = std::make_shared<RouteGradient>(s, settings);
  return array(logits.shape(), logits.dtype(), std::move(node), std::move(in));
}

std::pair<std::vector<array>, std::vector<int>> RouteGradient::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  int size = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    size = axes[i] >= 0 ? inputs[i].shape(axes[i]) : size;
  }
  std::vector<array> batched;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (axes[i] >= 0) {
      batched.push_back(moveaxis(inputs[i], axes[i], 0, stream()));
    } else {
      auto shape = inputs[i].shape();
      shape.insert(shape.begin(), size);
      batched.push_back(broadcast_to(inputs[i], shape, stream()));
    }
  }
  return {{build(batched, settings_, stream())}, {0}};
}

// The next two rules differentiate the same function written in MLX's ops.

std::vector<array> RouteGradient::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>& argnums,
    const std::vector<array>&) {
  auto& indices = primals[at_indices];
  auto composed = composed_of(settings_, indices, stream());
  auto all = core::vjp(composed, without_indices(primals), cotangents).second;
  std::vector<array> vjps;
  for (auto argument : argnums) {
    vjps.push_back(
        argument == at_indices ? zeros_like(indices, stream())
                               : all[position_of(argument)]);
  }
  return vjps;
}

std::vector<array> RouteGradient::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>& argnums) {
  auto& indices = primals[at_indices];
  auto composed = composed_of(settings_, indices, stream());
  auto rest = without_indices(primals);
  std::vector<array> all;
  for (auto& primal : rest) {
    all.push_back(zeros_like(primal, stream()));
  }
  for (size_t i = 0; i < argnums.size(); ++i) {
    if (argnums[i] != at_indices) {
      all[position_of(argnums[i])] = tangents[i];
    }
  }
  return core::jvp(composed, rest, all).second;
}

bool RouteGradient::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const RouteGradient&>(other).state();
}

} // namespace mlx::core
