// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selection written in the ops that every MLX has: for graphs that a stock MLX
// has to load, and for devices that have no kernel of ours yet. Exact, in the
// contract's order, and slower: it sorts.

#pragma once

#include "mlx/selection.h"

namespace mlx::core {

/** Whether a portable graph has to follow inputs of other shapes. */
enum class PortableShapes { fixed, any };

/**
 * While one lives, the ops of this thread build graphs of MLX's own primitives
 * only. Put it round the tracing of a function that is exported, with ``any``
 * if it is exported shapeless: such a graph sorts, and cannot check k.
 */
class MLX_API PortableGraphScope {
 public:
  explicit PortableGraphScope(PortableShapes shapes = PortableShapes::fixed);
  ~PortableGraphScope();
  PortableGraphScope(const PortableGraphScope&) = delete;
  PortableGraphScope& operator=(const PortableGraphScope&) = delete;
};

/** Whether this thread is inside a PortableGraphScope. */
MLX_API bool in_portable_graph();

/** Whether ops on ``s`` have to be built of MLX's own primitives. */
bool needs_portable_ops(const Stream& s);

/** As selection::top_k, for valid arguments and a non-negative axis. */
selection::TopKResult portable_top_k(
    const array& a,
    int k,
    int axis,
    selection::TopKMode mode,
    const Stream& s);

/** As selection::argpartition, likewise. */
array portable_argpartition(const array& a, int kth, int axis, const Stream& s);

} // namespace mlx::core
