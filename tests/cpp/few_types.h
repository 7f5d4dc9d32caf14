// Copyright © 2026 the mlx-topk authors. MIT licence.

// Makes the CPU's kernels be compiled for two types of elements instead of 14,
// which takes a quarter of the time. CMake's option MLX_TOPK_FEW_TYPES includes
// this before the sources of the kernels. It is for tests that use no other
// types, or that compile a library without running it. For another type the
// kernels throw an error.

#pragma once

#include <stdexcept>

#include "mlx/dtype_utils.h"

namespace mlx::core {

template <typename F>
void dispatch_few_types(Dtype type, F&& f) {
  switch (type) {
    case uint8:
      f(type_identity<uint8_t>{});
      break;
    case float32:
      f(type_identity<float>{});
      break;
    default:
      throw std::invalid_argument(
          "This build has no kernels for this type: it is for tests only.");
  }
}

} // namespace mlx::core

#define dispatch_all_types dispatch_few_types
