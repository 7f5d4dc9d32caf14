// Copyright © 2026 the mlx-topk authors. MIT licence.

// The words of top-k, for its op, its primitive and its kernels.

#pragma once

#include "mlx/api.h"
#include "mlx/array.h"

namespace mlx::core {

/** Which end of the order is best. NaN counts as greatest. */
enum class TopKMode { largest, smallest };

/** Best first, or any order (the same for the same input). */
enum class TopKOrder { sorted, unsorted };

struct TopKResult {
  array values;
  array indices;
};

namespace selection {

/**
 * How many threads a selection on the CPU may use, its stream's own included.
 * The first that is said of: set_threads, MLX_SELECTION_THREADS, the processors
 * that this process may run on. Throws std::invalid_argument if that is no
 * number from 1 to 1024. Results do not depend on it.
 */
MLX_API int threads();
MLX_API void set_threads(int threads);

} // namespace selection

} // namespace mlx::core
