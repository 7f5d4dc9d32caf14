// Copyright © 2026 the mlx-topk authors. MIT licence.

// Divides work among a pool of threads that all streams share. The calling
// thread works too, and waits only for parts that a helper has already started.
// So streams cannot deadlock, and everything also works without helpers. With
// one thread, work is a plain call. A helper that is done looks for more work
// before it sleeps.

#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace mlx::core::cpu {

/**
 * Counts the current thread as busy for as long as the object lives. run_parts
 * asks for fewer helpers, the more threads are busy.
 */
class BusyThread {
 public:
  BusyThread();
  ~BusyThread();
  BusyThread(const BusyThread&) = delete;
  BusyThread& operator=(const BusyThread&) = delete;
};

/**
 * Calls part(0), ..., part(parts - 1) in any order, on up to ``threads``
 * threads, and returns when all calls have returned. Rethrows the first
 * exception that a part threw. The caller must hold a BusyThread.
 */
void run_parts(
    int64_t parts,
    int64_t threads,
    const std::function<void(int64_t)>& part);

/**
 * Calls work(first, last) for ranges that together cover [0, count), each of
 * at least ``grain`` elements unless ``count`` is less.
 */
template <typename Work>
void split_work(int64_t count, int64_t grain, int64_t threads, Work&& work) {
  threads = std::min(threads, count / std::max<int64_t>(grain, 1));
  if (threads <= 1) {
    if (count > 0) {
      work(int64_t(0), count);
    }
    return;
  }
  // More parts than threads: a helper that starts late then takes fewer parts,
  // and the others need not wait for it.
  auto parts = std::min(4 * threads, count / grain);
  run_parts(parts, threads, [&](int64_t part) {
    work(part * count / parts, (part + 1) * count / parts);
  });
}

} // namespace mlx::core::cpu
