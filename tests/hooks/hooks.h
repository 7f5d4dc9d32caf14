// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the tests change in the library: the table of CPU kernels. The table put
// there forces an algorithm, or runs the Metal kernels in the emulator of
// metal/emulator, and leaves the rest to the library's own kernels.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/gpu/launch_tuning.h"

namespace hooks {

namespace mx = mlx::core;

/** Uses this algorithm wherever it can be used. Empty: the library's choice. */
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

/** What a GPU would have paid. */
struct EmulatedCounts {
  uint64_t bytes_read;
  uint64_t bytes_written;
  uint64_t barriers;
  uint64_t collectives;
  uint64_t threadgroups;
  uint64_t launches;
};

/**
 * Selects with the Metal kernels in the library at ``path``, which the emulator
 * has built; with an empty path no more. A seed other than 0 orders threads at
 * random. Kernels whose names begin with ``missing`` do not compile. Throws if
 * the library cannot be loaded.
 */
void emulate_metal(
    const std::string& path,
    uint64_t seed,
    const std::string& missing);
bool emulates_metal();

/** Uses this Metal kernel wherever it can be used. */
void force_metal_kernel(std::optional<mx::gpu::TopKKernel> kernel);

/** Returns the tuning of the process, with the kernel that is forced. */
mx::gpu::LaunchTuning metal_tuning();

/** Return what was counted and what went wrong since the last call. */
EmulatedCounts take_emulated_counts();
std::string take_emulated_errors();

/** Does the job on the emulator. Returns false if no kernel can. */
bool emulate(const mx::cpu::TopKJob& job);
bool emulate(const mx::cpu::OrderJob& job);

} // namespace hooks
