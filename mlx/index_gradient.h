// Copyright © 2026 the mlx-topk authors. MIT licence.

// What a gradient through an index means: the option. Where it is applied is in
// index_output.h.

#pragma once

#include <string>
#include <string_view>

#include "mlx/api.h"

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

/** What is wrong with differentiating through the indices of ``op``. */
MLX_API std::string index_gradient_error(const std::string& op);

} // namespace mlx::core
