// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the k best of a short row, for small k. The whole row is kept as ranks
// on the stack. A bound that at least k elements reach discards most others.
//
// Invariant: every element that is at least as good as the k-th best is kept,
// so ties, and NaN, are decided later, by rank and index. Time: linear. Memory:
// the ranks of the row, on the stack. k is from 1 to TopKTuning::short_row_k,
// and may be the size of the row.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/sort-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** A row of at most this size is kept whole: a bound would cost more. */
constexpr size_t kept_whole_size = 16;

inline bool is_short_row(size_t size, size_t k) {
  return size <= TopKTuning::short_row_size && k <= TopKTuning::short_row_k;
}

/**
 * Returns a bound such that at least k ranks are <= the bound. Divides the
 * ranks evenly among slots and finds the best rank of each slot. The k-th best
 * of these is the bound. Returns the worst rank if the row is too short for the
 * slots.
 */
template <typename R>
R bound_of_slots(const R* ranks, size_t padded, size_t k) {
  constexpr size_t width = lanes<R>;
  // With 2 k slots, few more than k elements reach the bound.
  auto size = round_up(2 * k, width);
  if (2 * size > padded) {
    return worst<R>;
  }
  alignas(64) R slots[2 * TopKTuning::short_row_k + 8 * width];
  for (size_t s = 0; s < size; s += width) {
    auto best = load(ranks + s);
    for (size_t i = s + size; i < padded; i += size) {
      best = min_of(best, load(ranks + i));
    }
    store(slots + s, best);
  }
  network_sort(slots, size);
  return slots[k - 1];
}

/**
 * Copies the ranks that are <= ``bound``, with their indices. Returns how many
 * were copied. Takes one step for each copied element, which is faster than
 * filter() where few of them are copied.
 */
template <typename R>
size_t
filter_sparse(const R* ranks, size_t padded, R bound, Candidates<R> kept) {
  auto limit = broadcast(bound);
  size_t count = 0;
  for (size_t i = 0; i < padded;) {
    uint64_t bits = 0;
    auto base = i;
    for (size_t shift = 0; shift < 64 && i < padded; shift += lanes<R>) {
      bits |= mask_bits(load(ranks + i) <= limit) << shift;
      i += lanes<R>;
    }
    if (front_lanes_is_fast && std::popcount(bits) > 16) {
      // Many tie at the bound.
      Candidates<R> to{kept.ranks + count, kept.indices + count};
      count +=
          filter<R>(ranks + base, nullptr, base, i - base, up_to(bound), to);
      continue;
    }
    for (; bits != 0; bits &= bits - 1, ++count) {
      auto at = base + std::countr_zero(bits);
      kept.ranks[count] = ranks[at];
      kept.indices[count] = at;
    }
  }
  return count;
}

/** Keeps the k best of the row, and perhaps others; returns how many. */
template <typename T>
size_t short_row_candidates(
    const Row<T>& row,
    RankOf<T> rank,
    size_t k,
    Candidates<Rank<T>> kept) {
  using R = Rank<T>;
  if (row.size <= kept_whole_size) {
    load_ranks(row, rank, 0, row.size, kept.ranks);
    std::iota(kept.indices, kept.indices + row.size, 0);
    return row.size;
  }
  alignas(64) R ranks[TopKTuning::short_row_size + lanes<R>];
  load_ranks(row, rank, 0, row.size, ranks);
  auto padded = pad_ranks(ranks, row.size);
  auto bound = bound_of_slots(ranks, padded, k);
  auto count = filter_sparse(ranks, padded, bound, kept);
  // If the bound is the worst rank, padding is kept too, at the end.
  return std::min(count, row.size);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
