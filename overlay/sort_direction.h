// Copyright © 2026 the mlx-topk authors. MIT licence.

// The direction of a sort, for the ops and their primitive.

#pragma once

namespace mlx::core {

/**
 * Whether a sort begins with the least or with the greatest element. It is
 * stable in both: among equal elements the lower index comes first. NaN is the
 * greatest element.
 */
enum class SortDirection { ascending, descending };

} // namespace mlx::core
