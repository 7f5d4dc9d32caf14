// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the GPU that this is built for has kernels for.

#pragma once

#include "mlx/array.h"

namespace mlx::core {

/** The k best of the rows along an axis, which is not negative. */
bool gpu_has_topk(const array& a, int axis, int k);
bool gpu_has_partition(const array& a, int axis, int kth);

} // namespace mlx::core
