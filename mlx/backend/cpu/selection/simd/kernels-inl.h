// Copyright © 2026 the mlx-topk authors. MIT licence.

// The kernels for one instruction set, and an overview of this folder.
//
// A header called *-inl.h is compiled once for each instruction set (Google's
// Highway uses the same name for such headers). A source file (avx512.cpp,
// avx2.cpp, baseline.cpp) includes includes.h, defines SELECTION_NAMESPACE and
// SELECTION_VECTOR_BYTES, switches the compiler to its instruction set, and
// includes this file. Two rules follow:
//
// - Everything in an *-inl.h header is inside SELECTION_NAMESPACE and in an
//   anonymous namespace, so that the linker cannot replace the code for one
//   instruction set by that for another.
// - An *-inl.h header includes only *-inl.h headers. All others belong in
//   includes.h, which is compiled before the switch: code of the standard
//   library that was compiled for AVX-512 must not be shared with other files.
//
// GCC does not apply the switch to lambdas in templates, so none of those may
// hold a vector.
//
// Words used throughout:
//
// - rank: an element as an unsigned integer, the lowest best (rank-inl.h);
// - score: an element as a value that is quick to compare, the greatest best,
//   less exact than a rank (score-inl.h);
// - candidate: the rank and the index of an element that may be chosen;
// - bound: a rank or score that the k best reach, by being at least as good;
// - word: a rank and an index in one integer;
// - place: a position in a row of the output;
// - lane: one element of a vector.
//
// The headers, from the lowest layer up: vector, buffer; rank, score,
// exact_score, row, row_order; partition_lanes, filter, sorting_network, split,
// sort; sort_key, sort_block, sort_leaf, quicksort and threaded_quicksort, and
// register_row, sort_words, sort_in_registers, sort_values, sort_indices,
// partition_row and place_finder, which use them for one row;
// lanes, wide_lanes, short_row, bounded and k_best, which find the k best of a
// row; best_of_rows; rows, row_output, lanes_output and ordered_rows; topk_rows
// (with topk_output), sort_rows (with row_writer), arg_reduce_rows and
// order_statistics_rows, which do all rows of a job; and this one.

#pragma once

#include "mlx/backend/cpu/selection/simd/arg_reduce_rows-inl.h"
#include "mlx/backend/cpu/selection/simd/order_statistics_rows-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_rows-inl.h"
#include "mlx/backend/cpu/selection/simd/topk_rows-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Clears the upper halves of the vector registers. While they are in use, SSE
 * instructions, which MLX's own code has, take twice as long. Compilers clear
 * them when a function returns, but not on every path.
 */
void clear_upper_halves() {
#if defined(SELECTION_AVX512) || defined(SELECTION_AVX2)
  _mm256_zeroupper();
#endif
}

void topk(const TopKJob& job, int64_t first, int64_t last) {
  ExactDenormals exact;
  dispatch_all_types(job.dtype, [&](auto type_tag) {
    topk_rows<MLX_GET_TYPE(type_tag)>(job, first, last);
  });
  clear_upper_halves();
}

void sort(const SortJob& job, int64_t first, int64_t last) {
  ExactDenormals exact;
  dispatch_all_types(job.dtype, [&](auto type_tag) {
    sort_rows<MLX_GET_TYPE(type_tag)>(job, first, last);
  });
  clear_upper_halves();
}

void arg_reduce(const ArgReduceJob& job, int64_t first, int64_t last) {
  ExactDenormals exact;
  dispatch_all_types(job.dtype, [&](auto type_tag) {
    arg_reduce_rows<MLX_GET_TYPE(type_tag)>(job, first, last);
  });
  clear_upper_halves();
}

void order_statistics(
    const OrderStatisticsJob& job,
    int64_t first,
    int64_t last) {
  ExactDenormals exact;
  dispatch_all_types(job.dtype, [&](auto type_tag) {
    order_statistics_rows<MLX_GET_TYPE(type_tag)>(job, first, last);
  });
  clear_upper_halves();
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
