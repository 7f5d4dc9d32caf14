// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the elements that a stable sort of some ranks has at a few places, by
// selecting. Takes linear time for each place, and one pass for a place that
// follows another: the next rank is the least of those that are greater.
// Memory: up to three arrays of ranks.

#pragma once

#include "mlx/backend/cpu/selection/simd/partition_row-inl.h"
#include "mlx/backend/cpu/selection/simd/split-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** A place of the sorted row, and the place of the output that asks for it. */
struct PlaceWanted {
  uint32_t place;
  uint32_t output;
};

/** How many keys are equal to a key, and the least key that is greater. */
template <typename E>
struct KeysAbove {
  size_t equal;
  E next;
};

template <typename E>
[[gnu::noinline]] KeysAbove<E> keys_above(const E* keys, size_t count, E key) {
  using Count = std::make_unsigned_t<E>;
  constexpr auto width = lanes<E>;
  constexpr auto most = std::numeric_limits<E>::max();
  auto pattern = broadcast(key);
  auto next = broadcast(most);
  Vector<Count> equal{};
  size_t i = 0;
  for (; i + width <= count; i += width) {
    auto v = load(keys + i);
    // A comparison is -1 where it is true.
    equal -= (Vector<Count>)(v == pattern);
    next = min_of(next, v > pattern ? v : broadcast(most));
  }
  KeysAbove<E> above{0, most};
  for (size_t l = 0; l < width; ++l) {
    above.equal += equal[l];
    above.next = std::min<E>(above.next, next[l]);
  }
  for (; i < count; ++i) {
    above.equal += keys[i] == key;
    above.next = keys[i] > key ? std::min(above.next, keys[i]) : above.next;
  }
  return above;
}

/** Finds places among up to ``size`` ranks. */
template <typename R>
class PlaceFinder {
  // quickselect() compares signed integers, split() compares ranks.
  using Key = std::conditional_t<quicksort_is_fast, std::make_signed_t<R>, R>;
  static constexpr auto margin = key_margin<Key>;

 public:
  explicit PlaceFinder(size_t size)
      : keys_(size + 2 * margin),
        selected_(quicksort_is_fast ? size + 2 * margin : 0),
        other_(size + 2 * margin + 16) {}

  /** Sets rank ``i`` of those in which find() looks. */
  void set(size_t i, R rank) {
    keys()[i] = static_cast<Key>(rank ^ sign);
  }

  /**
   * Calls found(wanted, position) for each of the ``wanted`` places, which are
   * in ascending order. ``position`` is that of the rank which a stable sort of
   * the first ``count`` ranks has at the place. Counts places from ``first``.
   */
  template <typename Found>
  void find(
      size_t count,
      const PlaceWanted* wanted,
      size_t places,
      size_t first,
      Found&& found) {
    // ``less`` keys are less than ``key``, and ``up_to`` are at most ``key``.
    Selected<Key> at{};
    size_t up_to = 0;
    Key next{};
    for (size_t w = 0; w < places; ++w) {
      auto place = wanted[w].place - first;
      bool is_new = w == 0 || place >= up_to;
      if (is_new) {
        at = w > 0 && place == up_to ? Selected<Key>{next, up_to}
                                     : select(count, place);
        if (wanted[places - 1].place > wanted[w].place) {
          auto above = keys_above<Key>(keys(), count, at.key);
          up_to = at.less + above.equal;
          next = above.next;
        } else {
          up_to = count;
        }
      }
      found(wanted[w], find_equal<Key>(keys(), at.key, place - at.less));
    }
  }

 private:
  static constexpr R sign =
      quicksort_is_fast ? R(1) << (8 * sizeof(R) - 1) : R(0);

  Key* keys() const {
    return keys_.get() + margin;
  }

  Selected<Key> select(size_t count, size_t place) {
    auto other = other_.get() + margin;
    if constexpr (!quicksort_is_fast) {
      auto found = split<Key>(keys(), count, place + 1, {other, nullptr});
      return {found.rank, found.better};
    } else {
      auto selected = selected_.get() + margin;
      if (quickselect_is_fast(count)) {
        std::copy(keys(), keys() + count, selected);
        return quickselect<Key>(selected, other, count, place);
      }
      auto ranks = reinterpret_cast<R*>(selected);
      for (size_t i = 0; i < count; ++i) {
        ranks[i] = rank_in(keys()[i]);
      }
      auto kept = reinterpret_cast<R*>(other);
      auto found = split<R>(ranks, count, place + 1, {kept, nullptr});
      return {static_cast<Key>(found.rank ^ sign), found.better};
    }
  }

  Buffer<Key> keys_;
  Buffer<Key> selected_;
  Buffer<Key> other_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
