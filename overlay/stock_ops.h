// Copyright © 2026 the mlx-topk authors. MIT licence.

// When an op is left to stock MLX.

#pragma once

#include "mlx/array.h"
#include "mlx/stream.h"

namespace mlx::core {

/**
 * Whether ops on ``s`` are stock MLX's unless a kernel of the GPU says
 * otherwise: in a portable graph, and on a GPU.
 */
bool prefers_stock(const Stream& s);

/** Whether a partition on ``s`` is stock MLX's. ``axis`` is not negative. */
bool partition_is_stock(const array& a, int kth, int axis, const Stream& s);

} // namespace mlx::core
