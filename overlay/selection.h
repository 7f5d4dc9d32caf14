// Copyright © 2026 the mlx-topk authors. MIT licence.

// The ops that select or sort elements. docs/topk.md is their contract. They
// are in a namespace of their own because libmlx exports some of the same
// signatures.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlx/array.h"
#include "mlx/index_gradient.h"
#include "mlx/topk.h"
#include "mlx/topk_threads.h"
#include "mlx/utils.h"
#include "overlay/route_settings.h"
#include "overlay/sort_direction.h"

namespace mlx::core::selection {

using core::SortDirection;
using core::TopKMode;
using core::TopKOrder;
using core::TopKResult;

/**
 * Returns the k best elements along an axis and their indices.
 *
 * Among equal elements the lower index is better. Both outputs have the shape
 * of ``a``, except that ``axis`` has k elements. ``indices`` is uint32 and
 * ``values == take_along_axis(a, indices, axis)``. The gradient of the values
 * goes to the chosen elements. IndexGradient says what gradient the indices
 * have.
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

/** Does what top_k does, except that errors begin with ``[topk]``. */
MLX_API TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s = {});

/**
 * Returns the k largest elements along an axis. The least of them is the first,
 * the greatest is the last.
 */
MLX_API array topk(const array& a, int k, int axis, StreamOrDevice s = {});

/** Returns the k largest elements of the whole array, in the same order. */
MLX_API array topk(const array& a, int k, StreamOrDevice s = {});

/**
 * Returns indices that partition an axis. Position ``kth`` of the result holds
 * the same index as argsort(a, axis, direction). The positions before ``kth``
 * hold the same indices as those of argsort, in unspecified order, and so do
 * the positions after it. docs/topk.md says where they are in order.
 *
 * With several ``kths`` this is so for each of them. That takes as long as a
 * sort, unless all are among the first or the last positions. With none, the
 * indices are 0, 1, ...
 */
MLX_API array
argpartition(const array& a, int kth, int axis, StreamOrDevice s = {});
MLX_API array argpartition(
    const array& a,
    int kth,
    int axis,
    SortDirection direction,
    StreamOrDevice s = {});
MLX_API array argpartition(const array& a, int kth, StreamOrDevice s = {});
MLX_API array argpartition(
    const array& a,
    const std::vector<int>& kths,
    int axis,
    SortDirection direction = SortDirection::ascending,
    StreamOrDevice s = {});

/** Returns take_along_axis(a, argpartition(a, kth, axis), axis). */
MLX_API array
partition(const array& a, int kth, int axis, StreamOrDevice s = {});
MLX_API array partition(
    const array& a,
    int kth,
    int axis,
    SortDirection direction,
    StreamOrDevice s = {});
MLX_API array partition(const array& a, int kth, StreamOrDevice s = {});
MLX_API array partition(
    const array& a,
    const std::vector<int>& kths,
    int axis,
    SortDirection direction = SortDirection::ascending,
    StreamOrDevice s = {});

/**
 * Sorts in stable order, without a direction in ascending order. Returns
 * values, or indices (argsort).
 */
MLX_API array sort(const array& a, int axis, StreamOrDevice s = {});
MLX_API array sort(const array& a, StreamOrDevice s = {});
MLX_API array
sort(const array& a, int axis, SortDirection direction, StreamOrDevice s = {});
MLX_API array argsort(const array& a, int axis, StreamOrDevice s = {});
MLX_API array argsort(const array& a, StreamOrDevice s = {});
MLX_API array argsort(
    const array& a,
    int axis,
    SortDirection direction,
    StreamOrDevice s = {});

/**
 * Returns the indices that sort an axis by several keys. The last key counts
 * most: each of the others decides only where all keys after it are equal.
 * Where all keys are equal, the lower index comes first. The keys have the same
 * shape. They are given one by one, or as one array whose first axis lists
 * them; ``axis`` is an axis of one key.
 *
 * Throws std::invalid_argument if there is no key or the shapes differ, and
 * std::out_of_range for a bad axis.
 */
MLX_API array
lexsort(const std::vector<array>& keys, int axis = -1, StreamOrDevice s = {});
MLX_API array lexsort(const array& keys, int axis = -1, StreamOrDevice s = {});

/**
 * Return the index of the first greatest or least element. If there is a NaN,
 * both return the index of the first NaN.
 */
MLX_API array
argmax(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {});
MLX_API array argmax(const array& a, bool keepdims, StreamOrDevice s = {});
MLX_API array
argmin(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {});
MLX_API array argmin(const array& a, bool keepdims, StreamOrDevice s = {});

/**
 * Calls MLX's searchsorted, and applies the index gradient mode to it. uint64
 * and a signed type are compared as integers. An integer and a floating type
 * are compared in the type to which MLX promotes both.
 */
MLX_API array searchsorted(
    const array& sorted_sequence,
    const array& values,
    const std::string& side = "left",
    StreamOrDevice s = {});

/**
 * As above, but searches along ``axis`` of a sequence with any number of
 * dimensions. Each row is searched for the values in the same row: ``values``
 * has the shape of the sequence except along ``axis``, or any shape if the
 * sequence has one dimension. With a ``sorter``, such as argsort returns,
 * searches take_along_axis(sorted_sequence, sorter, axis).
 *
 * Throws std::invalid_argument for other shapes, or if ``sorter`` does not hold
 * integers, and std::out_of_range for a bad axis.
 */
MLX_API array searchsorted(
    const array& sorted_sequence,
    const array& values,
    const std::string& side,
    int axis,
    const std::optional<array>& sorter = std::nullopt,
    StreamOrDevice s = {});

/**
 * Chooses k experts for each row of logits along the last axis, and weighs
 * them. docs/routing.md has the formula. The weights have the type of the
 * logits, the scores of all experts have float32 (float64 for float64 logits).
 * ``bias`` of shape (E,) is added to the scores for the choice only. It has no
 * gradient.
 *
 * Throws std::invalid_argument if an argument is out of range.
 */
MLX_API RouteResult route(
    const array& logits,
    const RouteSettings& settings,
    const std::optional<array>& bias = {},
    bool return_scores = false,
    StreamOrDevice s = {});

} // namespace mlx::core::selection
