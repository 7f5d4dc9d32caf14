// Copyright © 2026 the mlx-topk authors. MIT licence.

// Elements as ranks: unsigned integers of which the lowest is best. Whatever is
// said of a dtype, a direction or a stride is said here; what follows is the
// same for all. Included once per instruction set, inside its namespace.

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
    return static_cast<Key>((ordered_key(value) ^ flip) - offset);
  }

  static constexpr bool has_nan =
      is_floating<T> || std::is_same_v<T, complex64_t>;
  Key flip;
  Key offset;
};

template <typename T>
struct Row {
  const T* data;
  int64_t stride;
  size_t size;

  T operator[](size_t i) const {
    return data[static_cast<int64_t>(i) * stride];
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
  if (row.stride == 1) {
    for (size_t i = 0; i < count; ++i) {
      ranks[i] = rank(data[i]);
    }
  } else {
    for (size_t i = 0; i < count; ++i) {
      ranks[i] = rank(data[static_cast<int64_t>(i) * row.stride]);
    }
  }
}

/** Ranks that nothing is worse than, up to a whole number of vectors. */
template <typename R>
size_t pad_ranks(R* ranks, size_t count) {
  auto padded = round_up(count, lanes<R>);
  std::fill(ranks + count, ranks + padded, worst<R>);
  return padded;
}
