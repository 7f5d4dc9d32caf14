// Copyright © 2026 the mlx-topk authors. MIT licence.

// What each kind of GPU implements for the shared code in this folder.

#pragma once

#include <optional>
#include <vector>

#include "mlx/array.h"
#include "mlx/backend/gpu/launch.h"
#include "mlx/stream.h"

namespace mlx::core::gpu {

/** Whether the library that this runs in has kernels for its GPU. */
bool kernels_available();

/** An array of a plan that is neither the input nor values or indices. */
struct MoreArray {
  KernelArray name;
  array a;
  bool is_output;
};
using MoreArrays = std::vector<MoreArray>;

/**
 * Allocates the outputs and records the launches of ``plan`` on ``s``. An
 * output that the plan does not write is null. Returns false if there is no
 * plan or a kernel cannot be used. Then nothing was recorded.
 */
bool run(
    const std::optional<LaunchPlan>& plan,
    const array& in,
    array* values,
    array* indices,
    const Stream& s,
    const MoreArrays& more = {});

/** Whether the address of the first element is a multiple of 16 bytes. */
inline bool is_aligned(const array& in) {
  return in.offset() % 16 == 0; // Buffers begin at such addresses.
}

/** Keeps ``arrays`` until the GPU has done what is recorded on ``s``. */
void add_temporaries(const std::vector<array>& arrays, const Stream& s);

} // namespace mlx::core::gpu
