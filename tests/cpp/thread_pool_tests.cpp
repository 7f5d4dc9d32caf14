// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tests the pool of threads with real selections, from several threads at once,
// as streams would run them. Needs no libmlx, so that ThreadSanitizer sees
// every instruction (tests/sanitize.sh).

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/selection/threads.h"
#include "mlx/topk_threads.h"
#include "tests/cpp/check.h"

using namespace mlx::core;

namespace {

constexpr int streams = 4;

/** Calls use(i) on ``streams`` threads at once and waits for them. */
template <typename Use>
void on_streams(Use&& use) {
  std::vector<std::thread> threads;
  for (int i = 0; i < streams; ++i) {
    threads.emplace_back([&use, i]() { use(i); });
  }
  for (auto& thread : threads) {
    thread.join();
  }
}

/**
 * Rows with many ties. For each row, ``order`` has the indices that sort the
 * row's elements in descending, stable order.
 */
struct Rows {
  Rows(int rows, int size, int seed)
      : values(size_t(rows) * size), order(values.size()) {
    std::mt19937 engine(seed);
    for (auto& value : values) {
      value = engine() % 1000;
    }
    sort(rows, size);
  }

  template <typename T>
  explicit Rows(const std::vector<T>& row)
      : values(row.begin(), row.end()), order(row.size()) {
    sort(1, static_cast<int>(row.size()));
  }

  void sort(int rows, int size) {
    for (int r = 0; r < rows; ++r) {
      auto row = values.data() + size_t(r) * size;
      auto first = order.begin() + size_t(r) * size;
      std::iota(first, first + size, 0);
      std::stable_sort(
          first, first + size, [&](auto a, auto b) { return row[a] > row[b]; });
    }
  }

  std::vector<float> values;
  std::vector<uint32_t> order;
};

/** Returns in how many rows the k best differ from those of a stable sort. */
int wrong_rows(
    const Rows& in,
    const std::vector<uint32_t>& indices,
    int rows,
    int size,
    int k) {
  int wrong = 0;
  for (int r = 0; r < rows; ++r) {
    auto got = indices.begin() + size_t(r) * k;
    wrong += !std::equal(got, got + k, in.order.begin() + size_t(r) * size);
  }
  return wrong;
}

/**
 * Returns whether the elements before, at or after the position ``kth`` differ
 * from those of a stable sort. There is one row.
 */
bool is_wrong_partition(
    const Rows& in,
    std::vector<uint32_t> indices,
    int kth) {
  auto order = in.order;
  for (auto all : {&indices, &order}) {
    std::sort(all->begin(), all->begin() + kth);
    std::sort(all->begin() + kth + 1, all->end());
  }
  return indices != order;
}

// The rows of one job are divided among threads.
void test_streams_that_divide_their_rows_get_right_results() {
  constexpr int rows = 60, size = 300, k = 20;
  std::vector<int> wrong(streams, 0);
  on_streams([&](int stream) {
    Rows in(rows, size, stream);
    std::vector<float> values(rows * k);
    std::vector<uint32_t> indices(rows * k), best(rows);
    auto plan = plan_topk({rows, size}, {size, 1}, 1, k, TopKOrder::sorted);
    auto one = plan_rows({rows, size}, {size, 1}, 1, 1);
    for (auto kernels : cpu::available_selection_kernels()) {
      for (int i = 0; i < 10; ++i) {
        cpu::BusyThread busy;
        cpu::TopKJob job{
            &plan,
            TopKMode::largest,
            true,
            1,
            float32,
            in.values.data(),
            values.data(),
            indices.data()};
        cpu::split_work(rows, 2, streams + 2, [&](auto first, auto last) {
          kernels->topk(job, first, last);
        });
        wrong[stream] += wrong_rows(in, indices, rows, size, k);
        cpu::ArgReduceJob reduce{
            &one, TopKMode::largest, float32, in.values.data(), best.data()};
        cpu::split_work(rows, 2, streams + 2, [&](auto first, auto last) {
          kernels->arg_reduce(reduce, first, last);
        });
        wrong[stream] += wrong_rows(in, best, rows, size, 1);
      }
    }
  });
  CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
}

// The first pass over one long row is divided among threads.
void test_streams_that_divide_a_long_row_get_right_results() {
  constexpr int size = 3 << 17, k = 70;
  std::vector<int> wrong(streams, 0);
  on_streams([&](int stream) {
    Rows in(1, size, stream);
    std::vector<float> values(k);
    std::vector<uint32_t> indices(k);
    auto plan = plan_topk({size}, {1}, 0, k, TopKOrder::sorted);
    for (auto kernels : cpu::available_selection_kernels()) {
      cpu::BusyThread busy;
      cpu::TopKJob job{
          &plan,
          TopKMode::largest,
          true,
          streams + 2,
          float32,
          in.values.data(),
          values.data(),
          indices.data()};
      kernels->topk(job, 0, 1);
      wrong[stream] += wrong_rows(in, indices, 1, size, k);
    }
  });
  CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
}

// A sort of one long row is divided among threads: floats by quicksort, bytes
// by radix. So is a partition, by a split or, with ``kth`` near an end, by
// finding the few elements on one side.
void test_streams_that_divide_a_sort_or_partition_get_right_results() {
  constexpr int size = 1 << 17;
  std::vector<int> wrong(streams, 0);
  on_streams([&](int stream) {
    Rows in(1, size, stream);
    std::vector<uint8_t> bytes(in.values.begin(), in.values.end());
    Rows of_bytes(bytes);
    // Each thread finds all keys of its share in one part, up to the borders.
    std::vector<float> row(size);
    std::iota(row.begin(), row.end(), 0.0f);
    std::swap(row[0], row[1]);
    Rows nearly_sorted(row);
    std::vector<uint32_t> indices(size);
    auto plan = plan_rows({size}, {1}, 0, size);
    for (auto kernels : cpu::available_selection_kernels()) {
      cpu::BusyThread busy;
      cpu::SortJob job{
          &plan,
          TopKMode::largest,
          streams + 2,
          {},
          cpu::SortOutput::indices,
          float32,
          in.values.data(),
          indices.data()};
      kernels->sort(job, 0, 1);
      wrong[stream] += wrong_rows(in, indices, 1, size, size);
      job.dtype = uint8;
      job.in = bytes.data();
      kernels->sort(job, 0, 1);
      wrong[stream] += wrong_rows(of_bytes, indices, 1, size, size);
      job.dtype = float32;
      job.in = nearly_sorted.values.data();
      kernels->sort(job, 0, 1);
      wrong[stream] += wrong_rows(nearly_sorted, indices, 1, size, size);
      for (int kth : {100, size / 2, size - 100}) {
        job.kth = kth;
        job.dtype = uint8;
        job.in = bytes.data();
        kernels->sort(job, 0, 1);
        wrong[stream] += is_wrong_partition(of_bytes, indices, kth);
        job.dtype = float32;
        job.in = in.values.data();
        kernels->sort(job, 0, 1);
        wrong[stream] += is_wrong_partition(in, indices, kth);
      }
    }
  });
  CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
}

void test_every_part_runs_once_while_the_number_of_threads_changes() {
  std::atomic<bool> done{false};
  auto before = selection::threads();
  std::thread setter([&]() {
    for (int i = 0; !done; ++i) {
      selection::set_threads(1 + i % 8);
    }
  });
  std::vector<int> wrong(streams, 0);
  on_streams([&](int stream) {
    for (int64_t count = 1; count < 200; ++count) {
      // The elements are not atomic, so ThreadSanitizer reports two threads
      // that write the same element.
      std::vector<int> visits(count, 0);
      cpu::BusyThread busy;
      cpu::split_work(count, 3, selection::threads(), [&](auto i, auto last) {
        for (; i < last; ++i) {
          ++visits[i];
        }
        // Lets a helper wake up before this thread has done every part.
        std::this_thread::yield();
      });
      wrong[stream] += std::count(visits.begin(), visits.end(), 1) != count;
    }
  });
  done = true;
  setter.join();
  selection::set_threads(before);
  CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
}

// Each part waits for the other, so this takes two threads.
void test_a_helper_comes_whether_it_sleeps_or_is_awake() {
  using Clock = std::chrono::steady_clock;
  cpu::BusyThread busy;
  std::atomic<int> alone{0};
  for (int i = 0; i < 20; ++i) {
    if (i % 2 == 0) {
      // By then the helper sleeps.
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::atomic<int> begun{0};
    auto end = Clock::now() + std::chrono::seconds(30);
    cpu::run_parts(2, 2, [&](int64_t) {
      ++begun;
      while (begun < 2 && Clock::now() < end) {
        std::this_thread::yield();
      }
      alone += begun < 2;
    });
  }
  CHECK(alone == 0);
}

void test_an_exception_of_a_part_reaches_the_caller() {
  std::vector<std::string> messages(streams);
  on_streams([&](int stream) {
    cpu::BusyThread busy;
    messages[stream] = error_of<std::runtime_error>([&]() {
      cpu::run_parts(20, streams + 2, [&](int64_t part) {
        if (part == 7) {
          throw std::runtime_error("part 7");
        }
      });
    });
  });
  CHECK(messages == std::vector<std::string>(streams, "part 7"));
}

} // namespace

void run_thread_pool_tests() {
  test_streams_that_divide_their_rows_get_right_results();
  test_streams_that_divide_a_long_row_get_right_results();
  test_streams_that_divide_a_sort_or_partition_get_right_results();
  test_every_part_runs_once_while_the_number_of_threads_changes();
  test_a_helper_comes_whether_it_sleeps_or_is_awake();
  test_an_exception_of_a_part_reaches_the_caller();
}
