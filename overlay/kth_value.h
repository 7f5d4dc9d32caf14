// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k-th smallest or largest element. docs/topk.md is the contract.

#pragma once

#include "mlx/array.h"
#include "mlx/topk.h"
#include "mlx/utils.h"

namespace mlx::core::selection {

/**
 * Returns the k-th smallest element along an axis, or the k-th largest in mode
 * ``largest``, and its index. k counts from 1. It is the element at place k - 1
 * of a stable sort in that direction, in which NaN counts as greatest. The
 * gradient of the value goes to this element.
 *
 * Throws std::invalid_argument if k is not in [1, a.shape(axis)] and
 * std::out_of_range for a bad axis.
 */
MLX_API TopKResult kthvalue(
    const array& a,
    int k,
    int axis = -1,
    bool keepdims = false,
    TopKMode mode = TopKMode::smallest,
    StreamOrDevice s = {});

} // namespace mlx::core::selection
