// Copyright © 2026 the mlx-topk authors. MIT licence.

// Composes selections of stock MLX's ops, for portable graphs and for devices
// that have no kernel. The results are those of the kernels, as far as MLX's
// argsort is stable and its argpartition chooses like a stable sort. The
// composed selections are slower, because they sort.

#pragma once

#include <span>

#include "mlx/array.h"
#include "mlx/stream.h"
#include "mlx/topk.h"
#include "overlay/sort_direction.h"

namespace mlx::core {

/**
 * Returns the indices of the k best elements: the best first if sorted,
 * otherwise in the reverse of that order. ``axis`` is not negative.
 */
array stock_topk_indices(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    const Stream& s);

/** Does what selection::sort does. ``axis`` is not negative. */
array stock_sort(
    const array& a,
    int axis,
    SortDirection direction,
    const Stream& s);

/** Does what selection::argsort does. ``axis`` is not negative. */
array stock_argsort(
    const array& a,
    int axis,
    SortDirection direction,
    const Stream& s);

/** Does what selection::argpartition does. ``axis`` is not negative. */
array stock_argpartition(
    const array& a,
    std::span<const int> kths,
    int axis,
    SortDirection direction,
    const Stream& s);

/**
 * Returns 0, 1, ... along the axis, in the shape of ``a``. The graph does not
 * contain the size of the axis.
 */
array stock_positions(const array& a, int axis, const Stream& s);

} // namespace mlx::core
