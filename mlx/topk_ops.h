// Copyright © 2026 the mlx-topk authors. MIT licence.

// The ops topk and top_k, which return values and indices.

#pragma once

#include "mlx/topk.h"
#include "mlx/utils.h"

namespace mlx::core {

/**
 * Returns the k best elements along an axis and their indices.
 *
 * Among equal elements the lower index is better, and NaN counts as greatest.
 * Both outputs have the shape of ``a`` but for k elements along ``axis``.
 * ``indices`` is uint32 and ``values == take_along_axis(a, indices, axis)``.
 * The gradient of the values goes to the chosen elements.
 *
 * Throws std::invalid_argument if k is not in [0, a.shape(axis)].
 */
MLX_API TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s = {});

/**
 * Returns the values that topk returns. Allocates no memory for the indices
 * unless ``a`` is traced by a transform, or the op is composed of others.
 */
MLX_API array topk_values(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s = {});

/** Does what topk does. Its name and defaults are the Python array API's. */
MLX_API TopKResult top_k(
    const array& a,
    int k,
    int axis = -1,
    TopKMode mode = TopKMode::largest,
    TopKOrder order = TopKOrder::sorted,
    StreamOrDevice s = {});

} // namespace mlx::core
