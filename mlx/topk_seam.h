// Copyright © 2026 the mlx-topk authors. MIT licence.

// What differs between the libraries that TopK is part of. Each library defines
// these functions in its own way.

#pragma once

#include <vector>

#include "mlx/array.h"
#include "mlx/stream.h"
#include "mlx/topk.h"

namespace mlx::core {

class TopK;

/** Returns ``axis`` counted from the front. Throws if ``a`` has no such axis.
 */
int check_axis(const char* op, int axis, const array& a);

/**
 * Whether topk on ``s`` has to be composed of other ops, for instance because
 * the device has no kernel. ``axis`` is not negative.
 */
bool composes_topk(const array& a, int k, int axis, const Stream& s);

/**
 * Returns the indices that TopK would, sorted, as a graph of other ops. For a
 * transform they are the indices of ``op``, like those of index_output.
 */
array composed_topk(
    const char* op,
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    const Stream& s);

/** Evaluates ``topk`` if its kernels turn out not to be usable. */
void eval_composed(
    TopK& topk,
    const std::vector<array>& inputs,
    std::vector<array>& outputs);

} // namespace mlx::core
