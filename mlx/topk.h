// Copyright © 2026 the mlx-topk authors. MIT licence.

// Types shared by the ops topk and top_k, their primitive and their kernels.

#pragma once

#include "mlx/api.h"
#include "mlx/array.h"

namespace mlx::core {

/** Which elements are best. NaN counts as greatest. */
enum class TopKMode { largest, smallest };

/**
 * The order of the results. ``sorted``: the best first. ``unsorted``: the worst
 * first and the best last. The others are then in an unspecified order, which
 * is the same each time for the same input.
 */
enum class TopKOrder { sorted, unsorted };

struct TopKResult {
  array values;
  array indices;
};

} // namespace mlx::core
