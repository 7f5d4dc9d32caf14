// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selections composed of stock MLX's ops, for portable graphs and for devices
// that have no kernel for them. They select exactly what the kernels do, and
// are slower because they sort.

#pragma once

#include "mlx/array.h"
#include "mlx/stream.h"
#include "mlx/topk.h"

namespace mlx::core {

/** Returns the indices of the k best, best first. ``axis`` is not negative. */
array stock_topk_indices(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    const Stream& s);

/** As selection::argpartition. ``axis`` is not negative. */
array stock_argpartition(const array& a, int kth, int axis, const Stream& s);

} // namespace mlx::core
