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

/** Returns indices unchanged. Its gradient is that of a mode, for ``op``. */
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
 * Returns the names of the ops whose indices this thread has put under
 * ``error`` since the last call. MLX's gathers refuse an index before the
 * index's own rule is reached; this tells a caller whose index it was.
 */
MLX_API std::vector<std::string> take_error_ops();

/** Whether a gradient path leads from ``inputs`` to ``output``. */
MLX_API bool depends_on(const array& output, const std::vector<array>& inputs);

namespace detail {

/**
 * Whether indices are constants on this thread. They also are in a portable
 * graph, because stock MLX has no primitive that marks an index.
 */
MLX_API bool stops_indices();

/** Returns ``input`` as a constant, if a transform traces it. */
MLX_API array cut(const array& input, StreamOrDevice s);

} // namespace detail

/**
 * Returns the indices op(inputs...) as transforms shall see them, in the mode
 * in force. For an op that returns nothing but indices.
 *
 * ``stop`` makes the inputs constants, not the output: mx.vjp pairs outputs
 * with cotangents by position, and skips an output that is a StopGradient.
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
