// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tells whether a row is in order already. Then sorts and partitions only have
// to copy it, which takes far less time than to sort it again.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * best_first: a stable sort, best element first, would leave the row as it is.
 * best_last: the row is the reverse of such a sort, and no two elements tie.
 * best_last_with_ties: as best_last, but some elements tie.
 */
enum class RowOrder { best_first, best_last, best_last_with_ties, neither };

/**
 * Looks at the steps from one element to the next. A step is up if the second
 * element is better than the first, down if it is worse, and level if they tie.
 */
class Steps {
 public:
  /** Adds the steps between the elements [first, first + count]. */
  template <typename T>
  void add(const Row<T>& row, RankOf<T> rank, size_t first, size_t count) {
    auto before = rank(row[first]);
    for (size_t i = first + 1; i <= first + count; ++i) {
      auto next = rank(row[i]);
      up_ |= next < before;
      down_ |= next > before;
      level_ |= next == before;
      before = next;
    }
  }

  /** Adds ``vector_steps`` steps between contiguous elements. */
  template <typename T>
  void add_vector(const T* from, RankOf<T> rank) {
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
      for (size_t i = 0; i < vector_steps; i += lanes<T>) {
        add_elements<T>(from + i, rank.flip != 0);
      }
    } else if constexpr (sizeof(T) <= 4) {
      add_ranks<uint32_t>(
          rank_vector<T>(load_bits<T>(from), rank),
          rank_vector<T>(load_bits<T>(from + 1), rank));
    } else {
      Rank<T> ranks[vector_steps + 1];
      for (size_t i = 0; i <= vector_steps; ++i) {
        ranks[i] = rank(from[i]);
      }
      for (size_t i = 0; i < vector_steps; i += lanes<Rank<T>>) {
        add_ranks<Rank<T>>(load(ranks + i), load(ranks + i + 1));
      }
    }
  }

  bool in_order() const {
    return !up_ || !down_;
  }

  RowOrder order() const {
    return !up_  ? RowOrder::best_first
        : down_  ? RowOrder::neither
        : level_ ? RowOrder::best_last_with_ties
                 : RowOrder::best_last;
  }

  static constexpr size_t vector_steps = lanes<uint32_t>;

 private:
  template <typename R>
  void add_ranks(Vector<R> before, Vector<R> next) {
    auto up = mask_bits(next < before);
    auto down = mask_bits(next > before);
    up_ |= up != 0;
    down_ |= down != 0;
    level_ |= (up | down) != (uint64_t(1) << lanes<R>)-1;
  }

  // Compares floating-point elements, which is quicker than to compare ranks.
  // Takes a row with NaN as being in no order.
  template <typename T>
  void add_elements(const T* from, bool greatest_is_best) {
    constexpr auto all = (uint64_t(1) << lanes<T>)-1;
    auto before = load(from);
    auto next = load(from + 1);
    auto greater = mask_bits(next > before);
    auto less = mask_bits(next < before);
    bool level = (greater | less) != all;
    bool nan = level && (greater | less | mask_bits(next == before)) != all;
    up_ |= nan || (greatest_is_best ? greater : less) != 0;
    down_ |= nan || (greatest_is_best ? less : greater) != 0;
    level_ |= level;
  }

  bool up_{false};
  bool down_{false};
  bool level_{false};
};

/**
 * Returns the order of a row. Reads the first elements only, unless these are
 * in order.
 */
template <typename T>
RowOrder order_of(const Row<T>& row, RankOf<T> rank) {
  Steps steps;
  constexpr auto count = steps.vector_steps;
  auto all = row.size - 1;
  if (all < count) {
    steps.add(row, rank, 0, all);
    return steps.order();
  }
  for (size_t i = 0; i < all && steps.in_order(); i += count) {
    // The last steps are added twice rather than one by one.
    auto first = std::min(i, all - count);
    if (row.stride == 1) {
      steps.add_vector(row.data + first, rank);
    } else {
      steps.add(row, rank, first, count);
    }
  }
  return steps.order();
}

/**
 * Calls write(place, index) for the k best elements, best first and in stable
 * order, of a row whose best elements are last.
 */
template <typename T, typename Write>
void write_from_last(
    const Row<T>& row,
    RankOf<T> rank,
    size_t k,
    Write&& write) {
  size_t place = 0;
  for (auto end = row.size; place < k;) {
    auto first = end - 1;
    auto tie = rank(row[first]);
    while (first > 0 && rank(row[first - 1]) == tie) {
      --first;
    }
    for (auto i = first; i < end && place < k; ++i) {
      write(place++, i);
    }
    end = first;
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
