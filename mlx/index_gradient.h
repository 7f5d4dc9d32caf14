// Copyright © 2026 the mlx-topk authors. MIT licence.

// The index gradient mode: how transforms (vjp, jvp and others) treat the
// indices that ops such as argsort return. This file declares the setting. The
// functions in index_marks.h apply it.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mlx/api.h"

namespace mlx::core {

/**
 * How transforms treat the indices that an op returns.
 *
 * stop:  the indices are constants. Nothing goes on the tape.
 * zero:  the op stays on the tape. Its vjp is zeros like the input, and its jvp
 *        is zeros like the indices. Gathers still refuse to differentiate
 *        through an index.
 * error: differentiating through the indices throws std::invalid_argument.
 */
enum class IndexGradient { stop, zero, error };

/**
 * Returns the mode called ``name``. Throws std::invalid_argument if there is
 * none.
 */
MLX_API IndexGradient to_index_gradient(std::string_view name);
MLX_API const char* to_string(IndexGradient mode);

/**
 * The mode of the process, which every thread uses outside an
 * IndexGradientScope. Its initial value is ``stop``.
 */
MLX_API IndexGradient default_index_gradient();
MLX_API void set_default_index_gradient(IndexGradient mode);

/**
 * Returns the mode in force on this thread: that of its innermost scope, else
 * what the IndexGradientSource returns, else the mode of the process.
 */
MLX_API IndexGradient index_gradient();

/**
 * Returns the mode that a language binding has set for the code that is
 * running, or nothing. May be called on any thread.
 */
using IndexGradientSource = std::optional<IndexGradient> (*)();
MLX_API void set_index_gradient_source(IndexGradientSource source);

/** Sets the mode of this thread for as long as the object lives. */
class MLX_API IndexGradientScope {
 public:
  explicit IndexGradientScope(IndexGradient mode);
  ~IndexGradientScope();
  IndexGradientScope(const IndexGradientScope&) = delete;
  IndexGradientScope& operator=(const IndexGradientScope&) = delete;
};

/** Returns the message of the error that mode ``error`` throws. */
MLX_API std::string index_gradient_error(const std::string& op);

} // namespace mlx::core
