// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/route_derivative.h"

#include <limits>

#include "mlx/ops.h"

namespace mlx::core {

RouteDerivative::RouteDerivative(
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

array RouteDerivative::vjp(
    const array& of_weights,
    const std::optional<array>& of_scores) const {
  auto of_chosen = vjp_of_weights(astype(of_weights, float32, s_));
  auto cotangent =
      scatter_add_axis(zeros_like(scores_, s_), indices_, of_chosen, -1, s_);
  if (of_scores) {
    cotangent = add(cotangent, *of_scores, s_);
  }
  auto of_logits = vjp_of_scores(keep(allowed_, cotangent));
  return astype(keep(allowed_, of_logits), logits_.dtype(), s_);
}

std::pair<array, array> RouteDerivative::jvp(const array& of_logits) const {
  auto tangent = keep(allowed_, astype(of_logits, float32, s_));
  auto of_scores = keep(allowed_, jvp_of_scores(tangent));
  auto of_chosen = take_along_axis(of_scores, indices_, -1, s_);
  auto of_weights = jvp_of_weights(of_chosen);
  return {astype(of_weights, logits_.dtype(), s_), of_scores};
}

// Returns ``a`` with 0 at masked experts.
array RouteDerivative::keep(const std::optional<array>& allowed, const array& a)
    const {
  return allowed ? where(*allowed, a, array(0.0f, a.dtype()), s_) : a;
}

array RouteDerivative::denominator() const {
  auto total = sum(chosen_, -1, true, s_);
  if (route_.eps != 0) {
    total = add(total, array(route_.eps), s_);
  }
  if (counts_) {
    total = where(any(*counts_, -1, true, s_), total, array(1.0f), s_);
  }
  return total;
}

array RouteDerivative::scaled(const array& a) const {
  return route_.scale == 1 ? a : multiply(array(route_.scale), a, s_);
}

// Returns the cotangent of the chosen scores.
array RouteDerivative::vjp_of_weights(const array& cotangent) const {
  auto of_quotient = scaled(keep(counts_, cotangent));
  if (!route_.renormalize) {
    return of_quotient;
  }
  if (route_.uses_softmax_of_chosen()) {
    return softmax_product(softmax_of_chosen(), of_quotient);
  }
  auto total = denominator();
  auto direct = divide(of_quotient, total, s_);
  auto product = multiply(of_quotient, chosen_, s_);
  auto by_total = negative(divide(product, square(total, s_), s_), s_);
  return keep(counts_, add(direct, sum(by_total, -1, true, s_), s_));
}

array RouteDerivative::jvp_of_weights(const array& tangent) const {
  if (!route_.renormalize) {
    return scaled(tangent);
  }
  if (route_.uses_softmax_of_chosen()) {
    auto product = softmax_product(softmax_of_chosen(), tangent);
    return scaled(keep(counts_, product));
  }
  auto total = denominator();
  auto product = multiply(sum(tangent, -1, true, s_), chosen_, s_);
  auto by_total = negative(divide(product, square(total, s_), s_), s_);
  auto of_quotient = add(divide(tangent, total, s_), by_total, s_);
  return scaled(keep(counts_, of_quotient));
}

// Returns the cotangent of the logits.
array RouteDerivative::vjp_of_scores(const array& cotangent) const {
  switch (route_.score) {
    case RouteScore::softmax:
      return softmax_product(scores_, cotangent);
    case RouteScore::logits:
      return cotangent;
    case RouteScore::sigmoid:
      return multiply(cotangent, sigmoid_slope(), s_);
    default: {
      auto half = multiply(array(0.5f), cotangent, s_);
      return multiply(divide(half, root(), s_), softplus_slope(), s_);
    }
  }
}

array RouteDerivative::jvp_of_scores(const array& tangent) const {
  switch (route_.score) {
    case RouteScore::softmax:
      return softmax_product(scores_, tangent);
    case RouteScore::logits:
      return tangent;
    case RouteScore::sigmoid:
      return multiply(tangent, sigmoid_slope(), s_);
    default: {
      auto of_softplus = multiply(tangent, softplus_slope(), s_);
      return divide(multiply(array(0.5f), of_softplus, s_), root(), s_);
    }
  }
}

// Returns the product of ``a`` with the derivative of a softmax, whose value is
// given. The derivative is symmetric.
array RouteDerivative::softmax_product(const array& softmax, const array& a)
    const {
  auto product = multiply(softmax, a, s_);
  auto total = sum(product, -1, true, s_);
  return subtract(product, multiply(softmax, total, s_), s_);
}

// Returns the softmax of the chosen logits, which are the scores. It is 0 for
// masked experts.
array RouteDerivative::softmax_of_chosen() const {
  if (!counts_) {
    return softmax(chosen_, -1, false, s_);
  }
  auto some = any(*counts_, -1, true, s_);
  auto infinity = array(-std::numeric_limits<float>::infinity());
  auto absent = where(some, infinity, array(0.0f), s_);
  auto all = softmax(where(*counts_, chosen_, absent, s_), -1, false, s_);
  return keep(counts_, all);
}

array RouteDerivative::sigmoid_slope() const {
  return multiply(scores_, subtract(array(1.0f), scores_, s_), s_);
}

array RouteDerivative::softplus_slope() const {
  auto logits = keep(allowed_, astype(logits_, float32, s_));
  return sigmoid(subtract(logits, array(0.0f), s_), s_);
}

// Returns the square roots to divide by: the scores, and 1 for masked experts.
array RouteDerivative::root() const {
  return allowed_ ? where(*allowed_, scores_, array(1.0f), s_) : scores_;
}

} // namespace mlx::core
