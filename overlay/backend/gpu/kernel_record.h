// Copyright © 2026 the mlx-topk authors. MIT licence.

// Remembers which kernels could not be compiled, so that stock MLX does their
// work, and how many were launched.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mlx/api.h"
#include "mlx/backend/gpu/launch.h"

namespace mlx::core::gpu {

/**
 * Calls make_ready(launch) for the launches of ``plan``, which are about to be
 * recorded. If it throws, the kernel counts as broken from then on, the first
 * broken kernel of the process is reported on stderr, and the result is false.
 */
bool prepare(
    const LaunchPlan& plan,
    const std::function<void(const Launch&)>& make_ready);

/** What happened so far in this process. */
struct KernelReport {
  uint64_t launches;
  // The names of broken kernels, each with the reason.
  std::vector<std::pair<std::string, std::string>> broken;
};

MLX_API KernelReport kernel_report();

/** Lets broken kernels be tried again. */
void forget_broken_kernels();

} // namespace mlx::core::gpu
