// Copyright © 2026 the mlx-topk authors. MIT licence.

// Checks of arguments, and whether stock MLX does the work of an op.

#pragma once

#include <span>

#include "mlx/array.h"
#include "mlx/stream.h"
#include "overlay/sort_direction.h"

namespace mlx::core {

/**
 * Throws std::invalid_argument, naming ``op``, if the axis has no elements.
 * ``axis`` is not negative.
 */
void check_axis_has_elements(const char* op, int axis, const Shape& shape);

/**
 * Returns whether stock MLX's ops are used on ``s``. They are used while a
 * portable graph is built, and on a GPU. An op for which this library has GPU
 * kernels looks for a kernel first.
 */
bool prefers_stock(const Stream& s);

/**
 * Returns whether stock MLX partitions ``a`` on ``s``. ``axis`` is not
 * negative.
 */
bool partition_is_stock(
    const array& a,
    std::span<const int> kths,
    int axis,
    SortDirection direction,
    const Stream& s);

} // namespace mlx::core
