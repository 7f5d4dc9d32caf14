// Copyright © 2026 the mlx-topk authors. MIT licence.

// Instantiates every kernel of topk.h that the host may ask for.

#include "mlx/backend/metal/kernels/topk.h"

// clang-format off
#define instantiate_lanes(dtype, n, width, groups, dense)                 \
  instantiate_kernel("topk_lanes_" #dtype "_" #n "_" #width "_" #groups   \
                     "_" #dense,                                          \
                     topk_lanes, order_##dtype, n, width, groups, dense)
// The shapes of plan_short_rows.cpp.
#define instantiate_dense_lanes(dtype)                    \
  instantiate_lanes(dtype, 1, 8, 1, true)                 \
  instantiate_lanes(dtype, 4, 8, 1, true)                 \
  instantiate_lanes(dtype, 8, 8, 1, true)                 \
  instantiate_lanes(dtype, 16, 8, 1, true)                \
  instantiate_lanes(dtype, 4, 16, 1, true)                \
  instantiate_lanes(dtype, 8, 16, 1, true)                \
  instantiate_lanes(dtype, 10, 16, 1, true)               \
  instantiate_lanes(dtype, 16, 16, 1, true)               \
  instantiate_lanes(dtype, 1, 32, 1, true)                \
  instantiate_lanes(dtype, 4, 32, 2, true)                \
  instantiate_lanes(dtype, 8, 32, 2, true)                \
  instantiate_lanes(dtype, 12, 32, 2, true)               \
  instantiate_lanes(dtype, 16, 32, 2, true)               \
  instantiate_lanes(dtype, 28, 32, 2, true)               \
  instantiate_lanes(dtype, 32, 32, 2, true)
#define instantiate_strided_lanes(dtype)                  \
  instantiate_lanes(dtype, 4, 8, 1, false)                \
  instantiate_lanes(dtype, 16, 8, 1, false)               \
  instantiate_lanes(dtype, 8, 16, 1, false)               \
  instantiate_lanes(dtype, 16, 16, 1, false)              \
  instantiate_lanes(dtype, 1, 32, 1, false)               \
  instantiate_lanes(dtype, 8, 32, 2, false)               \
  instantiate_lanes(dtype, 32, 32, 2, false)
// The kernels of plan_bounds.cpp.
#define instantiate_bound(dtype, n, groups, dense, loops)                 \
  instantiate_kernel("topk_bound_" #dtype "_" #n "_" #groups "_" #dense   \
                     "_" #loops,                                          \
                     topk_bound, order_##dtype, n, groups, dense, loops)
#define instantiate_split(dtype, n, groups, dense, loops)                 \
  instantiate_kernel("topk_bound_split_" #dtype "_" #n "_" #groups "_"    \
                     #dense "_" #loops,                                   \
                     topk_bound_split, order_##dtype, n, groups, dense, loops)
#define instantiate_merge(dtype, count)                                   \
  instantiate_kernel("topk_bound_merge_" #dtype "_" #count,               \
                     topk_bound_merge, order_##dtype, count)
#define instantiate_bounds(dtype)                         \
  instantiate_bound(dtype, 16, 1, true, false)            \
  instantiate_bound(dtype, 32, 1, true, false)            \
  instantiate_bound(dtype, 16, 4, true, false)            \
  instantiate_bound(dtype, 32, 4, true, false)            \
  instantiate_bound(dtype, 16, 1, false, false)           \
  instantiate_bound(dtype, 32, 1, false, false)           \
  instantiate_bound(dtype, 16, 4, false, false)           \
  instantiate_bound(dtype, 32, 4, false, false)
#define instantiate_splits(dtype)                         \
  instantiate_split(dtype, 32, 1, true, false)            \
  instantiate_split(dtype, 16, 1, true, true)             \
  instantiate_split(dtype, 32, 4, true, false)            \
  instantiate_split(dtype, 16, 4, true, true)             \
  instantiate_split(dtype, 32, 1, false, false)           \
  instantiate_split(dtype, 16, 1, false, true)            \
  instantiate_split(dtype, 32, 4, false, false)           \
  instantiate_split(dtype, 16, 4, false, true)
// The kernels for k above 512. Keys of 64 bits would need too much threadgroup
// memory.
#define instantiate_narrow_keys(dtype)                                      \
  instantiate_split(dtype, 32, 16, true, false)                             \
  instantiate_split(dtype, 16, 16, true, true)                              \
  instantiate_split(dtype, 32, 16, false, false)                            \
  instantiate_split(dtype, 16, 16, false, true)
#define instantiate_wide_topk(dtype)                                        \
  instantiate_dense_lanes(dtype) instantiate_strided_lanes(dtype)           \
  instantiate_bounds(dtype) instantiate_splits(dtype)                       \
  instantiate_merge(dtype, 4) instantiate_merge(dtype, 9)                   \
  instantiate_merge(dtype, 14)                                              \
  instantiate_kernel("topk_resident_" #dtype, topk_resident, order_##dtype) \
  instantiate_kernel("topk_split_" #dtype, topk_split, order_##dtype)       \
  instantiate_kernel("topk_merge_" #dtype, topk_merge, order_##dtype)
#define instantiate_topk(dtype)                                             \
  instantiate_wide_topk(dtype) instantiate_narrow_keys(dtype)

instantiate_topk(uint8)
instantiate_topk(uint16)
instantiate_topk(uint32)
instantiate_wide_topk(uint64)
instantiate_topk(int8)
instantiate_topk(int16)
instantiate_topk(int32)
instantiate_wide_topk(int64)
instantiate_topk(float16)
instantiate_topk(bfloat16)
instantiate_topk(float32)
    // clang-format on
