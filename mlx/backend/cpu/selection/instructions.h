// Copyright © 2026 the mlx-topk authors. MIT licence.

// All kernels in one namespace. A source file that says for which instruction
// set defines SELECTION_NAMESPACE and SELECTION_VECTOR_BYTES, includes
// includes.h, switches the compiler to the instruction set, and includes this:
// so that nothing of the standard library is compiled for it and then shared.
// GCC does not switch for lambdas in templates: no vector may be in one.

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

constexpr size_t vector_bytes = SELECTION_VECTOR_BYTES;

inline size_t round_up(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// clang-format off: each uses what is above it.
#include "mlx/backend/cpu/selection/vector.h"
#include "mlx/backend/cpu/selection/memory.h"
#include "mlx/backend/cpu/selection/rank.h"
#include "mlx/backend/cpu/selection/score.h"
#include "mlx/backend/cpu/selection/filter.h"
#include "mlx/backend/cpu/selection/network.h"
#include "mlx/backend/cpu/selection/select.h"
#include "mlx/backend/cpu/selection/sort.h"
#include "mlx/backend/cpu/selection/lanes.h"
#include "mlx/backend/cpu/selection/short_row.h"
#include "mlx/backend/cpu/selection/bounded.h"
#include "mlx/backend/cpu/selection/selection.h"
#include "mlx/backend/cpu/selection/rows.h"
#include "mlx/backend/cpu/selection/topk_rows.h"
#include "mlx/backend/cpu/selection/put.h"
#include "mlx/backend/cpu/selection/order_rows.h"
#include "mlx/backend/cpu/selection/arg_best_rows.h"
// clang-format on

/**
 * MLX's own code uses SSE, which takes twice as long while the upper halves of
 * vector registers are in use. The compiler clears them, but not on each path:
 * after a sort they were not, and stayed so for all that ran on the thread.
 */
void clear_upper_halves() {
#if defined(SELECTION_AVX512) || defined(SELECTION_AVX2)
  _mm256_zeroupper();
#endif
}

void topk(const TopKJob& job, int64_t first, int64_t last) {
  dispatch_all_types(job.dtype, [&](auto type_tag) {
    topk_rows<MLX_GET_TYPE(type_tag)>(job, first, last);
  });
  clear_upper_halves();
}

void order(const OrderJob& job, int64_t first, int64_t last) {
  dispatch_all_types(job.dtype, [&](auto type_tag) {
    order_rows<MLX_GET_TYPE(type_tag)>(job, first, last);
  });
  clear_upper_halves();
}

void arg_best(const ArgBestJob& job, int64_t first, int64_t last) {
  dispatch_all_types(job.dtype, [&](auto type_tag) {
    arg_best_rows<MLX_GET_TYPE(type_tag)>(job, first, last);
  });
  clear_upper_halves();
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
