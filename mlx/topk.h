// Copyright © 2026 the mlx-topk authors. MIT licence.

// Types shared by the ops topk and top_k, their primitive and their kernels.

#pragma once

#include "mlx/api.h"
#include "mlx/array.h"

namespace mlx::core {

/** Which elements are best. NaN counts as greatest. */
enum class TopKMode { largest, smallest };

/**
 * The order of the results: best first, or unspecified. It is the same for the
 * same input in either case.
 */
enum class TopKOrder { sorted, unsorted };

struct TopKResult {
  array values;
  array indices;
};

namespace selection {

/**
 * Returns how many threads a selection on the CPU may use, the thread of its
 * stream included: the number given to set_threads() if it was called, else the
 * environment variable MLX_TOPK_THREADS, else the number of CPUs that this
 * process may run on. Results do not depend on it.
 *
 * Throws std::invalid_argument if the variable is not a number from 1 to 1024.
 */
MLX_API int threads();

/** Throws std::invalid_argument if ``threads`` is not from 1 to 1024. */
MLX_API void set_threads(int threads);

} // namespace selection

} // namespace mlx::core
