// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels of Route for one instruction set.

#pragma once

#include "overlay/backend/cpu/route/simd/gradient_rows-inl.h"
#include "overlay/backend/cpu/route/simd/route_rows-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

template <template <typename> typename Rows, typename Job>
void run_rows(const Job& job, int64_t first, int64_t last) {
  ExactDenormals exact;
  switch (job.dtype.val()) {
    case Dtype::Val::float16:
      Rows<float16_t>(job, last - first).run(first, last);
      break;
    case Dtype::Val::bfloat16:
      Rows<bfloat16_t>(job, last - first).run(first, last);
      break;
    default:
      Rows<float>(job, last - first).run(first, last);
  }
#if defined(SELECTION_AVX512) || defined(SELECTION_AVX2)
  // MLX's own code has SSE instructions, which are slow while the upper halves
  // of the vector registers are in use.
  _mm256_zeroupper();
#endif
}

void route(const RouteJob& job, int64_t first, int64_t last) {
  run_rows<RouteRows>(job, first, last);
}

void route_gradient(const RouteGradientJob& job, int64_t first, int64_t last) {
  run_rows<GradientRows>(job, first, last);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
