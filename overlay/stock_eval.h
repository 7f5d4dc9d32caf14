// Copyright © 2026 the mlx-topk authors. MIT licence.

// Evaluates a primitive of ours by stock MLX's primitives, at once, if its
// kernel turns out not to be usable when it is evaluated.

#pragma once

#include <vector>

#include "mlx/array.h"

namespace mlx::core {

class StableSort;
class TopK;

void eval_by_stock(
    TopK& topk,
    const std::vector<array>& inputs,
    std::vector<array>& outputs);

void eval_by_stock(
    StableSort& sort,
    const std::vector<array>& inputs,
    array& out);

} // namespace mlx::core
