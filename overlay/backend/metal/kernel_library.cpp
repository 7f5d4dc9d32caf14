// Copyright © 2026 the mlx-topk authors. MIT licence.

// Compiles kernels when they are first needed, from the source in kernel_text.
// This file is compiled and linked for macOS. Nobody has run it yet.

#include "mlx/backend/metal/kernel_library.h"

#include <sstream>
#include <stdexcept>

#include "overlay/backend/gpu/kernel_record.h"
#include "overlay/backend/gpu/kernel_source.h"

namespace mlx::core::metal {

namespace {

void check_threads(
    const MTL::ComputePipelineState* kernel,
    const gpu::Launch& launch) {
  auto allowed = kernel->maxTotalThreadsPerThreadgroup();
  if (allowed < launch.threads) {
    std::ostringstream msg;
    msg << "[topk] " << launch.kernel << " needs " << launch.threads
        << " threads per threadgroup; this GPU allows " << allowed << ".";
    throw std::runtime_error(msg.str());
  }
}

} // namespace

bool has_kernels(Device& device, const gpu::LaunchPlan& plan) {
  return gpu::prepare(plan, [&](const gpu::Launch& launch) {
    check_threads(topk_kernel(device, launch), launch);
  });
}

MTL::ComputePipelineState* topk_kernel(
    Device& device,
    const gpu::Launch& launch) {
  auto library = device.get_library(
      "mlx_topk_" + launch.kernel, [&] { return gpu::source_of(launch); });
  return device.get_kernel(launch.kernel, library);
}

} // namespace mlx::core::metal
