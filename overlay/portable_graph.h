// Copyright © 2026 the mlx-topk authors. MIT licence.

// A scope in which selections are built of the primitives that stock MLX has,
// so that stock MLX can load the exported graph.

#pragma once

#include <optional>

#include "mlx/api.h"

namespace mlx::core {

/** Whether a portable graph has to be valid for inputs of other shapes. */
enum class PortableShapes { fixed, any };

/**
 * While an object lives, this thread's ops build graphs of stock MLX's
 * primitives only. Use it around the tracing of a function that is exported,
 * with ``any`` if it is exported shapeless. A shapeless graph always sorts, and
 * cannot check k.
 */
class MLX_API PortableGraphScope {
 public:
  explicit PortableGraphScope(PortableShapes shapes = PortableShapes::fixed);
  ~PortableGraphScope();
  PortableGraphScope(const PortableGraphScope&) = delete;
  PortableGraphScope& operator=(const PortableGraphScope&) = delete;
};

/** Returns whether this thread is inside a PortableGraphScope. */
MLX_API bool in_portable_graph();

/** Returns the argument of this thread's innermost scope, if there is one. */
MLX_API std::optional<PortableShapes> portable_shapes();

} // namespace mlx::core
