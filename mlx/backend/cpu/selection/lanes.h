// Copyright © 2026 the mlx-topk authors. MIT licence.

// Short rows, as many at a time as a vector has lanes: every lane goes through
// the same network, that keeps the k best of what it has seen. Included once
// per instruction set, inside its namespace.

/** Rows side by side: row r, element j at ``data[offset[r] + j * stride]``. */
template <typename T>
struct RowBlock {
  static constexpr size_t count = lanes<uint32_t>;

  const T* data;
  int64_t offset[count];
  int64_t stride;
  size_t size;
  // The last element of the array that may be read.
  int64_t last;

  bool adjacent() const {
    for (size_t r = 1; r < count; ++r) {
      if (offset[r] != offset[0] + static_cast<int64_t>(r)) {
        return false;
      }
    }
    return true;
  }
};

/** Transposes square blocks of as many lanes as there are vectors. */
template <size_t step = 1, typename V, size_t count>
[[gnu::always_inline]] inline void transpose(V (&v)[count]) {
  if constexpr (step < count) {
    constexpr auto first = [](size_t l) constexpr {
      return l & step ? lanes<uint32_t> + l - step : l;
    };
    constexpr auto second = [](size_t l) constexpr {
      return l & step ? lanes<uint32_t> + l : l + step;
    };
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) {
      if ((i & step) == 0) {
        auto a = v[i];
        auto b = v[i + step];
        v[i] = shuffle<uint32_t>(a, b, first);
        v[i + step] = shuffle<uint32_t>(a, b, second);
      }
    }
    transpose<2 * step>(v);
  }
}

/** Not ``safe``: what is beyond the array's last element is not read. */
template <size_t size, bool safe, typename T>
Keys<T, size> load_piece(const RowBlock<T>& rows, size_t r, size_t first) {
  auto from = rows.offset[r] + static_cast<int64_t>(first);
  if constexpr (safe) {
    return load_bits<T, size>(rows.data + from);
  } else {
    T elements[size] = {};
    auto readable = std::min<size_t>(size, rows.last + 1 - from);
    std::memcpy(elements, rows.data + from, readable * sizeof(T));
    return load_bits<T, size>(elements);
  }
}

/**
 * Columns from ``first`` on, as many as ``size``, of rows that are each in one
 * piece. If that is half of the lanes, a vector has a piece of two rows.
 */
template <size_t size, bool safe, typename T>
void load_columns_of(
    const RowBlock<T>& rows,
    RankOf<T> rank,
    size_t first,
    uint32_t* columns) {
  constexpr auto count = RowBlock<T>::count;
  Vector<uint32_t> block[size];
#pragma GCC unroll 16
  for (size_t r = 0; r < size; ++r) {
    auto piece = load_piece<size, safe>(rows, r, first);
    if constexpr (size == count) {
      block[r] = rank_vector<T>(piece, rank);
    } else {
      auto pieces = concatenate<Keys<T>>(
          piece,
          load_piece<size, safe>(rows, r + size, first),
          std::make_index_sequence<count>());
      block[r] = rank_vector<T>(pieces, rank);
    }
  }
  transpose(block);
#pragma GCC unroll 16
  for (size_t i = 0; i < size; ++i) {
    store(columns + (first + i) * count, block[i]);
  }
}

template <size_t size, typename T>
void load_columns_within(
    const RowBlock<T>& rows,
    RankOf<T> rank,
    size_t first,
    uint32_t* columns) {
  auto last = *std::max_element(rows.offset, rows.offset + rows.count);
  if (last + static_cast<int64_t>(first + size) <= rows.last + 1) {
    load_columns_of<size, true>(rows, rank, first, columns);
  } else {
    load_columns_of<size, false>(rows, rank, first, columns);
  }
}

/** columns[j * count + r] is the rank of element j of row r. */
template <typename T>
void load_columns(const RowBlock<T>& rows, RankOf<T> rank, uint32_t* columns) {
  constexpr auto count = RowBlock<T>::count;
  if (rows.stride == 1) {
    size_t j = 0;
    for (; j + count / 2 < rows.size; j += count) {
      load_columns_within<count>(rows, rank, j, columns);
    }
    if (j < rows.size) {
      load_columns_within<count / 2>(rows, rank, j, columns);
    }
    return;
  }
  auto adjacent = rows.adjacent();
  for (size_t j = 0; j < rows.size; ++j, columns += count) {
    auto from = rows.data + static_cast<int64_t>(j) * rows.stride;
    if (adjacent) {
      store(columns, rank_vector<T>(load_bits(from + rows.offset[0]), rank));
    } else {
      for (size_t r = 0; r < count; ++r) {
        columns[r] = rank(from[rows.offset[r]]);
      }
    }
  }
}

/** Words of ranks and the index of their column, of some of the lanes. */
template <typename W>
Vector<W> pack_column(const uint32_t* column, size_t index, size_t part) {
  auto ranks = load(column);
  if constexpr (sizeof(W) == sizeof(uint32_t)) {
    return (ranks << half_of_word<W>) | static_cast<W>(index);
  } else {
    constexpr auto half = lanes<uint32_t> / 2;
    auto indices = broadcast(static_cast<uint32_t>(index));
    auto low = [](size_t l) constexpr {
      return l % 2 ? lanes<uint32_t> + l / 2 : l / 2;
    };
    auto high = [](size_t l) constexpr {
      return half + (l % 2 ? lanes<uint32_t> + l / 2 : l / 2);
    };
    return (Vector<W>)(part ? shuffle<uint32_t>(indices, ranks, high)
                            : shuffle<uint32_t>(indices, ranks, low));
  }
}

/**
 * The ``kept`` best of each row: word i of row r at words[i * count + r].
 * Columns follow that make their number a multiple of ``kept``.
 */
template <typename W, int kept>
void best_of_columns(const uint32_t* columns, size_t size, W* words) {
  constexpr auto count = lanes<uint32_t>;
  for (size_t part = 0; part < count / lanes<W>; ++part) {
    Vector<W> best[kept], more[kept];
#pragma GCC unroll 16
    for (int i = 0; i < kept; ++i) {
      best[i] = broadcast(worst<W>);
    }
    for (size_t j = 0; j < size; j += kept) {
#pragma GCC unroll 16
      for (int i = 0; i < kept; ++i) {
        more[i] = pack_column<W>(columns + (j + i) * count, j + i, part);
      }
      sort_lanes<0, kept>(more);
      merge_lanes<kept>(best, more);
    }
    for (int i = 0; i < kept; ++i) {
      store(words + i * count + part * lanes<W>, best[i]);
    }
  }
}

/** Ranks of more than 16 bits take words that only AVX-512 has a minimum of. */
#if defined(SELECTION_AVX512)
constexpr size_t wide_lanes_size = TopKTuning::lanes_size;
#else
constexpr size_t wide_lanes_size = 32;
#endif

template <typename T>
bool is_for_lanes(size_t size) {
  return sizeof(T) <= 2 || (sizeof(T) <= 4 && size <= wide_lanes_size);
}

template <typename T>
using WordOf = std::conditional_t<sizeof(T) <= 2, uint32_t, uint64_t>;

template <typename T>
void select_lanes(
    const RowBlock<T>& rows,
    RankOf<T> rank,
    size_t k,
    WordOf<T>* words) {
  using W = WordOf<T>;
  constexpr auto count = RowBlock<T>::count;
  constexpr auto padding = TopKTuning::lanes_k;
  alignas(64) uint32_t columns[(TopKTuning::lanes_size + padding) * count];
  load_columns(rows, rank, columns);
  // No word of a column that is not there is better than one of a real one.
  auto end = columns + rows.size * count;
  std::fill(end, end + (padding - 1) * count, worst<uint32_t>);
  switch (std::bit_ceil(k)) {
    case 1:
      return best_of_columns<W, 1>(columns, rows.size, words);
    case 2:
      return best_of_columns<W, 2>(columns, rows.size, words);
    case 4:
      return best_of_columns<W, 4>(columns, rows.size, words);
    case 8:
      return best_of_columns<W, 8>(columns, rows.size, words);
    default:
      return best_of_columns<W, 16>(columns, rows.size, words);
  }
}
