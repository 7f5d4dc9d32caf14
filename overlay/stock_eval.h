// Copyright © 2026 the mlx-topk authors. MIT licence.

// Evaluates a primitive of this library by stock MLX's primitives. This happens
// inside the evaluation of the primitive, if no kernel can be used for it.

#pragma once

#include <vector>

#include "mlx/array.h"

namespace mlx::core {

class LexSort;
class Route;
class RouteGradient;
class SortedSearch;
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

void eval_by_stock(
    SortedSearch& search,
    const std::vector<array>& inputs,
    array& out);

/** On the CPU, the argsorts of the keys are this library's. */
void eval_by_stock(LexSort& sort, const std::vector<array>& inputs, array& out);

void eval_by_stock(
    Route& route,
    const std::vector<array>& inputs,
    std::vector<array>& outputs);

void eval_by_stock(
    RouteGradient& gradient,
    const std::vector<array>& inputs,
    array& out);

} // namespace mlx::core
