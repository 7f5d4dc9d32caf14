// Copyright © 2026 the mlx-topk authors. MIT licence.

// Changes the library for the tests: replaces its table of CPU kernels. The new
// kernels force an algorithm, or run the Metal kernels in the emulator of
// metal/emulator. They leave everything else to the library's own kernels.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/gpu/launch_tuning.h"
#include "overlay/backend/cpu/route/kernels.h"

namespace hooks {

namespace mx = mlx::core;

/**
 * Uses this algorithm wherever it can be used. If `algorithm` is empty, the
 * library chooses again.
 */
void force_algorithm(std::optional<mx::TopKAlgorithm> algorithm);

/**
 * Uses the kernels of this instruction set. Throws std::invalid_argument if the
 * machine has none of this name.
 */
void use_kernels(const std::string& name);

std::vector<std::string> kernels();

/** Returns the library's kernels, as chosen by use_kernels. */
const mx::cpu::SelectionKernels& library_kernels();

// ---- the emulator -----------------------------------------------------------

/** How much work the emulated kernels have done. */
struct EmulatedCounts {
  uint64_t bytes_read;
  uint64_t bytes_written;
  uint64_t barriers;
  uint64_t collectives;
  uint64_t threadgroups;
  uint64_t launches;
};

/**
 * From now on selects with the Metal kernels in the library at ``path``, which
 * the emulator has built. If ``path`` is empty, selects with the CPU kernels
 * again. A ``seed`` other than 0 runs the threads in a random order. Kernels
 * whose names begin with ``missing`` fail to compile; if ``missing`` is empty,
 * none does. Throws std::runtime_error if the library cannot be loaded.
 */
void emulate_metal(
    const std::string& path,
    uint64_t seed,
    const std::string& missing);
bool emulates_metal();

/** Uses this Metal kernel wherever it can be used. */
void force_metal_kernel(std::optional<mx::gpu::TopKKernel> kernel);

/**
 * Returns the launch tuning of the process, changed to use the forced kernel if
 * one is forced.
 */
mx::gpu::LaunchTuning metal_tuning();

/** Return what was counted and what went wrong since the last call. */
EmulatedCounts take_emulated_counts();
std::string take_emulated_errors();

/** Does the job in the emulator. Returns false if no kernel can do it. */
bool emulate(const mx::cpu::TopKJob& job);
bool emulate(const mx::cpu::SortJob& job);
bool emulate(const mx::cpu::RouteJob& job);
bool emulate(const mx::cpu::RouteGradientJob& job);

} // namespace hooks
