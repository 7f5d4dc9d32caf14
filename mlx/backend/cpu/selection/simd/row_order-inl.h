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
 * best_last_with_copies: the row is the reverse of such a sort, and elements
 *                        that tie have the same bits.
 * best_last_with_ties: as best_last, but some elements tie whose bits differ.
 */
enum class RowOrder {
  best_first,
  best_last,
  best_last_with_copies,
  best_last_with_ties,
  neither
};

/**
 * Looks at the steps from one element to the next. A step is up if the second
 * element is better than the first, down if it is worse, and level if they tie.
 */
class Steps {
 public:
  /** How many steps add() looks at. */
  template <typename T>
  static constexpr size_t count = lanes<T>;

  /**
   * Adds the steps from before[i] to next[i] for i < ``steps``. Reads ``count``
   * elements of both.
   */
  template <typename T>
  [[gnu::always_inline]] inline void
  add(const T* before, const T* next, RankOf<T> rank, size_t steps = count<T>) {
    // Each step is as many bits as an element has bytes.
    auto wanted = ~uint64_t(0) >> (64 - steps * sizeof(T));
    bool greatest_is_best = rank.flip != 0;
    if constexpr (std::is_same_v<T, bool>) {
      add(reinterpret_cast<const uint8_t*>(before),
          reinterpret_cast<const uint8_t*>(next),
          RankOf<uint8_t>(
              greatest_is_best ? Ranking::descending : Ranking::ascending),
          steps);
    } else if constexpr (std::is_arithmetic_v<T>) {
      add_steps(before, load(before), next, load(next), rank, wanted);
    } else if constexpr (sizeof(T) == 2) {
      add_steps(before, keys(before), next, keys(next), rank, wanted);
    } else {
      // Complement the ranks of a descending order, in which keys are greater
      // if they are better.
      Rank<T> a[count<T>], b[count<T>];
      for (size_t i = 0; i < count<T>; ++i) {
        a[i] = rank(before[i]) ^ rank.flip;
        b[i] = rank(next[i]) ^ rank.flip;
      }
      add_steps(before, load(a), next, load(b), rank, wanted);
    }
  }

  /**
   * Adds the steps from before[i] to next[i] for i < ``steps``, which may be
   * any number, but stops when in_order() is false.
   */
  template <typename T>
  void add_all(const T* before, const T* next, RankOf<T> rank, size_t steps) {
    if (steps < count<T>) {
      T a[count<T>] = {};
      T b[count<T>] = {};
      std::copy(before, before + steps, a);
      std::copy(next, next + steps, b);
      steps > 0 ? add(a, b, rank, steps) : void();
      return;
    }
    for (size_t i = 0; i < steps && in_order(); i += count<T>) {
      // The last steps are added twice rather than one by one.
      auto first = std::min(i, steps - count<T>);
      add(before + first, next + first, rank);
    }
  }

  bool in_order() const {
    return !up_ || !down_;
  }

  RowOrder order() const {
    return !up_        ? RowOrder::best_first
        : down_        ? RowOrder::neither
        : ties_differ_ ? RowOrder::best_last_with_ties
        : level_       ? RowOrder::best_last_with_copies
                       : RowOrder::best_last;
  }

 private:
  // Adds the steps between the elements ``before`` and ``next``, given also as
  // vectors that compare as the elements do. Takes a row of float or double
  // with NaN as being in no order.
  template <typename T, typename V>
  [[gnu::always_inline]] inline void add_steps(
      const T* before,
      V from,
      const T* next,
      V to,
      RankOf<T> rank,
      uint64_t wanted) {
    auto steps = [&](auto mask) {
      return mask_bits((Vector<uint8_t>)mask) & wanted;
    };
    bool greatest_is_best = rank.flip != 0;
    auto greater = steps(to > from);
    auto less = steps(to < from);
    auto level = wanted & ~(greater | less);
    bool nan = false;
    if (!std::is_integral_v<T> && level != 0) {
      nan = std::is_floating_point_v<T> && (level & ~steps(to == from)) != 0;
      using Bits = OrderedKey<T>;
      auto same = load(reinterpret_cast<const Bits*>(before)) ==
          load(reinterpret_cast<const Bits*>(next));
      ties_differ_ |= (level & ~steps(same)) != 0;
    }
    up_ |= nan || (greatest_is_best ? greater : less) != 0;
    down_ |= nan || (greatest_is_best ? less : greater) != 0;
    level_ |= level != 0;
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
  bool ties_differ_{false};
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
    all > 0 ? steps.add(copy, copy + 1, rank, all) : void();
    return steps.order();
  }
  // With stride 0 all steps are the same.
  auto different = row.stride == 0 ? count : all;
  for (size_t i = 0; i < different && steps.in_order(); i += count) {
    // The last steps are added twice rather than one by one.
    auto first = std::min(i, all - count);
    auto from = row.contiguous(first, count + 1, copy);
    steps.add(from, from + 1, rank);
  }
  return steps.order();
}

/**
 * Calls use(first, last) for each run of several elements that tie, the last
 * run first. Leaves out runs before the last ``count`` elements.
 */
template <typename T, typename Use>
void for_each_tie_from_last(
    const Row<T>& row,
    RankOf<T> rank,
    size_t count,
    Use&& use) {
  using R = Rank<T>;
  constexpr size_t block = 64;
  R ranks[block + 1] = {};
  auto stop = row.size - count;
  // The end of the run whose start is not found yet.
  auto end = row.size;
  for (auto last = row.size; last > 0 && end > stop;) {
    auto first = last - std::min(last, block);
    auto before = first - (first > 0);
    load_ranks(row, rank, before, last - before, ranks + (before == first));
    uint64_t ties = 0;
    for (size_t i = 0; i < block; i += lanes<R>) {
      ties |= mask_bits(load(ranks + i) == load(ranks + i + 1)) << i;
    }
    auto all = ~uint64_t(0) >> (block - (last - first));
    auto starts = (~ties & all) | (first == 0);
    if (starts == all && end == last) {
      end = first;
      starts = 0;
    }
    while (starts != 0 && end > stop) {
      auto bit = 63 - std::countl_zero(starts);
      if (end - (first + bit) > 1) {
        use(first + bit, end);
      }
      end = first + bit;
      starts ^= uint64_t(1) << bit;
    }
    last = first;
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
