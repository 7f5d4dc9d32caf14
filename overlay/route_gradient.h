// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node of Route's gradient.

#pragma once

#include <optional>
#include <vector>

#include "mlx/primitives.h"
#include "overlay/route_settings.h"

namespace mlx::core {

/**
 * Computes the cotangent of the logits of a Route, as RouteDerivative::vjp
 * does, in one pass. The inputs are the logits, indices and scores of the
 * Route, the cotangent of its weights and, optionally, that of its scores.
 */
class MLX_API RouteGradient : public Primitive {
 public:
  explicit RouteGradient(Stream stream, const RouteSettings& settings)
      : Primitive(stream), settings_(settings) {}

  void eval_cpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;
  void eval_gpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(RouteGradient)
  DEFINE_INPUT_OUTPUT_SHAPE()
  bool is_equivalent(const Primitive& other) const override;
  auto state() const {
    return settings_;
  }

  /** Returns the output of a new node. */
  static array build(
      const std::vector<array>& inputs,
      const RouteSettings& settings,
      const Stream& s);

 private:
  RouteSettings settings_;
};

} // namespace mlx::core
