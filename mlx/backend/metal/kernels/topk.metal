// Copyright © 2026 the mlx-topk authors. MIT licence.

// Instantiates every kernel of topk.h that the host may ask for.

#include "mlx/backend/metal/kernels/topk.h"

// clang-format off
#define instantiate_register(dtype, n)                  \
  instantiate_kernel("topk_register_" #dtype "_" #n,    \
                     topk_register, order_##dtype, n)
#define instantiate_topk(dtype)                                             \
  instantiate_register(dtype, 1) instantiate_register(dtype, 2)             \
  instantiate_register(dtype, 4) instantiate_register(dtype, 8)             \
  instantiate_register(dtype, 16) instantiate_register(dtype, 32)           \
  instantiate_kernel("topk_resident_" #dtype, topk_resident, order_##dtype) \
  instantiate_kernel("topk_split_" #dtype, topk_split, order_##dtype)       \
  instantiate_kernel("topk_merge_" #dtype, topk_merge, order_##dtype)

instantiate_topk(uint8)
instantiate_topk(uint16)
instantiate_topk(uint32)
instantiate_topk(uint64)
instantiate_topk(int8)
instantiate_topk(int16)
instantiate_topk(int32)
instantiate_topk(int64)
instantiate_topk(float16)
instantiate_topk(bfloat16)
instantiate_topk(float32)
    // clang-format on
