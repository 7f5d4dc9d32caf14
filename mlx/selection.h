// Copyright © 2026 the mlx-topk authors. MIT licence.

// The ops that choose elements, and the indices they return. docs/topk.md is
// their contract. They live in a namespace of their own because libmlx already
// exports some of the same signatures.

#pragma once

#include <cstdint>
#include <string>

#include "mlx/array.h"
#include "mlx/index_gradient.h"
#include "mlx/topk.h"
#include "mlx/utils.h"

namespace mlx::core::selection {

using core::TopKMode;
using core::TopKOrder;
using core::TopKResult;

/**
 * The k best elements along an axis, and where they were.
 *
 * Among equal elements the lower index wins. Both outputs have the shape of
 * ``a`` but for ``axis``, which has k elements; ``indices`` is uint32 and
 * ``values == take_along_axis(a, indices, axis)``. Gradients of the values go
 * to the chosen elements; those of the indices follow IndexGradient.
 *
 * Throws std::invalid_argument if k is not in [0, a.shape(axis)] and
 * std::out_of_range for a bad axis.
 */
MLX_API TopKResult top_k(
    const array& a,
    int k,
    int axis = -1,
    TopKMode mode = TopKMode::largest,
    TopKOrder order = TopKOrder::sorted,
    StreamOrDevice s = {});

/** As top_k; ``[topk]`` in errors. */
MLX_API TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s = {});

/** The k largest elements along an axis, in any order. */
MLX_API array topk(const array& a, int k, int axis, StreamOrDevice s = {});

/** The k largest elements of the flattened array, in any order. */
MLX_API array topk(const array& a, int k, StreamOrDevice s = {});

/**
 * Indices along an axis such that element ``kth`` is where a stable sort would
 * put it, those before it do not come after it in that sort, and those after
 * it do not come before.
 */
MLX_API array
argpartition(const array& a, int kth, int axis, StreamOrDevice s = {});
MLX_API array argpartition(const array& a, int kth, StreamOrDevice s = {});

/** take_along_axis(a, argpartition(a, kth, axis), axis), in one pass. */
MLX_API array
partition(const array& a, int kth, int axis, StreamOrDevice s = {});
MLX_API array partition(const array& a, int kth, StreamOrDevice s = {});

/** A stable ascending sort: its values, or its indices. */
MLX_API array sort(const array& a, int axis, StreamOrDevice s = {});
MLX_API array sort(const array& a, StreamOrDevice s = {});
MLX_API array argsort(const array& a, int axis, StreamOrDevice s = {});
MLX_API array argsort(const array& a, StreamOrDevice s = {});

/** As MLX's: the first of the best, and NaN is best in both. */
MLX_API array
argmax(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {});
MLX_API array argmax(const array& a, bool keepdims, StreamOrDevice s = {});
MLX_API array
argmin(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {});
MLX_API array argmin(const array& a, bool keepdims, StreamOrDevice s = {});

/** MLX's, under the index gradient in force. */
MLX_API array searchsorted(
    const array& sorted_sequence,
    const array& values,
    const std::string& side = "left",
    StreamOrDevice s = {});

} // namespace mlx::core::selection
