// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the first best element of each of several rows, by exact scores. Keeps
// the best score and its index in each lane of two vectors.

#pragma once

#include "mlx/backend/cpu/selection/simd/exact_score-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Several best scores, one in each lane, and the index of each. */
template <typename S>
struct BestInLanes {
  typename S::V score;
  typename S::I index;

  /** Replaces the lanes in which ``other`` is better. */
  [[gnu::always_inline]] inline void update(
      typename S::V other,
      typename S::I at) {
    if constexpr (S::native) {
      // The opposite of better() takes one instruction less.
      auto stays = (other <= score) | (score != score);
      score = choose(stays, score, other);
      index = choose(stays, index, at);
    } else {
      auto better = S::better(other, score);
      index = choose(better, at, index);
      // The next score does not wait for the comparison. SSE2 has no maximum of
      // 32-bit integers.
      score = vector_bytes > 16 ? max_of(other, score)
                                : choose(better, other, score);
    }
  }
};

template <typename S>
void store_indices(typename S::I index, uint32_t* out) {
  using Stored = typename VectorOfCount<uint32_t, S::width>::type;
  auto stored = __builtin_convertvector(index, Stored);
  std::memcpy(out, &stored, sizeof(stored));
}

/**
 * Finds the best of ``vectors * S::width`` adjacent rows: element j of row r is
 * ``data[j * stride + r]``.
 */
template <typename S, size_t vectors>
void best_of_adjacent_rows(
    const typename S::Element* data,
    int64_t stride,
    size_t size,
    uint32_t* out) {
  using Index = typename S::Index;
  // Longer rows are done in parts, if the index has less than 32 bits.
  constexpr size_t part =
      sizeof(Index) < 4 ? size_t(1) << 8 * sizeof(Index) : worst<uint32_t>;
  BestInLanes<S> best[vectors]{};
  for (size_t first = 0; first < size; first += part) {
    auto end = std::min(size, first + part);
    BestInLanes<S> of_part[vectors]{};
    auto from = data + static_cast<int64_t>(first) * stride;
    typename S::I at{};
#pragma GCC unroll 4
    for (size_t v = 0; v < vectors; ++v) {
      of_part[v] = {S::load_scores(from + v * S::width), at};
    }
    for (auto j = first + 1; j < end; ++j) {
      from += stride;
      at += Index(1);
#pragma GCC unroll 4
      for (size_t v = 0; v < vectors; ++v) {
        of_part[v].update(S::load_scores(from + v * S::width), at);
      }
    }
    for (size_t v = 0; v < vectors; ++v) {
      auto to = out + v * S::width;
      if (first == 0) {
        best[v] = of_part[v];
        store_indices<S>(of_part[v].index, to);
        continue;
      }
      auto better = mask_bits(S::better(of_part[v].score, best[v].score));
      best[v].update(of_part[v].score, of_part[v].index);
      for (size_t l = 0; l < S::width; ++l) {
        if (better >> l & 1) {
          to[l] = static_cast<uint32_t>(first + of_part[v].index[l]);
        }
      }
    }
  }
}

/**
 * Several rows, one in each lane. Element j of row r is
 * ``data[offset[r] + j * stride]``. ``last`` is the greatest offset that may be
 * read.
 */
template <typename T, size_t count>
struct RowsInLanes {
  const T* data;
  const int64_t* offset;
  size_t valid;
  int64_t stride;
  size_t size;
  int64_t last;
};

/** Finds the best of rows in lanes. Reads them in blocks of columns. */
template <typename S>
class BestOfRowsInLanes {
  using T = typename S::Element;
  using Lane = typename S::Lane;
  static constexpr size_t width = S::width;
  static constexpr size_t max_columns = 32;

 public:
  using Rows = RowsInLanes<T, width>;

  static void find(const Rows& rows, uint32_t* out) {
    alignas(64) Lane columns[max_columns * width];
    if (rows.valid < width) {
      // Lanes without a row are computed with, so they must hold something.
      std::fill(columns, columns + max_columns * width, Lane(0));
    }
    BestInLanes<S> best{};
    typename S::I at{};
    for (size_t first = 0; first < rows.size; first += max_columns) {
      auto count = std::min(max_columns, rows.size - first);
      load_columns(rows, first, count, columns);
      size_t j = 0;
      if (first == 0) {
        best = {S::scores(load(columns)), at};
        at += typename S::Index(1);
        j = 1;
      }
      for (; j < count; ++j) {
        best.update(S::scores(load(columns + j * width)), at);
        at += typename S::Index(1);
      }
    }
    if (rows.valid == width) {
      store_indices<S>(best.index, out);
    } else {
      for (size_t r = 0; r < rows.valid; ++r) {
        out[r] = static_cast<uint32_t>(best.index[r]);
      }
    }
  }

 private:
  // Sets columns[j * width + r] to element ``first + j`` of row r, for j below
  // ``count`` or up to one vector more.
  [[gnu::always_inline]] static inline void
  load_columns(const Rows& rows, size_t first, size_t count, Lane* columns) {
    if (rows.stride == 1) {
      auto greatest = rows.offset[0];
      for (size_t r = 1; r < rows.valid; ++r) {
        greatest = std::max(greatest, rows.offset[r]);
      }
      auto end = static_cast<int64_t>(first + round_up(count, width));
      bool all = rows.valid == width && greatest + end <= rows.last + 1;
      for (size_t j = 0; j < count; j += width) {
        if (all) {
          load_transposed<true>(rows, first + j, columns + j * width);
        } else {
          load_transposed<false>(rows, first + j, columns + j * width);
        }
      }
    } else if (adjacent(rows)) {
      for (size_t j = 0; j < count; ++j) {
        auto from = static_cast<int64_t>(first + j) * rows.stride;
        store(columns + j * width, load_readable(rows, 0, from));
      }
    } else {
      for (size_t j = 0; j < count; ++j) {
        auto from = rows.data + static_cast<int64_t>(first + j) * rows.stride;
        for (size_t r = 0; r < rows.valid; ++r) {
          columns[j * width + r] = S::lane_of(from[rows.offset[r]]);
        }
      }
    }
  }

  static bool adjacent(const Rows& rows) {
    for (size_t r = 1; r < rows.valid; ++r) {
      if (rows.offset[r] != rows.offset[0] + static_cast<int64_t>(r)) {
        return false;
      }
    }
    return true;
  }

  // Loads one vector of each row. With ``all``, each lane has a row and the
  // vectors do not reach beyond the end of the array.
  template <bool all>
  static void load_transposed(const Rows& rows, size_t first, Lane* columns) {
    Vector<Lane> square[width];
#pragma GCC unroll 16
    for (size_t r = 0; r < width; ++r) {
      if constexpr (all) {
        square[r] = S::load_lanes(rows.data + rows.offset[r] + first);
      } else {
        square[r] = load_readable(rows, std::min(r, rows.valid - 1), first);
      }
    }
    transpose<Lane, width>(square);
#pragma GCC unroll 16
    for (size_t i = 0; i < width; ++i) {
      store(columns + i * width, square[i]);
    }
  }

  // Loads what is in memory from ``distance`` elements behind the start of row
  // r on. Elements beyond the end of the array are 0.
  static Vector<Lane>
  load_readable(const Rows& rows, size_t r, int64_t distance) {
    auto from = rows.offset[r] + distance;
    auto readable = rows.last + 1 - from;
    if (readable >= static_cast<int64_t>(width)) {
      return S::load_lanes(rows.data + from);
    }
    T elements[width] = {};
    std::memcpy(elements, rows.data + from, readable * sizeof(T));
    return S::load_lanes(elements);
  }
};

/** Finds the best of one contiguous row, of at least one vector. */
template <typename S>
class BestOfRow {
  using V = typename S::V;
  using I = typename S::I;
  using Index = typename S::Index;
  static constexpr size_t width = S::width;

 public:
  /** An index must fit into a lane: this is the size of the longest row. */
  static constexpr size_t max_size = sizeof(Index) == 1 ? 256 : 64 * width;

  static uint32_t find(const typename S::Element* data, size_t size) {
    auto at = lane_numbers<Index>();
    BestInLanes<S> best[2]{};
    best[0] = best[1] = {S::load_scores(data), at};
    size_t i = width;
    for (; i + 2 * width <= size; i += 2 * width) {
      at += static_cast<Index>(width);
      best[0].update(S::load_scores(data + i), at);
      at += static_cast<Index>(width);
      best[1].update(S::load_scores(data + i + width), at);
    }
    if (i + width <= size) {
      at += static_cast<Index>(width);
      best[0].update(S::load_scores(data + i), at);
      i += width;
    }
    if (i < size) {
      // The last vector overlaps the one before.
      at += static_cast<Index>(size - i);
      best[1].update(S::load_scores(data + size - width), at);
    }
    return first_best(best);
  }

 private:
  static V better_of(V a, V b) {
    return choose(S::better(b, a), b, a);
  }

  static uint32_t first_best(const BestInLanes<S> (&best)[2]) {
    auto greatest = best[0].score;
    auto better = S::better(best[1].score, greatest);
    greatest = choose(better, best[1].score, greatest);
    greatest = fold_lanes(greatest, better_of);
    auto none = broadcast(worst<Index>);
    auto a = (I)S::better(greatest, best[0].score) ? none : best[0].index;
    auto b = (I)S::better(greatest, best[1].score) ? none : best[1].index;
    return static_cast<uint32_t>(fold_lanes(min_of(a, b), min_of<I>)[0]);
  }
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
