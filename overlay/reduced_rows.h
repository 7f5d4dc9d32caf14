// Copyright © 2026 the mlx-topk authors. MIT licence.

// Puts several axes of an array together, so that an op has to reduce only one.

#pragma once

#include <optional>
#include <vector>

#include "mlx/array.h"
#include "mlx/stream.h"

namespace mlx::core {

/** An array of which one axis is to be reduced. */
struct Rows {
  array elements;
  int axis;
  // The axes of the original array that were put together, in ascending order.
  std::vector<int> reduced;
};

/**
 * Returns the axes, counted from 0 and in ascending order, or all axes if none
 * are given. Throws std::out_of_range for an axis that does not exist, and
 * std::invalid_argument for one that is given twice. ``op`` is the name in the
 * message.
 */
std::vector<int> checked_axes(
    const char* op,
    const array& a,
    const std::optional<std::vector<int>>& axes);

/** Puts together axes that checked_axes() returned. */
Rows rows_along(const array& a, std::vector<int> axes, const Stream& s);

/**
 * Brings a result into the shape that it has to have. ``result`` has the shape
 * of ``rows.elements``, but for the number of elements of ``shape`` along the
 * reduced axis. That axis is moved to the front, and gets the shape ``shape``.
 * With ``keepdims``, axes of size 1 are put where axes were reduced.
 */
array shaped_result(
    array result,
    const Rows& rows,
    const Shape& shape,
    bool keepdims,
    const Stream& s);

} // namespace mlx::core
