// Copyright © 2026 the mlx-topk authors. MIT licence.

// Shapes and transforms of Route. What it computes is in backend/.
//
// The vjp and the jvp are written in MLX's ops, in the order in which MLX
// differentiates the same chain of ops, so they give the same bits. They start
// from the scores, which are an output, so that they can be differentiated
// again.

#include "overlay/route.h"

#include <limits>
#include <memory>

#include "mlx/ops.h"

namespace mlx::core {

namespace {

/** The derivatives of one Route, from its logits, indices and scores. */
class RouteDerivative {
 public:
  RouteDerivative(
      const RouteSettings& route,
      const array& logits,
      const array& indices,
      const array& scores,
      const Stream& s)
      : route_(route),
        s_(s),
        logits_(logits),
        indices_(stop_gradient(indices, s)),
        scores_(scores),
        chosen_(take_along_axis(scores, indices_, -1, s)) {
    if (route.masks_infinity) {
      auto absent =
          array(-std::numeric_limits<float>::infinity(), logits.dtype());
      allowed_ = not_equal(logits, absent, s);
      counts_ = take_along_axis(*allowed_, indices_, -1, s);
    }
  }

  array vjp(const array& of_weights, const array& of_scores) const {
    auto by_chosen = vjp_of_weights(astype(of_weights, float32, s_));
    auto by_scores = add(
        scatter_add_axis(zeros_like(scores_, s_), indices_, by_chosen, -1, s_),
        of_scores,
        s_);
    auto by_logits = vjp_of_scores(keep(allowed_, by_scores));
    return astype(keep(allowed_, by_logits), logits_.dtype(), s_);
  }

  /** Returns the tangents of the weights and of the scores. */
  std::pair<array, array> jvp(const array& of_logits) const {
    auto tangent = keep(allowed_, astype(of_logits, float32, s_));
    auto of_scores = keep(allowed_, jvp_of_scores(tangent));
    auto of_chosen = take_along_axis(of_scores, indices_, -1, s_);
    auto of_weights = jvp_of_weights(of_chosen);
    return {astype(of_weights, logits_.dtype(), s_), of_scores};
  }

 private:
  // Returns ``a`` with 0 at masked experts.
  array keep(const std::optional<array>& allowed, const array& a) const {
    return allowed ? where(*allowed, a, array(0.0f, a.dtype()), s_) : a;
  }

  array denominator() const {
    auto total = sum(chosen_, -1, true, s_);
    if (route_.eps != 0) {
      total = add(total, array(route_.eps), s_);
    }
    if (counts_) {
      total = where(any(*counts_, -1, true, s_), total, array(1.0f), s_);
    }
    return total;
  }

  array scaled(const array& a) const {
    return route_.scale == 1 ? a : multiply(array(route_.scale), a, s_);
  }

  // Returns the cotangent of the chosen scores.
  array vjp_of_weights(const array& cotangent) const {
    auto scaled_cotangent = scaled(keep(counts_, cotangent));
    if (!route_.renormalize) {
      return scaled_cotangent;
    }
    auto total = denominator();
    auto direct = divide(scaled_cotangent, total, s_);
    auto by_total = negative(
        divide(multiply(scaled_cotangent, chosen_, s_), square(total, s_), s_),
        s_);
    return keep(counts_, add(direct, sum(by_total, -1, true, s_), s_));
  }

  array jvp_of_weights(const array& tangent) const {
    if (!route_.renormalize) {
      return scaled(tangent);
    }
    auto total = denominator();
    auto of_total = sum(tangent, -1, true, s_);
    auto change = negative(
        divide(multiply(of_total, chosen_, s_), square(total, s_), s_), s_);
    return scaled(add(divide(tangent, total, s_), change, s_));
  }

  array sigmoid_slope() const {
    return multiply(scores_, subtract(array(1.0f), scores_, s_), s_);
  }

  array softmax_product(const array& a) const {
    auto product = multiply(scores_, a, s_);
    auto total = sum(product, -1, true, s_);
    return subtract(product, multiply(scores_, total, s_), s_);
  }

  // Returns the logits in float32, without infinities of masked experts.
  array finite_logits() const {
    return keep(allowed_, astype(logits_, float32, s_));
  }

  // Returns the cotangent of the logits.
  array vjp_of_scores(const array& cotangent) const {
    switch (route_.score) {
      case RouteScore::softmax:
        return softmax_product(cotangent);
      case RouteScore::sigmoid:
        return multiply(cotangent, sigmoid_slope(), s_);
      default: {
        auto half = multiply(array(0.5f), cotangent, s_);
        return multiply(divide(half, root(), s_), softplus_slope(), s_);
      }
    }
  }

  array jvp_of_scores(const array& tangent) const {
    switch (route_.score) {
      case RouteScore::softmax:
        return softmax_product(tangent);
      case RouteScore::sigmoid:
        return multiply(tangent, sigmoid_slope(), s_);
      default: {
        auto of_softplus = multiply(tangent, softplus_slope(), s_);
        return divide(multiply(array(0.5f), of_softplus, s_), root(), s_);
      }
    }
  }

  // Returns sqrt(softplus(logits)), with 1 at masked experts as a divisor.
  array root() const {
    return allowed_ ? where(*allowed_, scores_, array(1.0f), s_) : scores_;
  }

  array softplus_slope() const {
    return sigmoid(subtract(finite_logits(), array(0.0f), s_), s_);
  }

  const RouteSettings& route_;
  Stream s_;
  array logits_;
  array indices_;
  array scores_;
  array chosen_;
  // Which experts are not masked, and which of the chosen ones.
  std::optional<array> allowed_;
  std::optional<array> counts_;
};

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
  auto kept =
      keeps_scores_ ? outputs : build(primals, settings_, true, stream());
  RouteDerivative derivative(settings_, primals[0], kept[1], kept[2], stream());
  std::vector<array> vjps;
  for (auto argument : argnums) {
    if (argument == 0) {
      auto of_scores =
          keeps_scores_ ? cotangents[2] : zeros_like(kept[2], stream());
      vjps.push_back(derivative.vjp(cotangents[0], of_scores));
    } else {
      vjps.push_back(zeros_like(primals[argument], stream()));
    }
  }
  return vjps;
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
