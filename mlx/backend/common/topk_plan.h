// Copyright © 2026 the mlx-topk authors. MIT licence.

// Chooses the algorithm by which the CPU selects the k best of each row.

#pragma once

#include <cstdint>

#include "mlx/array.h"
#include "mlx/backend/common/row_plan.h"
#include "mlx/topk.h"

namespace mlx::core {

/**
 * whole_row: copies every element in the order of the row, except that the
 *            worst and the best change places with the first and the last.
 * lanes:     selects from several rows at once, each in one lane of a sorting
 *            network.
 * short_row: keeps the row on the stack as ranks, bounds the k-th best, and
 *            selects from the few elements that reach the bound.
 * bounded:   bounds the k-th best in one pass, then selects from the elements
 *            that reach the bound.
 * select:    turns the whole row into ranks and splits them at the k-th best.
 *
 * The choice depends on the size of the axis, on k and on whether the result is
 * sorted. It never depends on the number of rows, so a row has the same result
 * alone and in a batch.
 */
enum class TopKAlgorithm { whole_row, lanes, short_row, bounded, select };

/**
 * Where the choice of an algorithm changes: row sizes, values of k, and how
 * many elements a row has for each of its k best. The first group decides the
 * order of results, so it is the same for all instruction sets. The rest only
 * decides which of several ways to the same result is taken.
 */
struct TopKTuning {
  // The greatest row sizes and the greatest k that lanes and short_row support.
  static constexpr int64_t lanes_size = 256;
  static constexpr int64_t lanes_k = 16;
  static constexpr int64_t short_row_size = 1024;
  static constexpr int64_t short_row_k = 64;
  // Up to this k, unsorted results too are in order, the best last: sorting so
  // few costs nothing.
  static constexpr int64_t ordered_k = 64;
  // Which rows sorts_to_partition() chooses.
  static constexpr int64_t sorted_partition_size = 64;
  static constexpr int64_t sorted_wide_partition_size = 128;
  static constexpr int64_t sorted_middle_size = 256;
  static constexpr int64_t sorted_middle_elements_per_k = 9;
  // Rows with at most this many times k elements, and rows of at most
  // short_row_size, are copied if they are in order. In others, finding the k
  // best takes less time than looking.
  static constexpr int64_t order_check_elements_per_k = 64;

  // ``bounded`` is used if the row has at least this many times k elements,
  // ``select`` if it has fewer.
  static constexpr int64_t bounded_elements_per_k = 8;
  // Rows of at most this size are sorted to select more than a few elements, if
  // a kernel sorts them fast.
  static constexpr int64_t sorted_selection_size = 128;
};

/** Returns whether ``algorithm`` can select k of ``size`` elements. */
bool can_use(TopKAlgorithm algorithm, int64_t size, int64_t k, TopKOrder order);

/** Returns the algorithm that selects k of ``size`` elements. */
TopKAlgorithm choose_algorithm(int64_t size, int64_t k, TopKOrder order);

/**
 * Returns whether a row of ``size`` elements of ``itemsize`` bytes is sorted if
 * a partition at ``kth`` is asked for. To sort a short row takes less time than
 * to find more than a few of its elements.
 */
bool sorts_to_partition(int64_t size, int64_t kth, size_t itemsize);

struct TopKPlan {
  RowPlan rows;
  int64_t k;
  TopKAlgorithm algorithm;
};

TopKPlan plan_topk(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int k,
    TopKOrder order);

} // namespace mlx::core
