// Copyright © 2026 the mlx-topk authors. MIT licence.

// What a gradient through an index means: the option, and the one place where
// it is applied. Which elements an op selects is decided elsewhere.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mlx/array.h"
#include "mlx/utils.h"

namespace mlx::core {

/**
 * What a transform sees where an op returns indices.
 *
 * stop:  constants. Nothing goes on the tape.
 * zero:  the op stays on the tape; its vjp is zeros like the input and its jvp
 *        zeros like the indices. Gathers still refuse to differentiate through
 *        an index.
 * error: differentiating through the indices throws std::invalid_argument.
 */
enum class IndexGradient { stop, zero, error };

/** The mode named by ``name``. Throws std::invalid_argument for a bad name. */
MLX_API IndexGradient to_index_gradient(std::string_view name);
MLX_API const char* to_string(IndexGradient mode);

/**
 * The mode of the process, which every thread uses outside an
 * IndexGradientScope. It starts as what the environment variable
 * ``MLX_INDEX_GRADIENT`` says, or ``stop``.
 */
MLX_API IndexGradient default_index_gradient();
MLX_API void set_default_index_gradient(IndexGradient mode);

/** The mode in force on this thread. Ops read it when they are called. */
MLX_API IndexGradient index_gradient();

/** Puts a mode in force on this thread for as long as the object lives. */
class MLX_API IndexGradientScope {
 public:
  explicit IndexGradientScope(IndexGradient mode);
  ~IndexGradientScope();
  IndexGradientScope(const IndexGradientScope&) = delete;
  IndexGradientScope& operator=(const IndexGradientScope&) = delete;
};

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

/** What is wrong with differentiating through the indices of ``op``. */
MLX_API std::string index_gradient_error(const std::string& op);

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
