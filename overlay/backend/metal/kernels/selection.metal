// Copyright © 2026 the mlx-topk authors. MIT licence.

// All kernels of the wheel: those of topk.metal, topk_rest, topk_route and
// topk_route_gradient.

#include "mlx/backend/metal/kernels/topk.metal"
#include "overlay/backend/metal/kernels/rest.h"
#include "overlay/backend/metal/kernels/route.h"
#include "overlay/backend/metal/kernels/route_gradient.h"

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

// The shapes of route_plan.cpp.
#define instantiate_route_shape(dtype, n, width, groups)                    \
  instantiate_kernel("topk_route_" #dtype "_" #n "_" #width "_" #groups,    \
                     topk_route, order_##dtype, n, width, groups)
#define instantiate_route(dtype)                          \
  instantiate_route_shape(dtype, 1, 8, 1)                 \
  instantiate_route_shape(dtype, 4, 8, 1)                 \
  instantiate_route_shape(dtype, 8, 8, 1)                 \
  instantiate_route_shape(dtype, 8, 16, 1)                \
  instantiate_route_shape(dtype, 10, 16, 1)               \
  instantiate_route_shape(dtype, 16, 16, 1)               \
  instantiate_route_shape(dtype, 1, 32, 1)                \
  instantiate_route_shape(dtype, 4, 32, 2)                \
  instantiate_route_shape(dtype, 8, 32, 2)                \
  instantiate_route_shape(dtype, 16, 32, 2)               \
  instantiate_route_shape(dtype, 32, 32, 2)               \
  instantiate_kernel("topk_route_gradient_" #dtype,       \
                     topk_route_gradient, order_##dtype)

instantiate_route(float16)
instantiate_route(bfloat16)
instantiate_route(float32)
    // clang-format on
