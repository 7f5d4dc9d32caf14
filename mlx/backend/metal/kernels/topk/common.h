// Copyright © 2026 the mlx-topk authors. MIT licence.

// What all parts of the kernels use.

#pragma once

#include <metal_simdgroup>
#include <metal_stdlib>

#include "mlx/backend/metal/kernels/topk_arguments.h"

using namespace metal;

#define TOPK_UNROLL _Pragma("clang loop unroll(full)")

// clang-format off
#ifndef instantiate_kernel
#define instantiate_kernel(name, function, ...) \
  template [[host_name(name)]] [[kernel]]       \
  decltype(function<__VA_ARGS__>) function<__VA_ARGS__>;
#endif
// clang-format on

enum : uint {
  simd_size = 32,
  group_threads = 256,
  group_simds = group_threads / simd_size,
  // How many neighbouring elements a thread reads at a time.
  thread_elements = 8,
  kept_elements = 4,
  // Up to this many candidates are ordered by counting, for each of them, how
  // many are better.
  ranked_candidates = 512,
};
