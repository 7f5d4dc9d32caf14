// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares the functions of MLX's CUDA back end that this library calls. The
// libmlx of mlx-cuda-12 and mlx-cuda-13 exports them, and that of mlx-cpu does
// not. They are weak: where libmlx has no CUDA their addresses are null, so one
// library serves all back ends. MLX's own header is not included because it
// needs CUDA's headers and fmt's, which no wheel of MLX brings.

#pragma once

#include <cstdint>
#include <functional>

#include "mlx/array.h"
#include "mlx/stream.h"

// These two have CUDA's names, because the names are part of the symbols.
struct CUfunc_st;
struct dim3 {
  unsigned int x;
  unsigned int y;
  unsigned int z;
};

#define MLX_TOPK_WEAK __attribute__((visibility("default"), weak))

namespace mlx::core::cu {

/** Records what a stream's GPU has to do, as a CUDA graph. */
class CommandEncoder {
 public:
  MLX_TOPK_WEAK void set_input_array(const array& a);
  MLX_TOPK_WEAK void set_output_array(const array& a);
  MLX_TOPK_WEAK void add_kernel_node_raw(
      CUfunc_st* kernel,
      dim3 grid,
      dim3 block,
      dim3 cluster,
      uint32_t shared_bytes,
      void** parameters);
  MLX_TOPK_WEAK void add_completed_handler(std::function<void()> task);
};

MLX_TOPK_WEAK CommandEncoder& get_command_encoder(Stream s);

} // namespace mlx::core::cu
