// Copyright © 2026 the mlx-topk authors. MIT licence.

// Applies the index gradient mode to the indices that an op returns. Implements
// mlx/index_marks.h.

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mlx/array.h"
#include "mlx/index_gradient.h"
#include "mlx/index_marks.h"
#include "mlx/primitives.h"
#include "mlx/utils.h"

namespace mlx::core {

/**
 * A primitive that returns indices unchanged. Its ``mode`` decides what vjp and
 * jvp do: return zeros, or throw an error that names ``op``.
 */
class MLX_API IndexOutput : public UnaryPrimitive {
 public:
  explicit IndexOutput(Stream stream, IndexGradient mode, std::string op)
      : UnaryPrimitive(stream), mode_(mode), op_(std::move(op)) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(IndexOutput)
  DEFINE_INPUT_OUTPUT_SHAPE()
  bool is_equivalent(const Primitive& other) const override;
  auto state() const {
    return std::make_pair(mode_, op_);
  }

 private:
  std::vector<array> tangent(const array& indices);

  IndexGradient mode_;
  std::string op_;
};

/**
 * Returns the names of the ops that made indices in mode ``error`` on this
 * thread since the last call. MLX's gathers refuse to differentiate through an
 * index before IndexOutput can throw its own error. With these names a caller
 * can say which op made the index.
 */
MLX_API std::vector<std::string> take_error_ops();

/** Returns whether take_error_ops() would return a name. */
MLX_API bool has_error_ops();

/**
 * Hides from jvp each IndexOutput on which ``outputs`` depend only through a
 * StopGradient. MLX's jvp computes a tangent of every node behind a
 * StopGradient too, although nothing reads it, and mode ``error`` would throw
 * there. Returns the arrays that were changed, for show_indices().
 */
MLX_API std::vector<array> hide_stopped_indices(
    const std::vector<array>& outputs);

/** Undoes hide_stopped_indices(), which returned ``hidden``. */
MLX_API void show_indices(std::vector<array>& hidden);

/** Returns whether a gradient path leads from ``inputs`` to ``output``. */
MLX_API bool depends_on(const array& output, const std::vector<array>& inputs);

namespace detail {

/**
 * Returns whether transforms treat indices as constants on this thread: in mode
 * ``stop``, and in every mode while a portable graph is built, because stock
 * MLX has no primitive that marks an index.
 */
MLX_API bool stops_indices();

/** Stops the gradient of ``input``, if a transform traces it. */
MLX_API array cut(const array& input, StreamOrDevice s);

} // namespace detail

/**
 * Returns the indices op(inputs...), which transforms treat as the index
 * gradient mode says. Use it for an op that returns only indices.
 *
 * In mode ``stop`` the inputs become constants, and not the output. The reason
 * is that mx.vjp pairs outputs with cotangents by position, and would skip an
 * output that is a StopGradient.
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
