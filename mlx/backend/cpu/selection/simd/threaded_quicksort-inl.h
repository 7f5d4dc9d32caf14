// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the keys of one long row on several threads. A sample of the keys gives
// pivots, which divide all keys into parts. First each thread takes shares,
// which are equal pieces of the array, and brings the keys of each share into
// the order of the parts. Then each thread takes parts: it gathers the keys of
// a part from all shares, sorts them, and writes them to their places.

#pragma once

#include "mlx/backend/cpu/selection/simd/quicksort-inl.h"
#include "mlx/backend/cpu/selection/threads.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Memory for ``count`` keys, and for as many others, to sort them in. */
template <typename E>
class SortMemory {
 public:
  explicit SortMemory(size_t count)
      : padded_(round_up(count, lanes<E>) + 2 * key_margin<E>),
        memory_(2 * padded_) {}

  E* keys() const {
    return memory_.get() + key_margin<E>;
  }

  E* other() const {
    return keys() + padded_;
  }

 private:
  size_t padded_;
  Buffer<E> memory_;
};

template <typename E>
class ThreadedQuicksort {
  static constexpr size_t most_parts = 64;
  // The greater the sample, the less the parts differ in size.
  static constexpr size_t sample_of_part = 128;

 public:
  /** ``count`` is at least most_parts * sample_of_part. */
  ThreadedQuicksort(E* keys, E* other, size_t count, int64_t threads)
      : keys_(keys),
        other_(other),
        count_(count),
        threads_(threads),
        // More parts than threads, so that a thread whose parts are small takes
        // another one.
        parts_(std::bit_ceil(std::min<size_t>(4 * threads, most_parts))),
        pivots_(most_parts),
        begins_(parts_ * (parts_ + 1)) {}

  /** Writes the sorted keys to ``other``. Reorders ``keys``. */
  void sort() {
    pick_pivots();
    run_parts(parts_, threads_, [&](int64_t share) {
      auto begin = share_begin(share);
      divide(begin, share_begin(share + 1) - begin, 0, parts_, share);
      begin_of(share, parts_) = share_begin(share + 1);
    });
    run_parts(parts_, threads_, [&](int64_t part) { gather_and_sort(part); });
  }

 private:
  size_t share_begin(size_t share) const {
    return share * count_ / parts_;
  }

  // Where the keys of a part begin in a share that is divided.
  size_t& begin_of(size_t share, size_t part) const {
    return begins_.get()[share * (parts_ + 1) + part];
  }

  // Sets pivots_ to the greatest key of each part.
  void pick_pivots() {
    auto size = sample_of_part * parts_;
    SortMemory<E> memory(size);
    auto sample = memory.keys();
    for (size_t i = 0; i < size; ++i) {
      sample[i] = keys_[i * count_ / size];
    }
    quicksort(sample, memory.other(), size);
    for (size_t p = 0; p + 1 < parts_; ++p) {
      pivots_.get()[p] = sample[(p + 1) * sample_of_part - 1];
    }
    pivots_.get()[parts_ - 1] = std::numeric_limits<E>::max();
  }

  // Brings ``count`` keys from ``begin`` on into the order of their parts,
  // which are [part, part + parts), and sets begin_of() for each of them.
  void
  divide(size_t begin, size_t count, size_t part, size_t parts, size_t share) {
    if (parts == 1) {
      begin_of(share, part) = begin;
      return;
    }
    parts /= 2;
    auto low = partition(begin, count, pivots_.get()[part + parts - 1]);
    divide(begin, low, part, parts, share);
    divide(begin + low, count - low, part + parts, parts, share);
  }

  // Partitions the keys in their place. Returns how many are at most ``pivot``.
  // Neighbours belong to other threads, so they are left alone.
  size_t partition(size_t begin, size_t count, E pivot) {
    auto keys = keys_ + begin;
    auto other = other_ + begin;
    if (count < lanes<E>) {
      auto is_low = [=](E key) { return key <= pivot; };
      return std::partition(keys, keys + count, is_low) - keys;
    }
    auto low = partition_keys<PivotSide::low, E, Outside::kept>(
        keys, other, count, pivot);
    std::copy(other + low, other + count, keys + low);
    return low;
  }

  // Sorts the keys of a part in memory of its own, since a sort rewrites keys
  // of its neighbours.
  void gather_and_sort(size_t part) {
    size_t place = 0;
    size_t size = 0;
    for (size_t share = 0; share < parts_; ++share) {
      place += begin_of(share, part) - share_begin(share);
      size += begin_of(share, part + 1) - begin_of(share, part);
    }
    SortMemory<E> memory(size);
    auto own = memory.keys();
    auto to = own;
    for (size_t share = 0; share < parts_; ++share) {
      auto first = keys_ + begin_of(share, part);
      to = std::copy(first, keys_ + begin_of(share, part + 1), to);
    }
    auto all = all_keys_to_sort(own, memory.other(), size);
    all.most = pivots_.get()[part];
    sort_part(all);
    std::copy_n(own, size, other_ + place);
  }

  E* keys_;
  E* other_;
  size_t count_;
  int64_t threads_;
  size_t parts_;
  Buffer<E> pivots_;
  Buffer<size_t> begins_;
};

/**
 * Sorts keys[0 .. count) on up to ``threads`` threads. Returns the array that
 * holds the sorted keys, which is ``keys`` or ``other``. Overwrites the rest.
 */
template <typename E>
[[gnu::always_inline]] inline E*
quicksort_on_threads(E* keys, E* other, size_t count, int64_t threads) {
  if (threads == 1) {
    quicksort(keys, other, count);
    return keys;
  }
  ThreadedQuicksort<E>(keys, other, count, threads).sort();
  return other;
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
