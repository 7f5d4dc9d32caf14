// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tests the plans: where the rows are, and which algorithm is chosen.

#include <algorithm>
#include <optional>

#include "mlx/backend/common/topk_plan.h"
#include "tests/cpp/check.h"

using namespace mlx::core;

namespace {

void test_cursor_visits_every_row_once_at_its_offsets() {
  Shape shape{2, 3, 1, 5};
  // Contiguous, reversed and transposed, broadcast.
  for (auto& strides : {Strides{15, 5, 5, 1}, {-15, 1, 7, 3}, {0, 0, 0, 1}}) {
    for (int axis = 0; axis < 4; ++axis) {
      int k = std::min<int>(2, shape[axis]);
      auto plan = plan_rows(shape, strides, axis, k);
      auto out_shape = shape;
      out_shape[axis] = k;
      CHECK(plan.rows == 30 / shape[axis]);
      CHECK(plan.axis_size == shape[axis]);
      CHECK(plan.in_axis_stride == strides[axis]);

      RowCursor row(plan);
      int64_t visited = 0;
      for (int64_t out = 0; out < 30 / shape[axis] * k; ++out) {
        // Element ``out`` of the contiguous output is the first of a row if its
        // position along the axis is 0. Then the row starts at ``in``.
        int64_t rest = out, in = 0;
        bool first = true;
        for (int i = 3; i >= 0; --i) {
          auto position = rest % out_shape[i];
          rest /= out_shape[i];
          first = first && (i != axis || position == 0);
          in += i == axis ? 0 : position * strides[i];
        }
        if (first) {
          CHECK(row.out_offset == out);
          CHECK(row.in_offset == in);
          row.next();
          ++visited;
        }
      }
      CHECK(visited == plan.rows);
      CHECK(row.in_offset == 0 && row.out_offset == 0);
    }
  }
}

void test_plan_merges_axes_that_one_stride_describes() {
  CHECK(plan_rows({2, 3, 4, 5}, {60, 20, 5, 1}, 3, 2).shape.size() == 1);
  CHECK(plan_rows({2, 3, 4, 5}, {60, 20, 5, 1}, 1, 2).shape.size() == 2);
  CHECK(plan_rows({2, 3, 4, 5}, {60, 5, 15, 1}, 3, 2).shape.size() == 3);
  CHECK(plan_rows({7}, {1}, 0, 2).shape.empty());
  // From the outermost axis to the innermost one.
  auto plan = plan_rows({2, 3, 4, 5}, {60, 5, 15, 1}, 3, 2);
  CHECK((plan.shape == Strides{2, 3, 4}));
  CHECK((plan.in_strides == Strides{60, 5, 15}));
  CHECK((plan.out_strides == Strides{24, 8, 2}));
}

bool same(const RowPlan& a, const RowPlan& b) {
  return a.rows == b.rows && a.axis_size == b.axis_size &&
      a.in_axis_stride == b.in_axis_stride &&
      a.out_axis_stride == b.out_axis_stride && a.shape == b.shape &&
      a.in_strides == b.in_strides && a.out_strides == b.out_strides &&
      a.last_in_offset == b.last_in_offset;
}

void test_a_compact_plan_expands_to_the_plan() {
  struct {
    Shape shape;
    Strides strides;
  } arrays[] = {
      {{7}, {2}},
      {{1, 7, 1}, {7, 1, 1}},
      {{3, 7}, {7, 1}},
      {{2, 3, 7}, {21, 7, 1}},
      {{2, 3, 7}, {1, 14, -2}},
      {{2, 3, 4, 5}, {60, 5, 15, 1}},
      {{2, 0, 7}, {0, 7, 1}}};
  for (auto& [shape, strides] : arrays) {
    for (int axis = 0; axis < static_cast<int>(shape.size()); ++axis) {
      auto compact = CompactRowPlan(shape, strides, axis, 2);
      auto plan = plan_rows(shape, strides, axis, 2);
      CHECK(same(compact.expand(), plan));
      // A task gets a copy.
      auto copy = compact;
      CHECK(same(copy.expand(), plan));
    }
  }
}

void test_whole_row_is_chosen_only_if_k_is_the_size_and_large_and_unsorted() {
  auto plan = [](int n, int k, TopKOrder order) {
    return plan_topk({4, n}, {n, 1}, 1, k, order).algorithm;
  };
  CHECK(plan(65, 65, TopKOrder::unsorted) == TopKAlgorithm::whole_row);
  CHECK(plan(65, 65, TopKOrder::sorted) == TopKAlgorithm::select);
  CHECK(plan(65, 64, TopKOrder::unsorted) == TopKAlgorithm::short_row);
  CHECK(plan(6, 6, TopKOrder::unsorted) == TopKAlgorithm::lanes);
}

void test_plan_chooses_the_algorithm_by_size_and_k() {
  using Tuning = TopKTuning;
  auto plan = [](int n, int k) {
    return plan_topk({2, n}, {n, 1}, 1, k, TopKOrder::sorted).algorithm;
  };
  auto lanes_size = Tuning::lanes_size, lanes_k = Tuning::lanes_k;
  CHECK(plan(lanes_size, lanes_k) == TopKAlgorithm::lanes);
  CHECK(plan(lanes_size + 1, lanes_k) == TopKAlgorithm::short_row);
  CHECK(plan(lanes_size, lanes_k + 1) == TopKAlgorithm::short_row);
  auto size = Tuning::short_row_size, k = Tuning::short_row_k;
  CHECK(plan(size, k) == TopKAlgorithm::short_row);
  CHECK(plan(size + 1, k) == TopKAlgorithm::bounded);
  CHECK(plan(size, k + 1) == TopKAlgorithm::bounded);
  auto n = 100 * Tuning::bounded_elements_per_k;
  CHECK(plan(n, 100) == TopKAlgorithm::bounded);
  CHECK(plan(n, 101) == TopKAlgorithm::select);
}

void test_an_algorithm_can_be_used_within_its_limits() {
  using enum TopKAlgorithm;
  auto sorted = TopKOrder::sorted;
  for (auto algorithm : {lanes, short_row, bounded, select}) {
    CHECK(can_use(algorithm, 100, 10, sorted));
    bool is_short = algorithm == lanes || algorithm == short_row;
    CHECK(can_use(algorithm, 100000, 10, sorted) != is_short);
  }
  CHECK(!can_use(whole_row, 100, 100, sorted));
  CHECK(can_use(whole_row, 100, 100, TopKOrder::unsorted));
  CHECK(!can_use(whole_row, 101, 100, TopKOrder::unsorted));
}

void test_offsets_and_row_counts_may_exceed_an_int() {
  Strides strides{int64_t(1) << 33, 1};
  auto plan = plan_rows({3, 4}, strides, 1, 4);
  RowCursor row(plan);
  row.next();
  row.next();
  CHECK(row.in_offset == int64_t(1) << 34);

  // Merged axes may have more rows than an int can count.
  int many = 1 << 20;
  int64_t n = 4;
  auto merged = plan_rows(
      {many, many, 4}, Strides{many * n, n, 1}, 2, static_cast<int>(n));
  CHECK(merged.rows == int64_t(1) << 40);
  CHECK((merged.shape == Strides{int64_t(1) << 40}));
  CHECK(merged.last_in_offset == (int64_t(1) << 42) - 1);
  RowCursor last(merged, merged.rows - 1);
  CHECK(last.in_offset == (int64_t(1) << 42) - 4);
}

} // namespace

void run_plan_tests() {
  test_cursor_visits_every_row_once_at_its_offsets();
  test_plan_merges_axes_that_one_stride_describes();
  test_a_compact_plan_expands_to_the_plan();
  test_whole_row_is_chosen_only_if_k_is_the_size_and_large_and_unsorted();
  test_plan_chooses_the_algorithm_by_size_and_k();
  test_an_algorithm_can_be_used_within_its_limits();
  test_offsets_and_row_counts_may_exceed_an_int();
}
