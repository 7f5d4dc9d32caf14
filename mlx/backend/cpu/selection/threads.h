// Copyright © 2026 the mlx-topk authors. MIT licence.

// Work shared among a pool of threads. A stream's own thread always works, and
// waits for nobody who has not begun, so that any number of streams can share
// the pool and none is needed: with one thread, work is a plain call.

#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace mlx::core::cpu {

/** A thread while it is at work, for others to leave it its share. */
class AtWork {
 public:
  AtWork();
  ~AtWork();
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;
};

/**
 * part(0), ..., part(parts - 1), in any order; returns when all are done. Who
 * calls is AtWork.
 */
void run_parts(
    int64_t parts,
    int64_t threads,
    const std::function<void(int64_t)>& part);

/** work(from, to) over [0, count), in parts of at least ``grain``. */
template <typename Work>
void split_work(int64_t count, int64_t grain, int64_t threads, Work&& work) {
  threads = std::min(threads, count / std::max<int64_t>(grain, 1));
  if (threads <= 1) {
    if (count > 0) {
      work(int64_t(0), count);
    }
    return;
  }
  // More parts than threads, as some threads come late.
  auto parts = std::min(4 * threads, count / grain);
  run_parts(parts, threads, [&](int64_t part) {
    work(part * count / parts, (part + 1) * count / parts);
  });
}

} // namespace mlx::core::cpu
