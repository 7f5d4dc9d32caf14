// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k best elements of each row, values and indices together. Equal elements
// are ordered by index, NaN is greatest, and the zeros are equal.
//
//   topk_lanes        one or more rows per simdgroup, which keeps them in
//                     registers
//   topk_bound        a threadgroup per row, which orders the elements that
//                     reach a bound
//   topk_bound_split  several threadgroups per row, each of which finds the
//                     elements of a segment that reach a bound
//   topk_bound_merge  a threadgroup per row, which merges the elements that
//                     topk_bound_split found
//   topk_resident     a threadgroup per row, which reads the row once
//   topk_split        several threadgroups per row, each of which finds the k
//                     best elements of a segment
//   topk_merge        a threadgroup per row, which selects from the elements
//                     that topk_split found

#pragma once

#include "mlx/backend/metal/kernels/topk/bound.h"
#include "mlx/backend/metal/kernels/topk/bound_split.h"
#include "mlx/backend/metal/kernels/topk/candidates.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/keys.h"
#include "mlx/backend/metal/kernels/topk/lanes.h"
#include "mlx/backend/metal/kernels/topk/maxima.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/pairs.h"
#include "mlx/backend/metal/kernels/topk/place.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"
#include "mlx/backend/metal/kernels/topk/results.h"
#include "mlx/backend/metal/kernels/topk/rows.h"
#include "mlx/backend/metal/kernels/topk/stream.h"
#include "mlx/backend/metal/kernels/topk/threadgroup.h"
#include "mlx/backend/metal/kernels/topk/tile.h"
