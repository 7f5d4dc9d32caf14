// Copyright © 2026 the mlx-topk authors. MIT licence.

#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "mlx/backend/common/row_plan.h"
#include "mlx/backend/cpu/selection/threads.h"
#include "mlx/topk_threads.h"

namespace mlx::core::cpu {

/**
 * Calls work(first, last) for ranges of rows that together cover all rows, on
 * several threads. A range has more than ``elements_per_part`` elements, unless
 * all rows together have no more. A row is never divided.
 */
template <typename Work>
void split_rows(const RowPlan& rows, int64_t elements_per_part, Work&& work) {
  auto rows_per_part =
      elements_per_part / std::max<int64_t>(rows.axis_size, 1) + 1;
  if (rows.rows < 2 * rows_per_part) {
    // Too little for two threads, and done too soon to count this one as busy.
    if (rows.rows > 0) {
      work(int64_t(0), rows.rows);
    }
    return;
  }
  BusyThread busy;
  split_work(rows.rows, rows_per_part, selection::threads(), work);
}

} // namespace mlx::core::cpu
