// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tells transforms how to treat indices. TopK is part of two libraries: MLX
// itself, and an extension of MLX. Each of them defines these functions in its
// own way.

#pragma once

#include "mlx/api.h"
#include "mlx/array.h"
#include "mlx/utils.h"

namespace mlx::core {

/**
 * Returns an array equal to ``indices`` that transforms treat as the index
 * gradient mode says. Use it for indices that a primitive returns beside other
 * outputs. Errors call the op ``op``.
 */
MLX_API array
index_output(const array& indices, const char* op, StreamOrDevice s = {});

/** Returns ``a`` as a constant: no gradient goes through it. */
MLX_API array constant(const array& a, StreamOrDevice s = {});

} // namespace mlx::core
