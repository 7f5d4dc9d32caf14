// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selection written in the ops that every MLX has: for portable graphs, and for
// devices that have no kernel of ours yet. Exact, in the contract's order, and
// slower: it sorts.

#pragma once

#include "mlx/selection.h"

namespace mlx::core {

/** Whether ops on ``s`` have to be built of MLX's own primitives. */
bool needs_portable_ops(const Stream& s);

/** The indices of selection::top_k, for valid arguments and axis >= 0. */
array portable_top_k(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    const Stream& s);

/** As selection::argpartition, likewise. */
array portable_argpartition(const array& a, int kth, int axis, const Stream& s);

} // namespace mlx::core
