// Copyright © 2026 the mlx-topk authors. MIT licence.

// Kernels in the memory of a GPU, ready to be launched.

#pragma once

#include "mlx/backend/gpu/launch.h"

struct CUfunc_st;

namespace mlx::core::cuda {

/**
 * Returns the kernel that ``launch`` runs, on the GPU with the number
 * ``device``. The first call takes it from the cache on disk or compiles it.
 * Throws std::runtime_error if it cannot be compiled or loaded.
 */
CUfunc_st* load_kernel(const gpu::Launch& launch, int device);

/** Returns how many bytes of dynamic shared memory ``launch`` needs. */
uint32_t shared_bytes(const gpu::Launch& launch);

} // namespace mlx::core::cuda
