// Copyright © 2026 the mlx-topk authors. MIT licence.

// Indices as transforms see them: the one place where the option is applied.
// Which elements an op selects is decided elsewhere.

#pragma once

#include <string>
#include <vector>

#include "mlx/array.h"
#include "mlx/index_gradient.h"
#include "mlx/utils.h"

namespace mlx::core {

/**
 * ``indices`` as a transform shall see them: ``op`` names their producer in
 * errors. For an op whose other outputs do carry gradients; one that returns
 * nothing but indices goes through index_op.
 */
MLX_API array
index_output(const array& indices, const char* op, StreamOrDevice s = {});

/**
 * The names of the ops whose indices this thread has put under ``error`` since
 * it last asked. MLX's gathers refuse an index before its own rule is reached;
 * with this a caller can say whose index it was.
 */
MLX_API std::vector<std::string> take_error_ops();

/** ``a`` with no way for a transform to look through it. */
MLX_API array constant(const array& a, StreamOrDevice s = {});

/** Whether a transform that follows ``inputs`` can arrive at ``output``. */
MLX_API bool depends_on(const array& output, const std::vector<array>& inputs);

namespace detail {
// In a portable graph too: a stock MLX has nothing that marks an index.
MLX_API bool stops_indices();
MLX_API array cut(const array& input, StreamOrDevice s);
} // namespace detail

/**
 * The indices that ``op(inputs...)`` makes, under the mode in force. ``stop``
 * cuts the inputs, not the output: mx.vjp pairs outputs with cotangents by
 * position and passes over an output that is itself a StopGradient.
 */
template <typename Op, typename... Inputs>
array index_op(
    const char* name,
    StreamOrDevice s,
    const Op& op,
    const Inputs&... inputs) {
  if (!(inputs.is_tracer() || ...)) {
    return op(inputs...);
  }
  if (detail::stops_indices()) {
    return op(detail::cut(inputs, s)...);
  }
  return index_output(op(inputs...), name, s);
}

} // namespace mlx::core
