// Copyright © 2026 the mlx-topk authors. MIT licence.

// A scope in which selection is written in primitives that every MLX has, for
// graphs that a stock MLX has to load.

#pragma once

#include "mlx/api.h"

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

} // namespace mlx::core
