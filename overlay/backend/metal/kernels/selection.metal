// Copyright © 2026 the mlx-topk authors. MIT licence.

// All kernels of the wheel: those of topk.metal and topk_rest.

#include "mlx/backend/metal/kernels/topk.metal"
#include "overlay/backend/metal/kernels/rest.h"

// clang-format off
#define instantiate_rest(dtype) \
  instantiate_kernel("topk_rest_" #dtype, topk_rest, order_##dtype)

instantiate_rest(uint8)
instantiate_rest(uint16)
instantiate_rest(uint32)
instantiate_rest(uint64)
instantiate_rest(int8)
instantiate_rest(int16)
instantiate_rest(int32)
instantiate_rest(int64)
instantiate_rest(float16)
instantiate_rest(bfloat16)
instantiate_rest(float32)
    // clang-format on
