// Copyright © 2026 the mlx-topk authors. MIT licence.

// Remembers which kernels could not be made ready, so that stock MLX does their
// work. Also counts the kernels that were launched.

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
 * Calls make_ready(launch) for each launch of ``plan``, before the launches are
 * recorded. Returns false if a kernel is broken. A kernel is broken once
 * make_ready has thrown an exception for it. The first broken kernel of the
 * process is reported on stderr.
 */
bool prepare(
    const LaunchPlan& plan,
    const std::function<void(const Launch&)>& make_ready);

/** What has happened so far in this process. */
struct KernelReport {
  uint64_t launches;
  // The names of broken kernels, each with the reason.
  std::vector<std::pair<std::string, std::string>> broken;
};

MLX_API KernelReport kernel_report();

/** Forgets which kernels are broken, so that they are tried again. */
void forget_broken_kernels();

} // namespace mlx::core::gpu
