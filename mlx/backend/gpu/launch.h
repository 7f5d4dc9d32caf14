// Copyright © 2026 the mlx-topk authors. MIT licence.

// Describes kernel launches as data, which Metal, CUDA and tests can run.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace mlx::core::gpu {

#include "mlx/backend/metal/kernels/topk_arguments.h"

/** The arrays that a kernel's buffers are bound to. */
enum class KernelArray {
  input,
  values,
  indices,
  found_keys,
  found_positions,
  best_positions,
  bias,
  scores,
  chosen,
  of_weights,
  of_scores
};

struct KernelBuffer {
  int index;
  KernelArray array;
  bool written;
};

/** One launch of a kernel: everything but the addresses. */
struct Launch {
  std::string kernel;
  // The template and its arguments that make this kernel, as in
  // instantiate_kernel(name, ...) of mlx/backend/metal/kernels/topk.h.
  std::string instantiation;
  // Bound as bytes to buffer `arguments_index`.
  TopKArguments arguments;
  // 3 numbers per axis of the rows: its size, its stride in the input and its
  // stride in the output. Bound as bytes to buffer `axes_index`.
  std::vector<int64_t> axes;
  // More arguments, which some kernels have. Bound as bytes to buffer
  // `settings_index` unless it is empty.
  std::vector<std::byte> settings;
  std::vector<KernelBuffer> buffers;
  // The size of each block of threadgroup memory; 0 if there is none.
  std::array<int64_t, 2> threadgroup_bytes;
  // Threadgroups in the grid, and threads of each.
  std::array<uint32_t, 3> groups;
  uint32_t threads;

  static constexpr int arguments_index = 3;
  static constexpr int axes_index = 4;
  static constexpr int settings_index = 7;
};

/** Memory that the launches of a plan share. */
struct Scratch {
  KernelArray array;
  int64_t bytes;
};

/** Launches in the order in which they have to run. */
struct LaunchPlan {
  std::vector<Launch> launches;
  std::vector<Scratch> scratch;
};

} // namespace mlx::core::gpu
