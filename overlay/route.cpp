// Copyright © 2026 the mlx-topk authors. MIT licence.

// Shapes and transforms of Route. What it computes is in backend/.

#include "overlay/route.h"

#include <cstring>
#include <memory>

#include "mlx/ops.h"
#include "overlay/backend/gpu/route.h"
#include "overlay/route_derivative.h"
#include "overlay/route_gradient.h"

namespace mlx::core {

namespace {

// Returns whether ``a`` is what zeros_like() returns. MLX passes it to a vjp as
// the cotangent of an output that nothing depends on. Names are compared,
// because libmlx does not export the classes.
bool is_zeros(const array& a) {
  auto node = a;
  while (node.has_primitive() && node.inputs().size() == 1) {
    auto name = node.primitive().name();
    if (std::strcmp(name, "Full") != 0 && std::strcmp(name, "Broadcast") != 0) {
      return false;
    }
    auto input = node.inputs()[0];
    node = input;
  }
  return !node.has_primitive() && node.size() == 1 && node.is_available() &&
      node.dtype() == float32 && node.data<float>()[0] == 0;
}

} // namespace

std::vector<array> Route::build(
    const std::vector<array>& inputs,
    const RouteSettings& settings,
    bool keeps_scores,
    const Stream& s) {
  auto& logits = inputs[0];
  auto shape = logits.shape();
  shape.back() = settings.k;
  std::vector<Shape> shapes{shape, shape};
  std::vector<Dtype> types{logits.dtype(), uint32};
  if (keeps_scores) {
    shapes.push_back(logits.shape());
    types.push_back(float32);
  }
  return array::make_arrays(
      std::move(shapes),
      types,
      std::make_shared<Route>(s, settings, keeps_scores),
      inputs);
}

std::pair<std::vector<array>, std::vector<int>> Route::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto logits = inputs[0];
  auto axis = axes[0];
  bool maps_bias = inputs.size() > 1 && axes[1] >= 0;
  if (axis < 0) {
    logits = expand_dims(logits, 0, stream());
    axis = 0;
  } else if (maps_bias || axis + 1 == static_cast<int>(logits.ndim())) {
    logits = moveaxis(logits, axis, 0, stream());
    axis = 0;
  }
  if (!maps_bias) {
    auto batched = inputs;
    batched[0] = logits;
    auto outputs = build(batched, settings_, keeps_scores_, stream());
    return {outputs, std::vector<int>(outputs.size(), axis)};
  }
  // A bias for each element of the batch, beside logits with any dimensions.
  auto bias = moveaxis(inputs[1], axes[1], 0, stream());
  Shape shape(logits.ndim(), 1);
  shape.front() = bias.shape(0);
  shape.back() = bias.shape(1);
  bias = reshape(bias, shape, stream());
  auto rows = logits.shape();
  rows.front() = bias.shape(0);
  auto result = composed_route(
      broadcast_to(logits, rows, stream()), bias, settings_, stream());
  std::vector<array> outputs{result.weights, result.indices};
  if (keeps_scores_) {
    outputs.push_back(*result.scores);
  }
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

std::vector<array> Route::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>& argnums,
    const std::vector<array>& outputs) {
  std::vector<array> vjps;
  for (auto argument : argnums) {
    vjps.push_back(
        argument == 0 ? vjp_of_logits(primals, cotangents, outputs)
                      : zeros_like(primals[argument], stream()));
  }
  return vjps;
}

array Route::vjp_of_logits(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<array>& outputs) {
  auto kept = outputs;
  std::optional<array> of_scores;
  if (!keeps_scores_) {
    kept = build(primals, settings_, true, stream());
  } else if (!is_zeros(cotangents[2])) {
    of_scores = cotangents[2];
  }
  auto& logits = primals[0];
  bool composes = stream().device != Device::cpu &&
      !gpu_has_route_gradient(logits, settings_);
  if (composes) {
    RouteDerivative derivative(settings_, logits, kept[1], kept[2], stream());
    return derivative.vjp(cotangents[0], of_scores);
  }
  std::vector<array> inputs{
      logits, stop_gradient(kept[1], stream()), kept[2], cotangents[0]};
  if (of_scores) {
    inputs.push_back(*of_scores);
  }
  return RouteGradient::build(inputs, settings_, stream());
}

std::vector<array> Route::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>& argnums) {
  // MLX does not pass the outputs to jvp, so they are computed again.
  auto outputs = build(primals, settings_, true, stream());
  auto no_change = zeros_like(outputs[1], stream());
  auto result = [&](const array& weights, const array& scores) {
    std::vector<array> all{weights, no_change};
    if (keeps_scores_) {
      all.push_back(scores);
    }
    return all;
  };
  if (argnums[0] != 0) {
    return result(
        zeros_like(outputs[0], stream()), zeros_like(outputs[2], stream()));
  }
  RouteDerivative derivative(
      settings_, primals[0], outputs[1], outputs[2], stream());
  auto [of_weights, of_scores] = derivative.jvp(tangents[0]);
  return result(of_weights, of_scores);
}

bool Route::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const Route&>(other).state();
}

std::vector<Shape> Route::output_shapes(const std::vector<array>& inputs) {
  auto shape = inputs[0].shape();
  auto all = shape;
  shape.back() = settings_.k;
  std::vector<Shape> shapes{shape, shape};
  if (keeps_scores_) {
    shapes.push_back(all);
  }
  return shapes;
}

} // namespace mlx::core
