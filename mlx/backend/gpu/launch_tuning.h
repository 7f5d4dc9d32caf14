// Copyright © 2026 the mlx-topk authors. MIT licence.

// Settings that decide which kernel is used for which sizes.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mlx/api.h"

namespace mlx::core::gpu {

/**
 * in_registers: one or more rows per simdgroup.
 * bound:        a threadgroup per row, which orders the elements >= a bound.
 * bound_split:  several threadgroups per row, each of which finds the elements
 *               >= a bound in its segment, and another that merges them.
 * resident:     a threadgroup per row, which streams the row.
 * split:        several threadgroups per row, each of which streams a segment,
 *               and another that merges their results.
 */
enum class TopKKernel { in_registers, bound, bound_split, resident, split };

/**
 * Sizes from which another kernel is faster. Nobody has measured them on a Mac.
 * The environment variable MLX_TOPK_GPU overrides them, for example with
 * "resident_size=4096,segment_size=8192". MLX_TOPK_GPU=0 turns the kernels off.
 */
struct LaunchTuning {
  bool enabled = true;
  // If set, this kernel is used wherever it can be. Where it cannot, another
  // kernel or none is used.
  std::optional<TopKKernel> only{};
  // The longest rows and the largest k for topk_lanes. At most 1024 and 32.
  int64_t register_size = 1024;
  int64_t register_k = 32;
  // For larger k, rows are streamed. At most 2048.
  int64_t bound_k = 2048;
  // Longer rows are split. The segments of topk_split are not shorter than
  // segment_size.
  int64_t resident_size = 8192;
  int64_t segment_size = 2048;
  // For larger k, MLX sorts. At most 2048.
  int64_t selected_k = 2048;
  // Rows up to this size that do not fit into registers are partitioned by
  // MLX's sort, which sorts a block of this size in one threadgroup.
  int64_t partition_size = 2048;
};

/**
 * Reads a tuning from text such as that of MLX_TOPK_GPU. Throws
 * std::invalid_argument if it cannot; ``variable`` is the name in the message.
 */
LaunchTuning parse_tuning(const std::string& text, const std::string& variable);

/** Returns the tuning of the process. */
MLX_API LaunchTuning launch_tuning();

/** Sets the tuning of the process. No value restores the environment's. */
MLX_API void set_launch_tuning(const std::optional<LaunchTuning>& tuning);

/** Sets parse_tuning(text). Empty text restores the environment's tuning. */
MLX_API void set_launch_tuning(const std::string& text);

} // namespace mlx::core::gpu
