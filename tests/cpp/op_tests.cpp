// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tests the results and errors of the ops in C++. The Python tests check more
// cases.

#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "mlx/mlx.h"
#include "overlay/portable_graph.h"
#include "overlay/selection.h"
#include "tests/cpp/check.h"

using namespace mlx::core;
using selection::TopKMode;

namespace {

bool same(const array& a, const array& b) {
  return a.dtype() == b.dtype() && array_equal(a, b).item<bool>();
}

const std::vector<Dtype> dtypes{
    bool_,
    uint8,
    uint16,
    uint32,
    uint64,
    int8,
    int16,
    int32,
    int64,
    float16,
    bfloat16,
    float32,
    float64,
    complex64};

// Returns a small array with many ties and, in inexact types, NaN. It is
// contiguous, transposed, reversed or strided.
array random_input(std::mt19937& engine, Dtype dtype) {
  auto size = [&](int n) { return static_cast<int>(engine() % n); };
  Shape shape{size(4), 1 + size(40), 1 + size(3)};
  std::vector<float> values(shape[0] * shape[1] * shape[2]);
  for (auto& value : values) {
    value = size(7) == 0 ? std::numeric_limits<float>::quiet_NaN() : size(5);
  }
  // Converting NaN to an integer is undefined.
  auto a = array(values.begin(), shape, float32);
  if (!issubdtype(dtype, inexact)) {
    a = nan_to_num(a);
  }
  a = astype(a, dtype);
  switch (size(4)) {
    case 0:
      a = transpose(a);
      break;
    case 1:
      a = flip(a, 1);
      break;
    case 2:
      a = repeat(a, 2, 1);
      a = slice(a, {0, 0, 0}, a.shape(), {1, 2, 1});
      break;
  }
  eval(a);
  return a;
}

void test_topk_agrees_with_a_graph_of_mlx_primitives() {
  std::mt19937 engine(0);
  for (int i = 0; i < 40; ++i) {
    for (auto dtype : dtypes) {
      auto a = random_input(engine, dtype);
      int axis = engine() % 3;
      int k = engine() % (a.shape(axis) + 1);
      auto mode = engine() % 2 ? TopKMode::largest : TopKMode::smallest;
      auto [values, indices] = selection::top_k(a, k, axis, mode);
      eval(values, indices);
      PortableGraphScope portable;
      auto other = selection::top_k(a, k, axis, mode);
      CHECK(same(indices, other.indices));
      auto fetched = take_along_axis(a, indices, axis);
      CHECK(array_equal(values, fetched, true).item<bool>());
    }
  }
}

void test_argpartition_has_at_kth_what_argsort_has() {
  std::mt19937 engine(1);
  for (int i = 0; i < 40; ++i) {
    auto a = random_input(engine, float32);
    int n = a.shape(1);
    if (n == 0) {
      continue;
    }
    int kth = static_cast<int>(engine() % (2 * n)) - n;
    auto indices = selection::argpartition(a, kth, 1);
    auto order = argsort(a, 1);
    auto at = array(kth < 0 ? kth + n : kth);
    CHECK(same(take(indices, at, 1), take(order, at, 1)));
    CHECK(same(sort(indices, 1), sort(order, 1)));
  }
}

void test_descending_orders_agree_with_top_k() {
  std::mt19937 engine(2);
  auto down = selection::SortDirection::descending;
  for (int i = 0; i < 40; ++i) {
    for (auto dtype : dtypes) {
      auto a = random_input(engine, dtype);
      int n = a.shape(1);
      auto [values, indices] = selection::top_k(a, n, 1);
      CHECK(same(selection::argsort(a, 1, down), indices));
      auto sorted = selection::sort(a, 1, down);
      CHECK(array_equal(sorted, values, true).item<bool>());
      PortableGraphScope portable;
      CHECK(same(selection::argsort(a, 1, down), indices));
      sorted = selection::sort(a, 1, down);
      CHECK(array_equal(sorted, values, true).item<bool>());
    }
  }
}

void test_several_kths_hold_what_argsort_has() {
  std::mt19937 engine(3);
  for (auto direction :
       {selection::SortDirection::ascending,
        selection::SortDirection::descending}) {
    for (int i = 0; i < 20; ++i) {
      auto a = random_input(engine, float32);
      int n = a.shape(1);
      if (n < 2) {
        continue;
      }
      auto indices = selection::argpartition(a, {0, -2}, 1, direction);
      auto order = selection::argsort(a, 1, direction);
      auto at = array({0, n - 2});
      CHECK(same(take(indices, at, 1), take(order, at, 1)));
      auto values = selection::partition(a, {0, -2}, 1, direction);
      auto fetched = take_along_axis(a, indices, 1);
      CHECK(array_equal(values, fetched, true).item<bool>());
    }
  }
  auto a = array({2.0f, 1.0f});
  CHECK(same(selection::partition(a, std::vector<int>{}, 0), a));
}

void test_lexsort_and_searchsorted_of_rows() {
  auto name = array({2, 3, 1, 3});
  auto surname = array({1, 0, 1, 0});
  auto order = selection::lexsort({name, surname});
  CHECK(same(order, array({1u, 3u, 2u, 0u}, uint32)));
  CHECK(same(selection::lexsort(stack({name, surname})), order));
  auto rows = array({5, 1, 3, 9, 0, 0}, {2, 3});
  auto keys = array({4, 0}, {2, 1});
  auto sorter = argsort(rows, 1);
  auto found = selection::searchsorted(rows, keys, "right", 1, sorter);
  CHECK(same(found, array({2u, 2u}, {2, 1}, uint32)));
}

void test_errors_name_the_op_the_limits_and_the_value() {
  auto a = zeros({4, 8});
  CHECK(
      error_of<std::invalid_argument>([&]() { selection::top_k(a, 9, 1); }) ==
      "[top_k] k must be between 0 and 8 for axis 1 of an array with shape "
      "(4,8), got 9.");
  CHECK(
      error_of<std::out_of_range>([&]() { selection::topk(a, 1, 2); }) ==
      "[topk] axis must be between -2 and 1 for an array with shape (4,8), "
      "got 2.");
  CHECK(
      error_of<std::invalid_argument>(
          [&]() { selection::partition(a, {1, 8}, 1); }) ==
      "[partition] kth must be between -8 and 7 for axis 1 of an array with "
      "shape (4,8), got 8.");
}

} // namespace

void run_op_tests() {
  test_topk_agrees_with_a_graph_of_mlx_primitives();
  test_argpartition_has_at_kth_what_argsort_has();
  test_descending_orders_agree_with_top_k();
  test_several_kths_hold_what_argsort_has();
  test_lexsort_and_searchsorted_of_rows();
  test_errors_name_the_op_the_limits_and_the_value();
}
