// Copyright © 2026 the mlx-topk authors. MIT licence.

// The graph node that route builds.

#pragma once

#include <tuple>
#include <utility>
#include <vector>

#include "mlx/primitives.h"
#include "overlay/route_settings.h"

namespace mlx::core {

/**
 * Chooses k experts for each row of logits along the last axis. The inputs are
 * the logits (float32, float16 or bfloat16) and, optionally, a float32 bias of
 * shape (E,). The outputs are the weights in the type of the logits, the
 * indices as uint32 and, if ``keeps_scores``, the float32 scores of all
 * experts. The vjp uses these scores.
 */
class MLX_API Route : public Primitive {
 public:
  explicit Route(
      Stream stream,
      const RouteSettings& settings,
      bool keeps_scores)
      : Primitive(stream), settings_(settings), keeps_scores_(keeps_scores) {}

  void eval_cpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;
  void eval_gpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(Route)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_pair(settings_, keeps_scores_);
  }

  /**
   * Returns the outputs of a new node with these settings: weights, indices
   * and, if ``keeps_scores``, scores.
   */
  static std::vector<array> build(
      const std::vector<array>& inputs,
      const RouteSettings& settings,
      bool keeps_scores,
      const Stream& s);

 private:
  array vjp_of_logits(
      const std::vector<array>& primals,
      const std::vector<array>& cotangents,
      const std::vector<array>& outputs);

  RouteSettings settings_;
  bool keeps_scores_;
};

/**
 * Computes what Route does by MLX's own ops, and scores of all experts always.
 * For float64 logits everything is computed in float64. The bias may have the
 * number of dimensions of the logits. Transforms treat the indices as they
 * treat the result of index_output.
 */
MLX_API RouteResult composed_route(
    const array& logits,
    const std::optional<array>& bias,
    const RouteSettings& settings,
    const Stream& s);

} // namespace mlx::core
