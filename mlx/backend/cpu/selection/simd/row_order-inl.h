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
  /** How many steps add() looks at. */
  template <typename T>
  static constexpr size_t count = lanes<T>;

  /** Adds the first ``steps`` of the steps between ``count`` + 1 elements. */
  template <typename T>
  void add(const T* from, RankOf<T> rank, size_t steps = count<T>) {
    // Each step is as many bits as an element has bytes.
    auto wanted = ~uint64_t(0) >> (64 - steps * sizeof(T));
    bool greatest_is_best = rank.flip != 0;
    if constexpr (std::is_same_v<T, bool>) {
      add(reinterpret_cast<const uint8_t*>(from),
          RankOf<uint8_t>(
              greatest_is_best ? Ranking::descending : Ranking::ascending),
          steps);
    } else if constexpr (std::is_arithmetic_v<T>) {
      add_steps<T>(load(from), load(from + 1), greatest_is_best, wanted);
    } else if constexpr (sizeof(T) == 2) {
      add_steps<T>(keys(from), keys(from + 1), greatest_is_best, wanted);
    } else {
      Rank<T> ranks[count<T> + 1];
      for (size_t i = 0; i <= count<T>; ++i) {
        ranks[i] = rank(from[i]);
      }
      add_steps<T>(load(ranks), load(ranks + 1), false, wanted);
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

 private:
  // Takes a row of float or double with NaN as being in no order.
  template <typename T, typename V>
  void add_steps(V before, V next, bool greatest_is_best, uint64_t wanted) {
    auto steps = [&](auto mask) {
      return mask_bits((Vector<uint8_t>)mask) & wanted;
    };
    auto greater = steps(next > before);
    auto less = steps(next < before);
    bool level = (greater | less) != wanted;
    bool nan = std::is_floating_point_v<T> && level &&
        (greater | less | steps(next == before)) != wanted;
    up_ |= nan || (greatest_is_best ? greater : less) != 0;
    down_ |= nan || (greatest_is_best ? less : greater) != 0;
    level_ |= level;
  }

  // Returns the ordered keys of a vector of 2-byte floating-point elements.
  template <typename T>
  static Vector<uint16_t> keys(const T* from) {
    auto bits = load(reinterpret_cast<const uint16_t*>(from));
    auto sign = (Vector<uint16_t>)((Vector<int16_t>)bits >> 15);
    auto key = (((bits & 0x7fff) ^ sign) - sign) + infinity_bits<T>();
    return min_of(key, broadcast<uint16_t>(nan_key<T>()));
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
  constexpr auto count = Steps::count<T>;
  T copy[count + 1] = {};
  auto all = row.size - 1;
  if (all < count) {
    for (size_t i = 0; i < row.size; ++i) {
      copy[i] = row[i];
    }
    all > 0 ? steps.add(copy, rank, all) : void();
    return steps.order();
  }
  for (size_t i = 0; i < all && steps.in_order(); i += count) {
    // The last steps are added twice rather than one by one.
    auto first = std::min(i, all - count);
    steps.add(row.contiguous(first, count + 1, copy), rank);
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
