// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares what differs between the two libraries that TopK is part of: MLX
// itself, and an extension of MLX. Each of them defines these functions in its
// own way.

#pragma once

#include <vector>

#include "mlx/array.h"
#include "mlx/stream.h"
#include "mlx/topk.h"

namespace mlx::core {

class TopK;

/** Returns ``axis`` counted from 0. Throws if ``a`` has no such axis. */
int check_axis(const char* op, int axis, const array& a);

/**
 * Whether topk on ``s`` has to be composed of other ops, for instance because
 * the device has no kernel. ``axis`` is not negative.
 */
bool composes_topk(const array& a, int k, int axis, const Stream& s);

/**
 * Builds a graph of other ops that returns the same indices as TopK. If they
 * are unsorted, they are in the reverse of the sorted order. Transforms treat
 * these indices as they treat the result of index_output, and errors call the
 * op ``op``.
 */
array composed_topk(
    const char* op,
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    const Stream& s);

/** Evaluates ``topk`` by other ops, for when no kernel can be used. */
void eval_composed(
    TopK& topk,
    const std::vector<array>& inputs,
    std::vector<array>& outputs);

} // namespace mlx::core
