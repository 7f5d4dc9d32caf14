// Copyright © 2026 the mlx-topk authors. MIT licence.

// Divides the keys of one long row into buckets, so that several threads can
// sort it. Keys are any type for which rank_in() is defined.
//
// A sample gives the limits of the buckets. The row is divided into chunks. The
// first pass counts how many keys of each chunk belong to each bucket, the
// second copies the keys to their buckets. Both passes, and the sorts of the
// buckets, run in parallel. Keys keep their order within a bucket. Keys that
// are equal to a limit go to the bucket below it, so equal keys share a bucket.

#pragma once

#include "mlx/backend/cpu/selection/simd/sort-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** A row of at least this size is divided if there are several threads. */
constexpr size_t bucketed_size = size_t(1) << 16;

/** A part of the sorted row. */
struct Bucket {
  size_t number;
  // The place of its first key in the sorted row.
  size_t place;
  size_t count;
};

template <typename E>
class BucketSort {
  using R = decltype(rank_in(std::declval<E>()));
  static constexpr size_t block = 512;
  static constexpr size_t samples_per_bucket = 32;
  static constexpr size_t most_buckets = 64;

 public:
  BucketSort(size_t size, int64_t threads)
      : size_(size),
        threads_(threads),
        buckets_(std::min(most_buckets, std::bit_ceil<size_t>(4 * threads))),
        chunks_(4 * threads),
        limits_(buckets_),
        starts_(chunks_ * buckets_) {}

  /** How many keys the array of divide() has room for, at least. */
  static size_t padded(size_t size, size_t margin) {
    return size + (most_buckets + 1) * margin;
  }

  /**
   * Copies the keys of a row to ``to``, ordered by buckets. Before each bucket
   * are ``margin`` places that are not used. load(first, count, keys) writes
   * the keys [first, first + count) of the row to ``keys``. last_of(key)
   * returns the greatest key that must share a bucket with ``key``.
   */
  template <typename Load, typename LastOf>
  void divide(E* to, size_t margin, Load&& load, LastOf&& last_of) {
    margin_ = margin;
    choose_limits(load, last_of);
    run_parts(chunks_, threads_, [&](int64_t c) {
      size_t counts[most_buckets] = {};
      each_key(c, load, [&](const E&, size_t b) { ++counts[b]; });
      std::copy(counts, counts + buckets_, starts_.get() + c * buckets_);
    });
    count_to_starts();
    run_parts(chunks_, threads_, [&](int64_t c) {
      size_t next[most_buckets];
      for (size_t b = 0; b < buckets_; ++b) {
        next[b] = starts_.get()[c * buckets_ + b] + position_of(b);
      }
      each_key(c, load, [&](const E& key, size_t b) { to[next[b]++] = key; });
    });
  }

  size_t count() const {
    return buckets_;
  }

  Bucket bucket(size_t number) const {
    auto place = starts_.get()[number];
    auto end = number + 1 < buckets_ ? starts_.get()[number + 1] : size_;
    return {number, place, end - place};
  }

  /** Calls use(bucket) for each bucket that has a key, in parallel. */
  template <typename Use>
  void each_bucket(Use&& use) {
    run_parts(buckets_, threads_, [&](int64_t b) {
      if (bucket(b).count > 0) {
        use(bucket(b));
      }
    });
  }

  /** How far a bucket lies behind its place in the sorted row. */
  size_t position_of(size_t bucket) const {
    return (bucket + 1) * margin_;
  }

 private:
  template <typename Load, typename LastOf>
  void choose_limits(Load&& load, LastOf&& last_of) {
    auto count = samples_per_bucket * buckets_;
    Buffer<E> sample(2 * count);
    auto keys = sample.get();
    for (size_t i = 0; i < count; ++i) {
      load(size_ / count * i + i % (size_ / count), 1, keys + i);
    }
    keys = radix_sort<8>(keys, keys + count, count);
    for (size_t b = 0; b + 1 < buckets_; ++b) {
      auto last = keys[samples_per_bucket * (b + 1) - 1];
      limits_.get()[b] = rank_in(last_of(last));
    }
  }

  // Calls use(key, bucket) for each key of a chunk.
  template <typename Load, typename Use>
  void each_key(size_t chunk, Load&& load, Use&& use) {
    E keys[block];
    R ranks[block];
    R numbers[block];
    auto last = (chunk + 1) * size_ / chunks_;
    for (auto i = chunk * size_ / chunks_; i < last; i += block) {
      auto count = std::min(block, last - i);
      load(i, count, keys);
      for (size_t k = 0; k < count; ++k) {
        ranks[k] = rank_in(keys[k]);
        numbers[k] = 0;
      }
      for (size_t b = 0; b + 1 < buckets_; ++b) {
        auto limit = limits_.get()[b];
        for (size_t k = 0; k < count; ++k) {
          numbers[k] += ranks[k] > limit;
        }
      }
      for (size_t k = 0; k < count; ++k) {
        use(keys[k], numbers[k]);
      }
    }
  }

  // Turns the counts of each chunk and bucket into places of the sorted row.
  void count_to_starts() {
    size_t place = 0;
    for (size_t b = 0; b < buckets_; ++b) {
      for (size_t c = 0; c < chunks_; ++c) {
        auto& start = starts_.get()[c * buckets_ + b];
        place += std::exchange(start, place);
      }
    }
  }

  size_t size_;
  int64_t threads_;
  size_t buckets_;
  size_t chunks_;
  size_t margin_{0};
  Buffer<R> limits_;
  // For each chunk and bucket the number of keys, then the place of the first.
  Buffer<size_t> starts_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
