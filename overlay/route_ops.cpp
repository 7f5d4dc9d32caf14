// Copyright © 2026 the mlx-topk authors. MIT licence.

// route: checks its arguments, then builds a Route, or the same computation of
// MLX's own ops.

#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "mlx/ops.h"
#include "overlay/backend/gpu/route.h"
#include "overlay/index_output.h"
#include "overlay/portable_graph.h"
#include "overlay/route.h"
#include "overlay/selection.h"
#include "overlay/stock_graph.h"

namespace mlx::core {

namespace {

template <typename... Parts>
[[noreturn]] void raise(const Parts&... parts) {
  std::ostringstream msg;
  msg << "[route] ";
  (msg << ... << parts) << ".";
  throw std::invalid_argument(msg.str());
}

void check_groups(const RouteSettings& route, int experts) {
  if (route.groups < 1 || experts % route.groups != 0) {
    raise(
        "groups must divide the number of experts ",
        experts,
        ", got ",
        route.groups);
  }
  if (route.topk_groups < 1 || route.topk_groups > route.groups) {
    raise(
        "topk_groups must be between 1 and ",
        route.groups,
        ", got ",
        route.topk_groups);
  }
  auto members = experts / route.groups;
  if (route.topk_groups * members < route.k) {
    raise(
        route.topk_groups,
        " groups of ",
        members,
        " experts are fewer than k = ",
        route.k,
        " experts");
  }
}

void check_arguments(
    const array& logits,
    const RouteSettings& route,
    const std::optional<array>& bias) {
  if (!issubdtype(logits.dtype(), floating)) {
    raise("logits must be floating, got ", logits.dtype());
  }
  if (logits.ndim() == 0) {
    raise("logits must have at least one dimension, got a scalar");
  }
  int experts = logits.shape(-1);
  if (route.k < 1 || route.k > experts) {
    raise(
        "k must be between 1 and ",
        experts,
        " for logits with shape ",
        logits.shape(),
        ", got ",
        route.k);
  }
  check_groups(route, experts);
  if (!(route.eps >= 0)) {
    raise("eps must not be negative, got ", route.eps);
  }
  if (bias && !issubdtype(bias->dtype(), floating)) {
    raise("bias must be floating, got ", bias->dtype());
  }
  if (bias && bias->shape() != Shape{experts}) {
    raise("bias must have shape (", experts, "), got ", bias->shape());
  }
}

// Returns whether route has to be composed of MLX's own ops. The CPU kernels
// give the bits of MLX's ops on x86-64 and on Linux for aarch64. On macOS, MLX
// computes exponentials and sums by other instructions.
bool composes_route(
    const array& logits,
    const RouteSettings& settings,
    const Stream& s) {
  if (logits.dtype() == float64 || in_portable_graph()) {
    return true;
  }
  if (s.device == Device::gpu) {
    return !gpu_has_route(logits, settings);
  }
#if defined(__APPLE__)
  return true;
#else
  return false;
#endif
}

array infinity_of(const array& like, float sign) {
  return array(sign * std::numeric_limits<float>::infinity(), like.dtype());
}

array zero_of(const array& like) {
  return array(0.0f, like.dtype());
}

/** The computation of one composed route. */
class Composition {
 public:
  Composition(const array& logits, const RouteSettings& route, const Stream& s)
      : route_(route), s_(s), logits_(logits) {
    if (route.masks_infinity) {
      allowed_ = not_equal(logits, infinity_of(logits, -1), s);
    }
  }

  // Returns the scores. Masked logits are replaced before the function whose
  // derivative could be NaN, and masked scores after it.
  array scores() const {
    auto in = logits_;
    if (allowed_ && route_.score == RouteScore::softmax) {
      auto some = any(*allowed_, -1, true, s_);
      auto absent = where(some, infinity_of(in, -1), zero_of(in), s_);
      in = where(*allowed_, in, absent, s_);
    } else if (allowed_) {
      in = where(*allowed_, in, zero_of(in), s_);
    }
    auto scores = score(in);
    return allowed_ ? where(*allowed_, scores, zero_of(scores), s_) : scores;
  }

  array indices(const array& scores, const std::optional<array>& bias) const {
    auto biased =
        bias ? add(scores, astype(*bias, scores.dtype(), s_), s_) : scores;
    biased = mask(biased);
    if (route_.uses_groups()) {
      biased = mask(without_worst_groups(biased));
    }
    if (route_.ties == RouteTies::higher) {
      auto order = route_.sorted ? TopKOrder::sorted : TopKOrder::unsorted;
      return last_indices(biased, route_.k, order);
    }
    // The order of argsort(-biased): NaN last, the lower index first.
    return stock_topk_indices(
        negative(biased, s_),
        route_.k,
        biased.ndim() - 1,
        TopKMode::smallest,
        route_.sorted ? TopKOrder::sorted : TopKOrder::unsorted,
        s_);
  }

  array weights(const array& scores, const array& indices) const {
    auto weights = take_along_axis(scores, indices, -1, s_);
    if (route_.uses_softmax_of_chosen()) {
      weights = softmax_of_chosen(weights, indices);
    } else if (route_.renormalize) {
      auto total = sum(weights, -1, true, s_);
      if (route_.eps != 0) {
        total = add(total, array(route_.eps, total.dtype()), s_);
      }
      if (!allowed_) {
        return scaled(divide(weights, total, s_));
      }
      auto counts = take_along_axis(*allowed_, indices, -1, s_);
      auto some = any(counts, -1, true, s_);
      total = where(some, total, array(1.0f, total.dtype()), s_);
      weights = divide(weights, total, s_);
      // The total can be NaN.
      weights = where(counts, weights, zero_of(weights), s_);
    }
    return scaled(weights);
  }

 private:
  array scaled(const array& weights) const {
    return route_.scale == 1
        ? weights
        : multiply(weights, array(route_.scale, weights.dtype()), s_);
  }

  array score(const array& in) const {
    switch (route_.score) {
      case RouteScore::softmax:
        return softmax(in, -1, false, s_);
      case RouteScore::sigmoid:
        return sigmoid(in, s_);
      case RouteScore::logits:
        return in;
      default:
        return sqrt(logaddexp(in, zero_of(in), s_), s_);
    }
  }

  // Returns the k last indices of argsort(a): NaN last, and among equals the
  // lower index first. If sorted, they are reversed.
  array last_indices(const array& a, int k, TopKOrder order) const {
    auto reversed = stock_topk_indices(
        a,
        a.shape(-1),
        a.ndim() - 1,
        TopKMode::smallest,
        TopKOrder::unsorted,
        s_);
    auto places = order == TopKOrder::sorted ? arange(0, k, uint32, s_)
                                             : arange(k - 1, -1, -1, int32, s_);
    return take(reversed, places, -1, s_);
  }

  // Returns the softmax of the chosen logits. A masked expert has weight 0.
  array softmax_of_chosen(const array& chosen, const array& indices) const {
    if (!allowed_) {
      return softmax(chosen, -1, false, s_);
    }
    auto counts = take_along_axis(*allowed_, indices, -1, s_);
    auto some = any(counts, -1, true, s_);
    auto absent = where(some, infinity_of(chosen, -1), zero_of(chosen), s_);
    auto weights = softmax(where(counts, chosen, absent, s_), -1, false, s_);
    return where(counts, weights, zero_of(weights), s_);
  }

  // Sets masked experts to -inf.
  array mask(const array& biased) const {
    return allowed_ ? where(*allowed_, biased, infinity_of(biased, -1), s_)
                    : biased;
  }

  array without_worst_groups(const array& biased) const {
    auto grouped = unflatten(biased, -1, {route_.groups, -1}, s_);
    auto worth = group_scores(grouped);
    auto kept = route_.group_ties == RouteTies::higher
        ? last_indices(worth, route_.topk_groups, TopKOrder::sorted)
        : stock_topk_indices(
              worth,
              route_.topk_groups,
              worth.ndim() - 1,
              TopKMode::largest,
              TopKOrder::sorted,
              s_);
    auto numbers = arange(0, route_.groups, uint32, s_);
    auto is_kept =
        any(equal(expand_dims(kept, -1, s_), numbers, s_), -2, false, s_);
    auto rest = array(route_.excluded_score, grouped.dtype());
    return flatten(
        where(expand_dims(is_kept, -1, s_), grouped, rest, s_), -2, -1, s_);
  }

  array group_scores(const array& grouped) const {
    auto best = max(grouped, -1, false, s_);
    if (route_.group_score == GroupScore::max || grouped.shape(-1) == 1) {
      return best;
    }
    auto pair = stock_topk_indices(
        grouped,
        2,
        grouped.ndim() - 1,
        TopKMode::largest,
        TopKOrder::unsorted,
        s_);
    auto values = take_along_axis(grouped, constant(pair, s_), -1, s_);
    if (!allowed_) {
      return sum(values, -1, false, s_);
    }
    auto absent = infinity_of(grouped, -1);
    values = where(equal(values, absent, s_), zero_of(values), values, s_);
    return where(
        equal(best, absent, s_), absent, sum(values, -1, false, s_), s_);
  }

  const RouteSettings& route_;
  const Stream& s_;
  array logits_;
  std::optional<array> allowed_;
};

} // namespace

RouteResult composed_route(
    const array& logits,
    const std::optional<array>& bias,
    const RouteSettings& settings,
    const Stream& s) {
  auto type = logits.dtype() == float64 ? float64 : float32;
  Composition route(astype(logits, type, s), settings, s);
  auto scores = route.scores();
  auto choose = [&](const array& a) { return route.indices(a, bias); };
  auto indices = bias
      ? index_op(
            "route",
            s,
            [&](const array& a, const array& b) { return route.indices(a, b); },
            scores,
            *bias)
      : index_op("route", s, choose, scores);
  auto weights = route.weights(scores, constant(indices, s));
  return {astype(weights, logits.dtype(), s), indices, scores};
}

namespace selection {

RouteResult route(
    const array& logits,
    const RouteSettings& settings,
    const std::optional<array>& bias /* = {} */,
    bool return_scores /* = false */,
    StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  check_arguments(logits, settings, bias);
  if (composes_route(logits, settings, stream)) {
    auto result = composed_route(logits, bias, settings, stream);
    if (!return_scores) {
      result.scores.reset();
    }
    return result;
  }
  std::vector<array> inputs{logits};
  if (bias) {
    inputs.push_back(astype(*bias, float32, stream));
  }
  bool traced = logits.is_tracer() || (bias && bias->is_tracer());
  auto outputs =
      Route::build(inputs, settings, return_scores || traced, stream);
  RouteResult result{outputs[0], index_output(outputs[1], "route", stream), {}};
  if (return_scores) {
    result.scores = outputs[2];
  }
  return result;
}

} // namespace selection

} // namespace mlx::core
