// Copyright © 2026 the mlx-topk authors. MIT licence.

// How indices look to transforms. Each library that TopK is part of defines
// these functions in its own way.

#pragma once

#include "mlx/api.h"
#include "mlx/array.h"
#include "mlx/utils.h"

namespace mlx::core {

/**
 * Returns ``indices`` as transforms shall see them. For indices that are one of
 * several outputs of a primitive. ``op`` is the name in errors.
 */
MLX_API array
index_output(const array& indices, const char* op, StreamOrDevice s = {});

/** Returns ``a`` as a constant: no gradient goes through it. */
MLX_API array constant(const array& a, StreamOrDevice s = {});

} // namespace mlx::core
