// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the CPU kernels of Route are asked to do, and which instruction sets
// they exist for. A kernel is called with a job and a range [first, last) of
// its rows.

#pragma once

#include <cstdint>
#include <optional>

#include "mlx/backend/common/row_plan.h"
#include "mlx/backend/common/topk_plan.h"
#include "mlx/dtype.h"
#include "overlay/route_settings.h"

namespace mlx::core::cpu {

/** Chooses experts for each row of logits, and weighs them. */
struct RouteJob {
  const RouteSettings* settings;
  const RowPlan* rows;
  // The type of the logits and of the weights.
  Dtype dtype;
  const void* logits;
  // Null if there is no bias.
  const float* bias;
  int64_t bias_stride;
  // The outputs are row-contiguous.
  void* weights;
  uint32_t* indices;
  // Null if no scores are wanted.
  float* scores;
};

/** An input, and where its rows are. */
struct RowsOf {
  const void* data;
  RowPlan rows;
};

/** Computes the cotangent of each row of logits: see RouteGradient. */
struct RouteGradientJob {
  const RouteSettings* settings;
  // The type of the logits, of the cotangents of the weights and of the result.
  Dtype dtype;
  RowsOf logits;
  RowsOf indices;
  RowsOf scores;
  RowsOf of_weights;
  std::optional<RowsOf> of_scores;
  // Row-contiguous.
  void* out;
};

/** The kernels compiled for one instruction set. */
struct RouteKernels {
  const char* name;
  void (*route)(const RouteJob&, int64_t first, int64_t last);
  void (*gradient)(const RouteGradientJob&, int64_t first, int64_t last);
};

/**
 * Returns the plan by which the selection kernels choose k of ``size`` elements
 * of each row, for rows that are ``row_stride`` elements apart.
 */
TopKPlan plan_choice(int rows, int size, int64_t row_stride, int k);

/**
 * Returns the kernels for the instruction set of the selection kernels in use,
 * or for the baseline if the processor lacks an instruction that they need.
 */
const RouteKernels& route_kernels();

} // namespace mlx::core::cpu
