// Copyright © 2026 the mlx-topk authors. MIT licence.

// Elements as ranks: unsigned integers of which the lowest is best. Whatever is
// said of a dtype, a direction or a stride is said here and in score.h; what
// follows is the same for all. Included once per instruction set, inside its
// namespace.

enum class Ranking { ascending, descending, nan_then_ascending };

// Ranks of up to 32 bits are of one type, so that little is compiled twice.
template <typename T>
using Rank = std::conditional_t<sizeof(T) <= 4, uint32_t, uint64_t>;

template <typename R>
constexpr R worst = std::numeric_limits<R>::max();

template <typename T>
struct RankOf {
  using Key = OrderedKey<T>;

  explicit RankOf(Ranking ranking)
      : flip(ranking == Ranking::descending ? ~Key(0) : Key(0)),
        offset(
            ranking == Ranking::nan_then_ascending && has_nan ? nan_key<T>()
                                                              : Key(0)) {}

  Key operator()(T value) const {
    return of_key(ordered_key(value));
  }

  Key of_key(Key key) const {
    return static_cast<Key>((key ^ flip) - offset);
  }

  Key key_of(Key rank) const {
    return static_cast<Key>((rank + offset) ^ flip);
  }

  /** No element has a lower rank. */
  Key best() const {
    return flip ? static_cast<Key>(~nan_key<T>()) : Key(0);
  }

  static constexpr bool has_nan =
      is_floating<T> || std::is_same_v<T, complex64_t>;
  Key flip;
  Key offset;
};

/** Of a row: as much as fits into any second cache, with what is at work. */
constexpr size_t max_prefetched_bytes = size_t(128) << 10;

template <typename T>
struct Row {
  const T* data;
  int64_t stride;
  size_t size;
  // Where the next row begins, if it is to be fetched from memory meanwhile.
  const T* next{nullptr};

  T operator[](size_t i) const {
    return data[static_cast<int64_t>(i) * stride];
  }

  /** While this row is worked on in the cache, the next is on its way there. */
  void prefetch_next(size_t first, size_t count) const {
    constexpr size_t line = 64 / sizeof(T);
    if (next && (first + count) * sizeof(T) <= max_prefetched_bytes) {
      for (auto i = first; i < first + count; i += line) {
        __builtin_prefetch(next + i, 0, 2);
      }
    }
  }

  /** Some of the elements in one piece: themselves, or their ``copy``. */
  const T* span(size_t first, size_t count, T* copy) const {
    auto from = data + static_cast<int64_t>(first) * stride;
    if (stride == 1) {
      return from;
    }
    for (size_t i = 0; i < count; ++i) {
      copy[i] = from[static_cast<int64_t>(i) * stride];
    }
    return copy;
  }
};

/** The ranks of ``count`` elements from ``first`` on. */
template <typename T>
void load_ranks(
    const Row<T>& row,
    RankOf<T> rank,
    size_t first,
    size_t count,
    Rank<T>* ranks) {
  auto data = row.data + static_cast<int64_t>(first) * row.stride;
  auto stride = row.stride;
  if (stride == 1) {
    for (size_t i = 0; i < count; ++i) {
      ranks[i] = rank(data[i]);
    }
  } else {
    for (size_t i = 0; i < count; ++i) {
      ranks[i] = rank(data[static_cast<int64_t>(i) * stride]);
    }
  }
}

/** As many elements as there are lanes for ranks; or half as many. */
template <typename T, size_t count = lanes<uint32_t>>
struct KeysOf {
  typedef OrderedKey<T> type __attribute__((vector_size(count * sizeof(T))));
};

template <typename T, size_t count = lanes<uint32_t>>
using Keys = typename KeysOf<T, count>::type;

template <typename T, size_t count = lanes<uint32_t>>
Keys<T, count> load_bits(const T* data) {
  Keys<T, count> bits;
  std::memcpy(&bits, data, sizeof(bits));
  return bits;
}

/** The ranks of elements of up to 4 bytes. */
template <typename T>
[[gnu::always_inline]] inline Vector<uint32_t> rank_vector(
    Keys<T> elements,
    RankOf<T> rank) {
  constexpr int spare_bits = 32 - 8 * sizeof(T);
  constexpr uint32_t all = std::numeric_limits<OrderedKey<T>>::max();
  auto bits = __builtin_convertvector(elements, Vector<uint32_t>);
  if constexpr (is_floating<T>) {
    auto sign = (Vector<uint32_t>)((Vector<int32_t>)(bits << spare_bits) >> 31);
    bits = (((bits & (all >> 1)) ^ sign) - sign) + infinity_bits<T>();
    bits = less_of(bits & all, broadcast<uint32_t>(nan_key<T>()));
  } else if constexpr (std::is_signed_v<T>) {
    bits ^= all / 2 + 1;
  }
  return ((bits ^ rank.flip) - rank.offset) & all;
}

/** Ranks that nothing is worse than, up to a whole number of vectors. */
template <typename R>
size_t pad_ranks(R* ranks, size_t count) {
  auto padded = round_up(count, lanes<R>);
  std::fill(ranks + count, ranks + padded, worst<R>);
  return padded;
}

/**
 * A rank and an index in one word, so that no two elements are equal and the
 * order needs no second look: where a rank takes half of a word or less.
 */
template <typename W>
constexpr int half_of_word = 4 * sizeof(W);

template <typename W>
W pack(W rank, uint32_t index) {
  return (rank << half_of_word<W>) | index;
}

template <typename W>
uint32_t index_of(W word) {
  return static_cast<uint32_t>(word & (worst<W> >> half_of_word<W>));
}
