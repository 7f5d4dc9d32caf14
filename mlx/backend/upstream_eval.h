// Copyright © 2026 the mlx-topk authors. MIT licence.

// For a primitive of ours that finds no kernel when it is evaluated: the same
// selection in upstream's primitives, evaluated on the spot.

#pragma once

#include <vector>

#include "mlx/selection_primitives.h"

namespace mlx::core {

void eval_by_upstream(
    TopK& topk,
    const std::vector<array>& inputs,
    std::vector<array>& outputs);

void eval_by_upstream(
    RowOrder& order,
    const std::vector<array>& inputs,
    array& out);

} // namespace mlx::core
