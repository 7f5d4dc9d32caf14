// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts a block of keys, which fills up to 32 vectors. Keys are int16_t,
// int32_t, int64_t or double (see sort_key-inl.h). Up to 8 vectors, or 16 with
// AVX-512, stay in registers. Compilers keep some of more vectors on the stack.
// That takes less time than to merge two blocks.
//
// First the columns are sorted: lane l of all vectors is column l. This needs
// no shuffles. Then neighbouring columns are merged to sorted runs of 2, 4, ...
// columns, until one run is left. Finally the vectors are transposed, which
// brings each column into consecutive lanes. Merges are bitonic: K. E. Batcher,
// Sorting networks and their applications, AFIPS 1968.

#pragma once

#include "mlx/backend/cpu/selection/simd/sorting_network-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** How many vectors a block has at most. */
constexpr size_t block_rows = 32;

/** How many keys a block has at most. */
template <typename E>
constexpr size_t block_size = block_rows * lanes<E>;

// ---- columns ---------------------------------------------------------------

/**
 * Sorts each column of ``rows`` vectors. Of all networks for up to 8 elements,
 * these have the fewest compare-exchanges. For 16 there is one with three
 * fewer, for 32 one with six fewer.
 */
template <int rows, typename V>
[[gnu::always_inline]] inline void sort_columns(V* v) {
  if constexpr (rows == 2) {
    exchange(v[0], v[1]);
  } else if constexpr (rows == 4) {
    exchange(v[0], v[1]);
    exchange(v[2], v[3]);
    exchange(v[0], v[2]);
    exchange(v[1], v[3]);
    exchange(v[1], v[2]);
  } else if constexpr (rows == 8) {
    sort_columns<4>(v);
    sort_columns<4>(v + 4);
    exchange(v[0], v[4]);
    exchange(v[1], v[5]);
    exchange(v[2], v[6]);
    exchange(v[3], v[7]);
    exchange(v[2], v[4]);
    exchange(v[3], v[5]);
    exchange(v[1], v[2]);
    exchange(v[3], v[4]);
    exchange(v[5], v[6]);
  } else if constexpr (rows > 8) {
    sort_lanes<0, rows>(v);
  }
}

// ---- runs of columns -------------------------------------------------------

/**
 * Compare-exchanges lane l with lane l ^ distance, in each vector. The lesser
 * goes to the lane whose number has the bit ``distance`` clear.
 */
template <typename E, size_t distance, int rows>
[[gnu::always_inline]] inline void order_lanes(Vector<E>* v) {
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i) {
    auto least = v[i];
    auto greatest =
        shuffle<E>(v[i], v[i], [](size_t l) constexpr { return l ^ distance; });
    exchange<rows>(least, greatest);
    v[i] = shuffle<E>(least, greatest, [](size_t l) constexpr {
      return l & distance ? l + lanes<E> : l;
    });
  }
}

/** Does order_lanes for the distances ``distance``, ``distance`` / 2, ..., 1.
 */
template <typename E, size_t distance, int rows>
[[gnu::always_inline]] inline void order_lanes_down(Vector<E>* v) {
  if constexpr (distance > 0) {
    order_lanes<E, distance, rows>(v);
    order_lanes_down<E, distance / 2, rows>(v);
  }
}

/**
 * Compare-exchanges each key with the one that mirrors it in its run of
 * 2 * width columns: row i of lane l with the i-th last row of lane
 * l ^ (2 * width - 1). The lesser goes to the first half of the run.
 */
template <typename E, size_t width, int rows>
[[gnu::always_inline]] inline void order_mirrored(Vector<E>* v) {
  constexpr auto mirror = [](size_t l) constexpr {
    return l ^ (2 * width - 1);
  };
  if constexpr (rows == 1) {
    auto least = v[0];
    auto greatest = shuffle<E>(v[0], v[0], mirror);
    exchange<rows>(least, greatest);
    v[0] = shuffle<E>(least, greatest, [](size_t l) constexpr {
      return l & width ? l + lanes<E> : l;
    });
  }
#pragma GCC unroll 32
  for (int i = 0; i < rows / 2; ++i) {
    auto least = v[i];
    auto greatest = shuffle<E>(v[rows - 1 - i], v[rows - 1 - i], mirror);
    exchange<rows>(least, greatest);
    v[i] = shuffle<E>(least, greatest, [](size_t l) constexpr {
      return l & width ? l + lanes<E> : l;
    });
    auto other = shuffle<E>(greatest, least, [](size_t l) constexpr {
      return l & width ? l + lanes<E> : l;
    });
    v[rows - 1 - i] = shuffle<E>(other, other, mirror);
  }
}

/** Merges sorted runs of ``width`` columns until one run is left. */
template <typename E, size_t width, int rows>
[[gnu::always_inline]] inline void merge_runs(Vector<E>* v) {
  if constexpr (width < lanes<E>) {
    order_mirrored<E, width, rows>(v);
    order_lanes_down<E, width / 2, rows>(v);
    bitonic_merge_lanes<0, rows>(v);
    merge_runs<E, 2 * width, rows>(v);
  }
}

/**
 * Brings each column into consecutive lanes of consecutive vectors, for a block
 * of ``rows`` vectors.
 */
template <typename E, int rows, size_t bit = 1>
[[gnu::always_inline]] inline void columns_to_rows(Vector<E>* v) {
  constexpr size_t width = lanes<E>;
  constexpr size_t columns_per_row = rows < width ? width / rows : 1;
  if constexpr (bit < rows && bit < width) {
    exchange_position_bits<E, rows, bit, bit * columns_per_row>(v);
    columns_to_rows<E, rows, 2 * bit>(v);
  } else if constexpr (rows < width) {
#pragma GCC unroll 32
    for (int i = 0; i < rows; ++i) {
      v[i] = shuffle<E>(v[i], v[i], [](size_t l) constexpr {
        return l % rows * columns_per_row + l / rows;
      });
    }
  } else if constexpr (rows > width) {
    // Row ``high * width + low`` now holds piece ``high`` of column ``low``.
    Vector<E> from[rows];
#pragma GCC unroll 32
    for (size_t i = 0; i < rows; ++i) {
      from[i] = v[i];
    }
#pragma GCC unroll 32
    for (size_t i = 0; i < rows; ++i) {
      constexpr size_t pieces = rows / width;
      v[i] = from[i % pieces * width + i / pieces];
    }
  }
}

// ---- blocks ----------------------------------------------------------------

/** Sorts the keys of ``rows`` vectors; ``rows`` is a power of two. */
template <typename E, int rows>
[[gnu::always_inline]] inline void sort_vectors_of_keys(Vector<E>* v) {
  sort_columns<rows>(v);
  merge_runs<E, 1, rows>(v);
  columns_to_rows<E, rows>(v);
}

/**
 * Loads ``rows`` vectors. Puts padding in the place of all but the first
 * ``count`` keys. More than half of the vectors have keys among these.
 */
template <typename E, int rows>
[[gnu::always_inline]] inline void
load_keys(const E* from, size_t count, Vector<E>* v) {
  constexpr auto width = lanes<E>;
  auto left = broadcast(static_cast<E>(std::min(count, rows * width)));
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i) {
    v[i] = load(from + i * width);
    if (i >= rows / 2) {
      auto used = lane_numbers<E>() + static_cast<E>(i * width) < left;
      v[i] = used ? v[i] : broadcast(std::numeric_limits<E>::max());
    }
  }
}

/**
 * Stores the first ``count`` keys of ``rows`` vectors, which are more than half
 * of them. Rewrites what follows the last key in its vector.
 */
template <typename E, int rows>
[[gnu::always_inline]] inline void
store_keys(E* to, size_t count, const Vector<E>* v) {
  constexpr auto width = lanes<E>;
  auto left = broadcast(static_cast<E>(std::min(count, rows * width)));
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i) {
    if (i < rows / 2) {
      store(to + i * width, v[i]);
    } else {
      if (i * width >= count) {
        return;
      }
      auto used = lane_numbers<E>() + static_cast<E>(i * width) < left;
      store(to + i * width, used ? v[i] : load(to + i * width));
    }
  }
}

/**
 * Sorts ``count`` keys at ``from``, followed by padding up to ``rows`` vectors,
 * and writes the first ``written`` of the result to ``to``.
 */
template <typename E, int rows>
[[gnu::noinline]] void
sort_block_of(const E* from, size_t count, E* to, size_t written) {
  Vector<E> v[rows];
  load_keys<E, rows>(from, count, v);
  sort_vectors_of_keys<E, rows>(v);
  store_keys<E, rows>(to, written, v);
}

/**
 * Returns use(rows), where ``rows`` is a constant: the least power of two that
 * is at least ``vectors``, or ``most`` if that is less.
 */
template <int most = block_rows, typename Use>
[[gnu::always_inline]] inline auto with_rows(size_t vectors, Use&& use) {
  constexpr auto up_to = [](int rows) constexpr {
    return std::min(rows, most);
  };
  return vectors > 16 ? use(std::integral_constant<int, up_to(32)>())
      : vectors > 8   ? use(std::integral_constant<int, up_to(16)>())
      : vectors > 4   ? use(std::integral_constant<int, up_to(8)>())
      : vectors > 2   ? use(std::integral_constant<int, 4>())
      : vectors > 1   ? use(std::integral_constant<int, 2>())
                      : use(std::integral_constant<int, 1>());
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
