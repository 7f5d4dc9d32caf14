// Copyright © 2026 the mlx-topk authors. MIT licence.

// The C++ API and the plans, without Python: also what the sanitizers run.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "mlx/backend/common/ordered_key.h"
#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/mlx.h"
#include "mlx/topk_primitive.h"
#include "overlay/portable_graph.h"
#include "overlay/selection.h"
#include "overlay/stable_sort.h"

using namespace mlx::core;
using selection::TopKMode;
using selection::TopKOrder;

namespace {

int checks = 0;
int failures = 0;

#define CHECK(condition)                                          \
  do {                                                            \
    ++checks;                                                     \
    if (!(condition)) {                                           \
      ++failures;                                                 \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                             \
  } while (false)

template <typename Error>
std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool same(const array& a, const array& b) {
  return a.dtype() == b.dtype() && array_equal(a, b).item<bool>();
}

// ---- plans -----------------------------------------------------------------

void test_a_plan_visits_every_row_once_and_where_it_is() {
  Shape shape{2, 3, 1, 5};
  // Reversed, transposed, broadcast: no stride follows from the others.
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
        // The position of element ``out`` of a contiguous output.
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

void test_a_plan_merges_axes_that_share_a_stride() {
  CHECK(plan_rows({2, 3, 4, 5}, {60, 20, 5, 1}, 3, 2).shape.size() == 1);
  CHECK(plan_rows({2, 3, 4, 5}, {60, 20, 5, 1}, 1, 2).shape.size() == 2);
  CHECK(plan_rows({2, 3, 4, 5}, {60, 5, 15, 1}, 3, 2).shape.size() == 3);
  CHECK(plan_rows({7}, {1}, 0, 2).shape.empty());
}

void test_a_plan_knows_when_nothing_is_to_be_selected() {
  auto plan = [](int k, TopKOrder order) {
    return plan_topk({4, 6}, {6, 1}, 1, k, order).algorithm;
  };
  CHECK(plan(6, TopKOrder::unsorted) == TopKAlgorithm::whole_row);
  CHECK(plan(6, TopKOrder::sorted) == TopKAlgorithm::lanes);
  CHECK(plan(5, TopKOrder::unsorted) == TopKAlgorithm::lanes);
}

void test_a_plan_follows_the_size_and_k() {
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
  CHECK(!can_use(whole_row, 10, 10, sorted));
  CHECK(can_use(whole_row, 10, 10, TopKOrder::unsorted));
  CHECK(!can_use(whole_row, 11, 10, TopKOrder::unsorted));
}

void test_offsets_do_not_overflow_an_int() {
  Strides strides{int64_t(1) << 33, 1};
  auto plan = plan_rows({3, 4}, strides, 1, 4);
  RowCursor row(plan);
  row.next();
  row.next();
  CHECK(row.in_offset == int64_t(1) << 34);

  // Nor does the number of rows, where axes merge.
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

// ---- order -----------------------------------------------------------------

template <typename T>
void check_order(const std::vector<T>& ascending) {
  for (size_t i = 1; i < ascending.size(); ++i) {
    CHECK(ordered_key(ascending[i - 1]) < ordered_key(ascending[i]));
  }
}

template <typename T>
void check_float_order() {
  auto t = [](float x) { return static_cast<T>(x); };
  auto inf = std::numeric_limits<float>::infinity();
  auto nan = std::numeric_limits<float>::quiet_NaN();
  check_order<T>({t(-inf), t(-2), t(-1), t(0), t(1), t(2), t(inf), t(nan)});
  CHECK(ordered_key(t(0.0f)) == ordered_key(t(-0.0f)));
  CHECK(ordered_key(t(nan)) == ordered_key(t(-nan)));
}

void test_keys_order_as_the_contract_does() {
  check_order<int8_t>({-128, -1, 0, 1, 127});
  check_order<uint64_t>({0, 1, std::numeric_limits<uint64_t>::max()});
  check_order<int64_t>(
      {std::numeric_limits<int64_t>::min(),
       0,
       std::numeric_limits<int64_t>::max()});
  check_order<bool>({false, true});
  check_float_order<float>();
  check_float_order<double>();
  check_float_order<float16_t>();
  check_float_order<bfloat16_t>();
  auto nan = std::numeric_limits<float>::quiet_NaN();
  check_order<complex64_t>({{-1, 5}, {0, -1}, {-0.0f, 2}, {1, 0}, {nan, 0}});
  CHECK(
      ordered_key(complex64_t{nan, 0}) == ordered_key(complex64_t{3.0f, nan}));
}

// ---- ops -------------------------------------------------------------------

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

array random_input(std::mt19937& engine, Dtype dtype) {
  auto size = [&](int n) { return static_cast<int>(engine() % n); };
  Shape shape{size(4), 1 + size(40), 1 + size(3)};
  std::vector<float> values(shape[0] * shape[1] * shape[2]);
  for (auto& value : values) {
    value = size(7) == 0 ? std::numeric_limits<float>::quiet_NaN() : size(5);
  }
  // NaN has no integer: keep those types to whole numbers.
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

void test_kernels_agree_with_mlx_primitives() {
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

void test_partition_splits_where_a_sort_would() {
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

void test_gradients_and_transforms() {
  auto a = array({0.0f, 0.0f, 1.0f, 0.0f});
  auto loss = [](const array& a) {
    return sum(square(selection::topk(a, 3, 0)));
  };
  CHECK(same(grad(loss)(a), array({0.0f, 0.0f, 2.0f, 0.0f})));
  auto second = grad([&](const array& a) { return sum(grad(loss)(a)); })(a);
  CHECK(same(second, array({2.0f, 2.0f, 2.0f, 0.0f})));

  auto gathered = [](const array& a) {
    return sum(take_along_axis(a, selection::argsort(a, 0), 0));
  };
  CHECK(same(grad(gathered)(a), ones_like(a)));
  auto both = vmap([](const std::vector<array>& in) {
    auto [values, indices] = selection::top_k(in[0], 2);
    return std::vector<array>{values, indices};
  });
  auto out = both({stack({a, negative(a)})});
  CHECK(same(out[1], array({2u, 0u, 0u, 1u}, {2, 2})));
}

void test_primitives_have_rules_of_their_own() {
  // What a graph built by hand gets, without the ops' cuts and marks.
  auto partition = [](const std::vector<array>& in) {
    auto primitive = std::make_shared<StableSort>(
        default_stream(Device::cpu), 1, 0, SortResult::indices);
    return std::vector<array>{array(in[0].shape(), uint32, primitive, in)};
  };
  auto a = array({3.0f, 1.0f, 2.0f});
  CHECK(same(jvp(partition, {a}, {a}).second[0], zeros({3}, uint32)));
  CHECK(same(vjp(partition, {a}, {ones({3}, uint32)}).second[0], zeros({3})));
}

void test_modes() {
  auto a = array({3.0f, 1.0f, 2.0f});
  auto as_float = [](const array& a) {
    return sum(astype(selection::argsort(a, 0), float32));
  };
  CHECK(same(grad(as_float)(a), zeros_like(a)));
  {
    IndexGradientScope zero(IndexGradient::zero);
    CHECK(same(grad(as_float)(a), zeros_like(a)));
  }
  IndexGradientScope error(IndexGradient::error);
  auto message =
      error_of<std::invalid_argument>([&]() { eval(grad(as_float)(a)); });
  CHECK(message.find("[argsort] Indices have no gradient") == 0);
  std::thread([&]() { CHECK(index_gradient() == IndexGradient::stop); }).join();
}

void test_the_portable_ops_of_a_gpu_follow_the_mode() {
  // Built and differentiated, never run: there may be no such device here.
  auto gpu = Stream(0, Device::gpu);
  auto loss = [&](const array& a) {
    auto result =
        selection::top_k(a, 2, 0, TopKMode::largest, TopKOrder::sorted, gpu);
    return sum(astype(result.indices, float32, gpu), gpu);
  };
  IndexGradientScope error(IndexGradient::error);
  auto message = error_of<std::invalid_argument>(
      [&]() { grad(loss)(array({3.0f, 1.0f, 2.0f})); });
  CHECK(message.find("[top_k] Indices have no gradient") == 0);
}

void test_errors() {
  auto a = zeros({4, 8});
  CHECK(
      error_of<std::invalid_argument>([&]() { selection::top_k(a, 9, 1); }) ==
      "[top_k] k must be between 0 and 8 for axis 1 of an array with shape "
      "(4,8), got 9.");
  CHECK(
      error_of<std::out_of_range>([&]() { selection::topk(a, 1, 2); }) ==
      "[topk] axis must be between -2 and 1 for an array with shape (4,8), "
      "got 2.");
}

void test_threads_on_their_own_streams() {
  std::vector<std::thread> threads;
  std::vector<int> wrong(8, 0);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t, &wrong]() {
      auto s = new_stream(Device::cpu);
      std::mt19937 engine(t);
      for (int i = 0; i < 50; ++i) {
        std::vector<float> values(100 + engine() % 900);
        for (auto& value : values) {
          value = engine() % 50;
        }
        int n = values.size();
        int k = 1 + engine() % n;
        auto a = array(values.begin(), {n}, float32);
        auto [best, indices] =
            selection::top_k(a, k, 0, TopKMode::largest, TopKOrder::sorted, s);
        eval(best, indices);
        std::vector<uint32_t> order(n);
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](auto x, auto y) {
          return values[x] > values[y];
        });
        auto got = indices.data<uint32_t>();
        wrong[t] += !std::equal(got, got + k, order.begin());
      }
      clear_streams();
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
}

// ---- the processor's state -------------------------------------------------

#if defined(__x86_64__) && defined(__GNUC__)
// Which parts of the vector registers hold anything, by XGETBV with 1, where
// the processor tells; bit 2 is for the upper halves.
std::optional<bool> upper_halves_in_use() {
  uint32_t a, b, c, d;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(13), "c"(1));
  if ((a & 4) == 0) {
    return {};
  }
  asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
  return (a & 4) != 0;
}

// Otherwise what MLX computes with SSE on the same thread takes twice as long.
void test_kernels_leave_no_upper_halves_in_use() {
  if (!upper_halves_in_use()) {
    std::printf("whether upper halves are in use is not told here\n");
    return;
  }
  for (auto kernels : cpu::available_selection_kernels()) {
    for (int n : {8, 64, 160, 1000, 5000, 150000}) {
      std::vector<float> in(n), values(n);
      std::vector<uint32_t> indices(n);
      for (int i = 0; i < n; ++i) {
        in[i] = static_cast<float>(i * 7919LL % n);
      }
      auto topk = plan_topk({n}, {1}, 0, std::min(n, 40), TopKOrder::sorted);
      auto rows = plan_rows({n}, {1}, 0, n);
      auto one = plan_rows({n}, {1}, 0, 1);
      auto largest = TopKMode::largest;
      kernels->topk(
          {&topk,
           largest,
           true,
           1,
           float32,
           in.data(),
           values.data(),
           &indices[0]},
          0,
          1);
      CHECK(!*upper_halves_in_use());
      for (auto result : {cpu::SortOutput::values, cpu::SortOutput::indices}) {
        for (std::optional<size_t> kth : {std::optional<size_t>{}, {n / 2}}) {
          kernels->order(
              {&rows, kth, result, float32, in.data(), values.data()}, 0, 1);
          CHECK(!*upper_halves_in_use());
        }
      }
      kernels->arg_best({&one, largest, float32, in.data(), &indices[0]}, 0, 1);
      CHECK(!*upper_halves_in_use());
    }
  }
}
#else
void test_kernels_leave_no_upper_halves_in_use() {}
#endif

} // namespace

int main() {
  set_default_device(Device::cpu);
  test_a_plan_visits_every_row_once_and_where_it_is();
  test_a_plan_merges_axes_that_share_a_stride();
  test_a_plan_knows_when_nothing_is_to_be_selected();
  test_a_plan_follows_the_size_and_k();
  test_an_algorithm_can_be_used_within_its_limits();
  test_offsets_do_not_overflow_an_int();
  test_keys_order_as_the_contract_does();
  test_kernels_agree_with_mlx_primitives();
  test_partition_splits_where_a_sort_would();
  test_gradients_and_transforms();
  test_primitives_have_rules_of_their_own();
  test_modes();
  test_the_portable_ops_of_a_gpu_follow_the_mode();
  test_errors();
  test_threads_on_their_own_streams();
  test_kernels_leave_no_upper_halves_in_use();
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
