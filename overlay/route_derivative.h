// Copyright © 2026 the mlx-topk authors. MIT licence.

// The derivatives of Route, written in MLX's ops.

#pragma once

#include <optional>
#include <utility>

#include "mlx/array.h"
#include "mlx/stream.h"
#include "overlay/route_settings.h"

namespace mlx::core {

/**
 * The derivatives of one Route, from its logits, indices and scores. They take
 * MLX's ops in the order in which MLX differentiates the chain of ops that
 * Route replaces, so they give the same bits. They can be differentiated again.
 */
class MLX_API RouteDerivative {
 public:
  RouteDerivative(
      const RouteSettings& route,
      const array& logits,
      const array& indices,
      const array& scores,
      const Stream& s);

  /**
   * Returns the cotangent of the logits. ``of_scores`` may be missing if it is
   * zero.
   */
  array vjp(const array& of_weights, const std::optional<array>& of_scores)
      const;

  /** Returns the tangents of the weights and of the scores. */
  std::pair<array, array> jvp(const array& of_logits) const;

 private:
  array keep(const std::optional<array>& allowed, const array& a) const;
  array denominator() const;
  array scaled(const array& a) const;
  array vjp_of_weights(const array& cotangent) const;
  array jvp_of_weights(const array& tangent) const;
  array vjp_of_scores(const array& cotangent) const;
  array jvp_of_scores(const array& tangent) const;
  array softmax_product(const array& softmax, const array& a) const;
  array softmax_of_chosen() const;
  array sigmoid_slope() const;
  array softplus_slope() const;
  array root() const;

  RouteSettings route_;
  Stream s_;
  array logits_;
  array indices_;
  array scores_;
  // The scores of the chosen experts.
  array chosen_;
  // Which experts are not masked, and which of the chosen ones. Missing if no
  // logit masks an expert.
  std::optional<array> allowed_;
  std::optional<array> counts_;
};

} // namespace mlx::core
