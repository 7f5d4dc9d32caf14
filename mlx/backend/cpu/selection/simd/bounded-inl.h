// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the k best of a long row, for k much less than its size.
//
// The first pass divides the row among slots and finds the best score of each.
// The k-th best of the slots' scores is a bound that at least k elements reach.
// The pass also notes the best scores of each chunk of the row. The second pass
// scans the chunks that have an element which reaches the bound, and keeps the
// elements that do. When the candidates fill their memory, only the k best
// stay, and the bound is raised to the worst of them. At least k new candidates
// come between two such steps, and each step takes O(k): so the time is linear,
// whatever the row.
//
// The second pass goes backward if the last of several ties are chosen, and
// forward otherwise. So once it has k candidates, an element that ties with the
// worst of them is not chosen any more.
//
// Invariant: each element that can be one of the k best is a candidate or has
// not been scanned yet. Candidates are in ascending order of index. Ties, and
// NaN, are decided by rank and index, in tighten() or by the caller.
//
// k is from 1 to the size of the row. The search is fast if k is at most an
// eighth of the size. Memory: a bit more than 4 k candidates; 4 k to 8 k scores
// for each part into which the first pass is divided; 4 k to 8 k ranks; a
// vector of scores for each chunk. The vectors of all chunks together have 1/64
// as many scores as the row has elements if k is small, and at most 1/8 as
// many. docs/topk.md gives the sum.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/score-inl.h"
#include "mlx/backend/cpu/selection/simd/sorting_network-inl.h"
#include "mlx/backend/cpu/selection/simd/split-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

template <typename T, Ranking ranking>
class BoundedTopK {
  using S = Score<T, ranking>;
  using Lane = typename S::Lane;
  using V = Vector<Lane>;
  using R = Rank<T>;
  static constexpr size_t width = lanes<Lane>;
  // A chunk is chunk_vectors_ consecutive vectors of the row, which are divided
  // into blocks of block_vectors_ vectors. Each lane of a slot vector is one
  // slot. The best score in lane l of a block's vectors goes to lane l of one
  // slot vector.
  // The scores of small chunks take much memory: each chunk has a vector.
  static constexpr size_t min_chunk_vectors = vector_bytes == 64 ? 16 : 8;
  static constexpr size_t max_chunk_vectors = 64;
  // Elements scanned between two checks of the candidates' capacity.
  static constexpr size_t step = S::group;

 public:
  BoundedTopK(size_t size, size_t k, Ties ties)
      : k_(k),
        ties_(ties),
        slot_vectors_(std::bit_ceil((4 * k + width - 1) / width)),
        block_vectors_(block_vectors(size)),
        chunk_vectors_(chunk_vectors(size)),
        chunk_(chunk_vectors_ * width),
        chunks_(size / chunk_),
        capacity_(2 * k + 256),
        chunk_scores_(chunks_ * width),
        kept_(capacity_ + step),
        scratch_(capacity_ + step) {}

  /**
   * Sets candidates() to the k best of the row and perhaps others. Returns how
   * many candidates there are. The first pass is divided among up to
   * ``threads`` threads.
   */
  size_t find(const Row<T>& row, int64_t threads) {
    find_bound(row, threads);
    count_ = 0;
    ranked_ = 0;
    can_improve_ = true;
    auto rest = chunks_ * chunk_;
    if (backward()) {
      scan<true>(row, rest, row.size - rest);
      scan_chunks<true>(row);
    } else {
      scan_chunks<false>(row);
      scan<false>(row, rest, row.size - rest);
    }
    add_ranks(row);
    return count_;
  }

  /** Returns the result of the latest find(). */
  Candidates<R> candidates() const {
    auto kept = kept_.candidates();
    auto first = backward() ? capacity_ + step - count_ : 0;
    return {kept.ranks + first, kept.indices + first};
  }

 private:
  // Whether the second pass goes from the last element to the first. Then the
  // candidates fill their memory from its end on, to be in ascending order.
  bool backward() const {
    return ties_ == Ties::last;
  }

  // Returns how many vectors form a block: 8, or fewer in a row that would
  // otherwise have fewer than 32 blocks, or fewer than there are slot vectors.
  // A block has at least one vector.
  size_t block_vectors(size_t size) const {
    size_t vectors = 8;
    auto blocks = std::max<size_t>(slot_vectors_, 32);
    while (vectors > 1 && vectors * blocks * width > size) {
      vectors /= 2;
    }
    return vectors;
  }

  // Returns how many vectors form a chunk: so few that most chunks of a random
  // row have none of the k best, and so many that their scores take little
  // memory.
  size_t chunk_vectors(size_t size) const {
    auto vectors = max_chunk_vectors;
    while (vectors > min_chunk_vectors && vectors * width * 16 * k_ > size) {
      vectors /= 2;
    }
    return vectors;
  }

  // ---- the bound -----------------------------------------------------------

  // Sets the bound from one pass over the row. Leaves out the elements after
  // the last complete chunk. Each part of the pass has its own slots, so that
  // parts can run on different threads.
  void find_bound(const Row<T>& row, int64_t threads) {
    // At least 4 k slots.
    auto slots_per_part = slot_vectors_ * width;
    // If there are several parts, their slots together are at most an eighth as
    // many as the row has elements.
    auto most_parts =
        std::min<int64_t>(2 * threads, row.size / (8 * slots_per_part));
    auto parts = threads == 1
        ? 1
        : std::clamp<int64_t>(
              row.size >> 17, 1, std::max<int64_t>(most_parts, 1));
    slots_.reserve(slots_per_part * parts);
    auto slots = slots_.get();
    std::fill(slots, slots + slots_per_part * parts, S::lowest());
    auto part = [&](int64_t p) {
      auto first = p * chunks_ / parts;
      auto last = (p + 1) * chunks_ / parts;
      switch (block_vectors_) {
        case 8:
          return score_chunks<8>(row, first, last, slots + p * slots_per_part);
        case 4:
          return score_chunks<4>(row, first, last, slots + p * slots_per_part);
        case 2:
          return score_chunks<2>(row, first, last, slots + p * slots_per_part);
        default:
          return score_chunks<1>(row, first, last, slots + p * slots_per_part);
      }
    };
    run_parts(parts, threads, part);
    // Combine the slots of all parts in the slots of the first part.
    for (auto more = slots + slots_per_part;
         more < slots + slots_per_part * parts;
         more += slots_per_part) {
      for (size_t i = 0; i < slots_per_part; ++i) {
        slots[i] = more[i] > slots[i] ? more[i] : slots[i];
      }
    }
    ranks_.reserve(slots_per_part);
    for (size_t i = 0; i < slots_per_part; ++i) {
      ranks_.get()[i] = S::rank_of(slots[i]);
    }
    auto bound = bound_of(ranks_.get(), slots_per_part);
    // In ascending floats, a slot that has only NaN has the score of +infinity.
    // If the bound may come from such a slot, every element must reach it.
    set_bound(must_compare_ranks(bound) ? worst<R> : bound);
  }

  // Returns a bound that at least k of the slots' ranks reach, and few more.
  // May reorder the ranks.
  R bound_of(R* ranks, size_t count) {
    if (count <= 256) {
      network_sort(ranks, count);
      return ranks[k_ - 1];
    }
    return bisect(ranks, count, k_, k_ / 16);
  }

  // Updates the best scores in ``slots`` with those of the chunks [first,
  // last), and sets the best scores of each of these chunks. A block has
  // ``vectors`` vectors. The blocks go to the slot vectors in turn.
  template <size_t vectors>
  void score_chunks(const Row<T>& row, size_t first, size_t last, Lane* slots) {
    T copy[max_chunk_vectors * width];
    size_t slot = 0;
    auto slot_mask = slot_vectors_ - 1;
    for (auto c = first; c < last; ++c) {
      auto data = row.contiguous(c * chunk_, chunk_, copy);
      auto best = broadcast(S::lowest());
      V nan_seen{};
      for (size_t b = 0; b < chunk_vectors_; b += vectors) {
        // If the first score is NaN, so is the best of the block. Then neither
        // the slots nor the best of the chunk change.
        auto best_of_block = S::load_scores(data);
        // Each block notes NaN by itself, so that it need not wait for the
        // block before.
        auto nan_seen_in_block = best_of_block;
        data += width;
#pragma GCC unroll 8
        for (size_t i = 1; i < vectors; ++i, data += width) {
          auto score = S::load_scores(data);
          best_of_block = max_of(score, best_of_block);
          if constexpr (S::native) {
            S::note_nan(nan_seen_in_block, score);
          }
        }
        if constexpr (S::native) {
          S::note_nan(nan_seen, nan_seen_in_block);
        }
        auto to = slots + slot * width;
        store(to, max_of(best_of_block, load(to)));
        best = max_of(best_of_block, best);
        slot = (slot + 1) & slot_mask;
      }
      if constexpr (S::native) {
        best =
            S::may_have_nan(nan_seen) ? broadcast(S::always_reaches()) : best;
      }
      store(chunk_scores_.get() + c * width, best);
    }
  }

  // In ascending floats NaN is worst, and its score reaches no bound. Returns
  // whether ``bound`` is so bad that only ranks tell which elements reach it.
  static bool must_compare_ranks(R bound) {
    if constexpr (S::native && !S::descending) {
      RankOf<T> rank(ranking);
      return bound >= rank(std::numeric_limits<T>::infinity());
    } else {
      return false;
    }
  }

  void set_bound(R bound) {
    // Ranks of narrow types have fewer bits than R.
    rank_bound_ = std::min<R>(bound, worst<OrderedKey<T>>);
    compare_ranks_ = must_compare_ranks(bound);
    if (!compare_ranks_) {
      bound_ = broadcast(S::bound_of(rank_bound_));
    }
  }

  // ---- the candidates ------------------------------------------------------

  bool chunk_reaches(size_t c) const {
    return compare_ranks_ ||
        any_of(S::reaches(load(chunk_scores_.get() + c * width), bound_));
  }

  // Sets ``reaching`` to those of the chunks [first, last) that may have an
  // element which reaches the bound, and returns how many they are.
  size_t reaching_chunks(size_t first, size_t last, uint32_t* reaching) const {
    size_t count = 0;
    for (auto c = first; c < last; ++c) {
      reaching[count] = c;
      count += chunk_reaches(c);
    }
    return count;
  }

  // Scans the chunks that may have an element which reaches the bound.
  template <bool backward>
  void scan_chunks(const Row<T>& row) {
    constexpr size_t most = 512;
    uint32_t reaching[most];
    for (size_t done = 0; done < chunks_ && can_improve_; done += most) {
      auto count = std::min(most, chunks_ - done);
      auto first = backward ? chunks_ - done - count : done;
      count = reaching_chunks(first, first + count, reaching);
      for (size_t i = 0; i < count && can_improve_; ++i) {
        auto c = reaching[backward ? count - 1 - i : i];
        // The bound may have been raised since.
        if (chunk_reaches(c)) {
          scan<backward>(row, c * chunk_, chunk_);
        }
      }
    }
  }

  // Adds the elements of at most one chunk that reach the bound.
  template <bool backward>
  void scan(const Row<T>& row, size_t first, size_t size) {
    T copy[max_chunk_vectors * width];
    auto data = row.contiguous(first, size, copy);
    row.prefetch_next(first, size);
    auto last = round_up(size, step) - step;
    for (size_t done = 0; done < size && can_improve_; done += step) {
      auto i = backward ? last - done : done;
      auto end = std::min(i + step, size);
      auto bits = compare_ranks_ || end < i + step
          ? bits_by_rank(data + i, end - i)
          : S::group_reaches(data + i, bound_);
      backward ? add_backward(first + i, bits) : add(first + i, bits);
      if (count_ > capacity_) {
        tighten(row);
      }
    }
  }

  // Returns one bit for each of up to 64 elements: whether its rank reaches the
  // bound.
  uint64_t bits_by_rank(const T* data, size_t size) const {
    uint64_t bits = 0;
    for (size_t i = 0; i < size; ++i) {
      bits |= uint64_t(RankOf<T>(ranking)(data[i]) <= rank_bound_) << i;
    }
    return bits;
  }

  void add(size_t first, uint64_t bits) {
    auto to = kept_.candidates().indices + count_;
    count_ += write_indices_of_bits(bits, first, to);
  }

  void add_backward(size_t first, uint64_t bits) {
    count_ += write_indices_before(bits, first, candidates().indices);
  }

  // Sets the ranks of the candidates that were added since the last call.
  void add_ranks(const Row<T>& row) {
    auto all = candidates();
    RankOf<T> rank(ranking);
    auto first = backward() ? 0 : ranked_;
    auto last = first + count_ - ranked_;
    for (auto i = first; i < last; ++i) {
      all.ranks[i] = rank(row[all.indices[i]]);
    }
    ranked_ = count_;
  }

  // Drops all candidates but the k best, and raises the bound: an element that
  // is scanned later must be better than the worst of them. If none can be, the
  // search ends.
  void tighten(const Row<T>& row) {
    add_ranks(row);
    auto all = candidates();
    auto found = split<R>(all.ranks, count_, k_, scratch_.candidates());
    copy_k_best(all.ranks, all.indices, count_, k_, found, ties_, all);
    if (backward()) {
      std::copy_backward(all.ranks, all.ranks + k_, all.ranks + count_);
      std::copy_backward(all.indices, all.indices + k_, all.indices + count_);
    }
    count_ = ranked_ = k_;
    can_improve_ = found.rank > RankOf<T>(ranking).best();
    set_bound(found.rank - can_improve_);
  }

  size_t k_;
  Ties ties_;
  size_t slot_vectors_;
  size_t block_vectors_;
  size_t chunk_vectors_;
  size_t chunk_;
  size_t chunks_;
  size_t capacity_;
  Buffer<Lane> chunk_scores_;
  Buffer<Lane> slots_;
  Buffer<R> ranks_;
  CandidateBuffer<R> kept_;
  CandidateBuffer<R> scratch_;
  // The bound as scores and as a rank.
  V bound_{};
  R rank_bound_{0};
  // Set if scores cannot tell which elements reach the bound.
  bool compare_ranks_{false};
  size_t count_{0};
  // How many candidates have their ranks.
  size_t ranked_{0};
  // Whether an element that has not been scanned can still be chosen.
  bool can_improve_{true};
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
