// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tests the keys by which kernels compare elements, that denormals are ordered
// in every mode of the processor, and that kernels leave no upper halves of
// vector registers in use. op_tests.cpp tests the results of
// the kernels.

#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "mlx/backend/common/ordered_key.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "tests/cpp/check.h"

using namespace mlx::core;

namespace {

// ---- ordered keys ----------------------------------------------------------

template <typename T>
void check_ascending(const std::vector<T>& ascending) {
  for (size_t i = 1; i < ascending.size(); ++i) {
    CHECK(ordered_key(ascending[i - 1]) < ordered_key(ascending[i]));
  }
}

template <typename T>
void check_float_keys() {
  auto t = [](float x) { return static_cast<T>(x); };
  auto inf = std::numeric_limits<float>::infinity();
  auto nan = std::numeric_limits<float>::quiet_NaN();
  check_ascending<T>({t(-inf), t(-2), t(-1), t(0), t(1), t(2), t(inf), t(nan)});
  CHECK(ordered_key(t(0.0f)) == ordered_key(t(-0.0f)));
  CHECK(ordered_key(t(nan)) == ordered_key(t(-nan)));
}

void test_keys_compare_as_the_contract_orders_elements() {
  check_ascending<int8_t>({-128, -1, 0, 1, 127});
  check_ascending<uint64_t>({0, 1, std::numeric_limits<uint64_t>::max()});
  check_ascending<int64_t>(
      {std::numeric_limits<int64_t>::min(),
       0,
       std::numeric_limits<int64_t>::max()});
  check_ascending<bool>({false, true});
  check_float_keys<float>();
  check_float_keys<double>();
  check_float_keys<float16_t>();
  check_float_keys<bfloat16_t>();
  auto nan = std::numeric_limits<float>::quiet_NaN();
  check_ascending<complex64_t>(
      {{-1, 5}, {0, -1}, {-0.0f, 2}, {1, 0}, {nan, 0}});
  CHECK(
      ordered_key(complex64_t{nan, 0}) == ordered_key(complex64_t{3.0f, nan}));
}

// ---- the processor's state -------------------------------------------------

#if defined(__x86_64__) && defined(__GNUC__)
// Returns whether the upper halves of vector registers are in use, which is
// bit 2 of the result of the instruction XGETBV with argument 1. Returns
// nothing if the processor does not have XGETBV with this argument.
std::optional<bool> upper_halves_in_use() {
  uint32_t a, b, c, d;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(13), "c"(1));
  if ((a & 4) == 0) {
    return {};
  }
  asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
  return (a & 4) != 0;
}

// While upper halves are in use, MLX's SSE code on the same thread takes twice
// as long.
void test_kernels_leave_no_upper_halves_in_use() {
  if (!upper_halves_in_use()) {
    std::printf(
        "skipped: this processor does not tell whether upper halves are in use\n");
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
      for (auto output : {cpu::SortOutput::values, cpu::SortOutput::indices}) {
        for (std::optional<size_t> kth : {std::optional<size_t>{}, {n / 2}}) {
          kernels->sort(
              {&rows,
               TopKMode::smallest,
               1,
               kth,
               output,
               float32,
               in.data(),
               values.data()},
              0,
              1);
          CHECK(!*upper_halves_in_use());
        }
      }
      kernels->arg_reduce(
          {&one, largest, float32, in.data(), &indices[0]}, 0, 1);
      CHECK(!*upper_halves_in_use());
    }
  }
}
#else
void test_kernels_leave_no_upper_halves_in_use() {}
#endif

// ---- denormals -------------------------------------------------------------

#if defined(__x86_64__)
// A library that was compiled with -ffast-math may make the processor take
// denormals for zero.
void test_denormals_are_ordered_when_they_count_as_zero() {
  auto saved = _mm_getcsr();
  auto least = std::numeric_limits<float>::denorm_min();
  for (auto kernels : cpu::available_selection_kernels()) {
    for (int n : {3, 8, 50, 1000, 5000}) {
      std::vector<float> in(n), values(n);
      std::vector<uint32_t> indices(n);
      in[n - 1] = least;
      auto topk = plan_topk({n}, {1}, 0, 1, TopKOrder::sorted);
      auto rows = plan_rows({n}, {1}, 0, n);
      auto one = plan_rows({n}, {1}, 0, 1);
      auto largest = TopKMode::largest;
      auto output = cpu::SortOutput::indices;
      uint32_t best = 0, of_topk = 0;
      _mm_setcsr(saved | 0x8040);
      kernels->arg_reduce({&one, largest, float32, in.data(), &best}, 0, 1);
      kernels->topk(
          {&topk, largest, true, 1, float32, in.data(), &values[0], &of_topk},
          0,
          1);
      kernels->sort(
          {&rows,
           TopKMode::smallest,
           1,
           {},
           output,
           float32,
           in.data(),
           &indices[0]},
          0,
          1);
      auto left = _mm_getcsr();
      _mm_setcsr(saved);
      CHECK((left & 0x8040) == 0x8040);
      CHECK(best == n - 1u);
      CHECK(of_topk == n - 1u);
      CHECK(indices[n - 1] == n - 1u);
    }
  }
}
#else
void test_denormals_are_ordered_when_they_count_as_zero() {}
#endif

} // namespace

void run_kernel_tests() {
  test_denormals_are_ordered_when_they_count_as_zero();
  test_keys_compare_as_the_contract_orders_elements();
  test_kernels_leave_no_upper_halves_in_use();
}
