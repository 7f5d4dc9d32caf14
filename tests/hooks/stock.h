// Copyright © 2026 the mlx-topk authors. MIT licence.

// Evaluates selections by stock MLX's primitives, as happens on a GPU if our
// kernels turn out not to be usable.

#pragma once

#include <utility>

#include "mlx/array.h"
#include "mlx/topk.h"

namespace hooks {

namespace mx = mlx::core;

/** Returns the values and indices of a topk. ``axis`` is not negative. */
std::pair<mx::array, mx::array>
topk_by_stock(const mx::array& a, int k, int axis, bool largest);

/** Returns the values and indices of a partition. ``axis`` is not negative. */
std::pair<mx::array, mx::array>
partition_by_stock(const mx::array& a, int kth, int axis);

} // namespace hooks
