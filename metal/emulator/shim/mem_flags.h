// Copyright © 2026 the mlx-topk authors. MIT licence.

// Metal's mem_flags, for both compilers that read Metal source here: g++
// (shim/) and clang's OpenCL (frontend/). The header that includes this one
// defines METAL_FUNC.

#pragma once

namespace metal {

/** The memory that a barrier orders. */
enum class mem_flags {
  mem_none = 0,
  mem_device = 1,
  mem_threadgroup = 2,
  mem_texture = 4
};
constexpr METAL_FUNC mem_flags operator|(mem_flags a, mem_flags b) {
  return (mem_flags)((int)a | (int)b);
}

} // namespace metal
