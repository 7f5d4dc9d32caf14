// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tests selections that run on several streams at once. thread_pool_tests.cpp
// does so without libmlx, for ThreadSanitizer.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "mlx/mlx.h"
#include "overlay/selection.h"
#include "tests/cpp/check.h"

using namespace mlx::core;
using selection::TopKMode;
using selection::TopKOrder;

namespace {

void test_threads_with_their_own_streams_get_right_results() {
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

} // namespace

void run_stream_tests() {
  test_threads_with_their_own_streams_get_right_results();
}
