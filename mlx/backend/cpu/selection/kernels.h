// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the CPU kernels do, apart from the instruction set that they do it with.
// A job is the work on all rows; a kernel does the rows [first, last) of it.

#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlx/backend/common/topk_plan.h"
#include "mlx/dtype.h"
#include "mlx/topk.h"

namespace mlx::core::cpu {

struct TopKJob {
  const TopKPlan* plan;
  TopKMode mode;
  bool sorted;
  int64_t threads_of_a_row;
  Dtype dtype;
  const void* in;
  void* values;
  uint32_t* indices;
};

enum class SortOutput { values, indices };
using OrderResult = SortOutput;

struct OrderJob {
  const RowPlan* rows;
  std::optional<size_t> kth;
  OrderResult result;
  Dtype dtype;
  const void* in;
  void* out;
};

struct ArgBestJob {
  const RowPlan* rows;
  TopKMode mode;
  Dtype dtype;
  const void* in;
  uint32_t* out;
};

struct SelectionKernels {
  const char* name;
  void (*topk)(const TopKJob&, int64_t first, int64_t last);
  void (*order)(const OrderJob&, int64_t first, int64_t last);
  void (*arg_best)(const ArgBestJob&, int64_t first, int64_t last);
};

/** Those that this machine can run, the fastest first. */
MLX_API const std::vector<const SelectionKernels*>&
available_selection_kernels();

/** Returns the kernels in use: at first the fastest. Can be set. */
MLX_API std::atomic<const SelectionKernels*>& current_selection_kernels();

inline const SelectionKernels& selection_kernels() {
  return *current_selection_kernels();
}

} // namespace mlx::core::cpu
