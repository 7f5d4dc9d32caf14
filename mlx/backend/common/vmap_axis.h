// Copyright © 2026 the mlx-topk authors. MIT licence.

#pragma once

namespace mlx::core {

/**
 * Returns which axis of a batched array is ``axis`` of one of its elements.
 * ``mapped_axis`` is the axis of the batch; -1 if there is none.
 */
inline int axis_under_vmap(int axis, int mapped_axis) {
  return axis + (mapped_axis >= 0 && mapped_axis <= axis);
}

} // namespace mlx::core
