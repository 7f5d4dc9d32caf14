// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the CPU kernels are asked to do, and which instruction sets they exist
// for. A job describes the work on all rows of an array; a kernel is called
// with a job and a range [first, last) of its rows, so that threads can share
// a job.

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

/** Writes the k best elements of each row: their values and their indices. */
struct TopKJob {
  const TopKPlan* plan;
  TopKMode mode;
  // Best first. Otherwise the worst is first and the best is last.
  bool sorted;
  int64_t threads_per_row;
  Dtype dtype;
  const void* in;
  void* values;
  // Null if no indices are wanted.
  uint32_t* indices;
};

enum class SortOutput { values, indices };

/**
 * Writes each row in stable order, the best element first. With ``kth``,
 * partitions it instead: place ``kth`` holds what a stable sort has there, and
 * before it, in unspecified order, are the elements that such a sort has before
 * it. If ``kth`` and the elements on one side of it are at most
 * TopKTuning::ordered_k together, the smaller such part of the row is in order.
 */
struct SortJob {
  const RowPlan* rows;
  // Ascending order is that of ``smallest``, descending that of ``largest``.
  TopKMode mode;
  int64_t threads_per_row;
  std::optional<size_t> kth;
  SortOutput output;
  Dtype dtype;
  const void* in;
  // Elements of ``dtype``, or uint32 indices.
  void* out;
};

/**
 * Writes the index of the first best element of each row. NaN is best in both
 * modes: this is argmax and argmin.
 */
struct ArgReduceJob {
  const RowPlan* rows;
  TopKMode mode;
  Dtype dtype;
  const void* in;
  uint32_t* out;
};

/**
 * Writes the elements that a stable sort of each row has at some places, and
 * their indices. The sort has the best element first; NaN counts as greatest.
 */
struct OrderStatisticsJob {
  const RowPlan* rows;
  TopKMode mode;
  // Whether all places of a row with a NaN get its first NaN.
  bool nan_wins;
  int64_t threads_per_row;
  // How many places there are for each row.
  size_t places_per_row;
  // Whether each row has its own places, at the offsets of its outputs.
  // Otherwise all rows have the same ones. A place beyond the row is taken for
  // the last one.
  bool own_places;
  const uint32_t* places;
  Dtype dtype;
  const void* in;
  void* values;
  uint32_t* indices;
};

/** The kernels compiled for one instruction set. */
struct SelectionKernels {
  const char* name;
  void (*topk)(const TopKJob&, int64_t first, int64_t last);
  void (*sort)(const SortJob&, int64_t first, int64_t last);
  void (*arg_reduce)(const ArgReduceJob&, int64_t first, int64_t last);
  void (*order_statistics)(
      const OrderStatisticsJob&,
      int64_t first,
      int64_t last);
};

/**
 * Returns the kernels that this machine can run, the fastest first. If the
 * environment variable MLX_TOPK_CPU names one, that one comes first. Throws
 * std::invalid_argument if it names none.
 */
MLX_API const std::vector<const SelectionKernels*>&
available_selection_kernels();

/**
 * Returns the kernels in use: at first the first available ones. A caller may
 * set them.
 */
MLX_API std::atomic<const SelectionKernels*>& current_selection_kernels();

inline const SelectionKernels& selection_kernels() {
  return *current_selection_kernels();
}

} // namespace mlx::core::cpu
