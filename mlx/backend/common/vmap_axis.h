// Copyright © 2026 the mlx-topk authors. MIT licence.

#pragma once

namespace mlx::core {

/**
 * Converts ``axis`` of the arrays in a batch to the same axis of the batched
 * array, which holds them side by side along ``mapped_axis``. ``mapped_axis``
 * is -1 if the array is not batched.
 */
inline int axis_under_vmap(int axis, int mapped_axis) {
  return axis + (mapped_axis >= 0 && mapped_axis <= axis);
}

} // namespace mlx::core
