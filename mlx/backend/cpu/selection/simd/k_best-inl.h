// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds exactly the k best of a row, in ascending order of index, and which of
// them is worst. If k is small, also sorts them. Partitions use this, since
// they also have to write all the other elements. Takes linear time. Memory:
// what short_row or bounded needs to find the candidates, and up to two arrays
// for the candidates. k is from 1 to the size of the row.

#pragma once

#include "mlx/backend/cpu/selection/simd/bounded-inl.h"
#include "mlx/backend/cpu/selection/simd/short_row-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

template <typename T, Ranking ranking>
class KBestOfRow {
  using R = Rank<T>;

 public:
  KBestOfRow(size_t size, size_t k, Ties ties, int64_t threads)
      : k_(k),
        ties_(ties),
        threads_(threads),
        is_short_(is_short_row(size, k)),
        kept_(size * is_short_) {
    if (!is_short_) {
      bounded_.emplace(size, k, ties);
    }
  }

  /**
   * Returns the indices of the k best, in ascending order. They are valid until
   * the next call. The ranks in the result are unspecified.
   */
  Candidates<R> find(const Row<T>& row) {
    auto kept = kept_.candidates();
    size_t count;
    if (is_short_) {
      count = short_row_candidates(row, RankOf<T>(ranking), k_, kept);
    } else {
      count = bounded_->find(row, threads_);
      kept = bounded_->candidates();
    }
    // Ties may make the candidates many. A split takes linear time then.
    bool few = count <= std::min(network_size, 2 * k_ + 64);
    if (sizeof(R) == 4 && few) {
      keep_by_words(kept, count);
    } else {
      keep_by_split(kept, count);
    }
    return kept;
  }

  /** Whether k is so small that in_order() is available. */
  static bool orders(size_t k) {
    return k <= TopKTuning::ordered_k;
  }

  /**
   * Returns the indices in the latest result of find() in stable order: the
   * best element first for Ties::first, and last for Ties::last. Among equal
   * elements the lower index comes first in both.
   */
  const uint32_t* in_order() const {
    return in_order_;
  }

  /**
   * Returns the position of the worst candidate in the latest result of find().
   * Of several with the same rank it is the one that ``ties`` chooses last.
   */
  size_t worst_position() const {
    return worst_;
  }

 private:
  // Keeps the k best of few candidates. Sorts words by a network to find the
  // k-th best. Words compare as ranks do. Among equal ranks, the word of the
  // candidate that ``ties_`` chooses first is the least.
  void keep_by_words(Candidates<R> all, size_t count) {
    alignas(64) LongWord words[network_size];
    bool first = ties_ == Ties::first;
    // Maps the position of a candidate to the lower bits of its word, and back.
    uint32_t flip = first ? 0 : network_size - 1;
    for (size_t i = 0; i < count; ++i) {
      words[i] = pack<LongWord>(all.ranks[i], i ^ flip);
    }
    network_sort(words, count);
    if (orders(k_)) {
      for (size_t i = 0; i < k_; ++i) {
        auto position = index_of(words[i]) ^ flip;
        in_order_[first ? i : k_ - 1 - i] = all.indices[position];
      }
    }
    auto kth = words[k_ - 1];
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
      auto word = pack<LongWord>(all.ranks[i], i ^ flip);
      all.indices[kept] = all.indices[i];
      worst_ = word == kth ? kept : worst_;
      kept += word <= kth;
    }
  }

  // Keeps the k best of many candidates, or of ranks too wide for words.
  void keep_by_split(Candidates<R> all, size_t count) {
    scratch_.reserve(count);
    auto found =
        split_up_to_bound<R>(all.ranks, count, k_, scratch_.candidates());
    copy_k_best(all.ranks, all.indices, count, k_, found, ties_, all);
    auto end = all.ranks + k_;
    worst_ = std::find(all.ranks, end, found.rank) - all.ranks;
    if (ties_ == Ties::first) {
      for (size_t i = worst_; i < k_; ++i) {
        worst_ = all.ranks[i] == found.rank ? i : worst_;
      }
    }
    if (orders(k_)) {
      order_by_ranks(all);
    }
  }

  // Overwrites the ranks of the k candidates.
  void order_by_ranks(Candidates<R> all) {
    // With the best element last, the order is that of the complements.
    for (size_t i = 0; i < k_ && ties_ == Ties::last; ++i) {
      all.ranks[i] = ~all.ranks[i];
    }
    uint32_t positions[counting_size];
    counting_sort(all.ranks, k_, positions);
    for (size_t i = 0; i < k_; ++i) {
      in_order_[i] = all.indices[positions[i]];
    }
  }

  size_t k_;
  Ties ties_;
  int64_t threads_;
  bool is_short_;
  size_t worst_{0};
  uint32_t in_order_[TopKTuning::ordered_k];
  CandidateBuffer<R> kept_;
  CandidateBuffer<R> scratch_{0};
  std::optional<BoundedTopK<T, ranking>> bounded_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
