// Copyright © 2026 the mlx-topk authors. MIT licence.

// How many threads the CPU kernels of topk and the other selections may use.

#pragma once

#include "mlx/api.h"

namespace mlx::core {

namespace selection {

/**
 * Returns how many threads a selection on the CPU may use, the thread of its
 * stream included. This is the number given to set_threads() if it was called,
 * else the environment variable MLX_TOPK_THREADS, else the number of CPUs that
 * this process may run on. Results do not depend on the number of threads.
 *
 * Throws std::invalid_argument if the variable is not a number from 1 to 1024.
 */
MLX_API int threads();

/** Throws std::invalid_argument if ``threads`` is not from 1 to 1024. */
MLX_API void set_threads(int threads);

} // namespace selection

} // namespace mlx::core
