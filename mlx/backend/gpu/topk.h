// Copyright © 2026 the mlx-topk authors. MIT licence.

#pragma once

#include "mlx/array.h"

namespace mlx::core {

/**
 * Whether the GPU that this is built for has a kernel that finds the k best
 * along ``axis``, which is not negative.
 */
bool gpu_has_topk(const array& a, int k, int axis);

} // namespace mlx::core
