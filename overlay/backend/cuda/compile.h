// Copyright © 2026 the mlx-topk authors. MIT licence.

// Compiles the Metal kernels for an NVIDIA GPU, from the same source that Metal
// compiles. metal_words.cuh defines the parts of the Metal language that the
// kernels use.

#pragma once

#include <string>

#include "mlx/backend/gpu/launch.h"

namespace mlx::core::cuda {

/** Returns the source of the one kernel that ``launch`` runs. */
std::string source_of(const gpu::Launch& launch);

/**
 * Compiles ``source`` to machine code for ``architecture``, for example
 * "sm_90". If this fails, throws std::runtime_error with the compiler's
 * messages. If it succeeds, writes the messages to ``warnings``, unless
 * ``warnings`` is null.
 */
std::string compile(
    const std::string& source,
    const std::string& name,
    const std::string& architecture,
    std::string* warnings = nullptr);

/** Returns the version of the compiler, for example "13.0". */
std::string compiler_version();

} // namespace mlx::core::cuda
