// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selections that are evaluated by stock MLX's primitives, as on a GPU whose
// kernels turn out not to be usable.

#pragma once

#include <utility>

#include "mlx/array.h"
#include "mlx/topk.h"

namespace hooks {

namespace mx = mlx::core;

/** Returns the values and indices. ``axis`` is not negative. */
std::pair<mx::array, mx::array>
topk_by_stock(const mx::array& a, int k, int axis, bool largest);

/** Likewise. */
std::pair<mx::array, mx::array>
partition_by_stock(const mx::array& a, int kth, int axis);

} // namespace hooks
