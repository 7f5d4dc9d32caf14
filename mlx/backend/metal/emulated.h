// Copyright © 2026 the mlx-topk authors. MIT licence.

// For tests: selections on the CPU made by the Metal kernels, with the host
// code of Metal, in the emulator of metal/emulator.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/metal/topk_dispatch.h"

namespace mlx::core::metal {

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
 * From now on, with this library that the emulator made of metal/topk.metal;
 * with an empty path no more. A seed other than 0 orders the threads at random.
 * Kernels whose names begin with `missing` do not compile. Throws if the
 * library cannot be loaded.
 */
MLX_API void emulate_metal(
    const std::string& path,
    uint64_t seed,
    const std::string& missing);
bool emulates_metal();

/** Of all selections since the last call, and what the emulator found wrong. */
MLX_API EmulatedCounts take_emulated_counts();
MLX_API std::string take_emulated_errors();

/** Has it run, and returns true. False: it is upstream's turn. */
bool emulate(
    const std::optional<Selection>& selection,
    const array& in,
    array* values,
    array* indices,
    cpu::CommandEncoder& encoder);

} // namespace mlx::core::metal
