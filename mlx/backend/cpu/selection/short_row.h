// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k best of a short row, for small k: the whole row as ranks on the stack,
// a bound, and what is up to it. Included once per instruction set, inside its
// namespace.

/** Not worth a bound. */
constexpr size_t few_elements = 16;

inline bool is_short_row(size_t size, size_t k) {
  return size <= TopKTuning::short_row_size && k <= TopKTuning::short_row_k;
}

/** The best rank of each of some slots that share out the ranks evenly. */
template <typename R>
R bound_of_slots(const R* ranks, size_t padded, size_t k) {
  constexpr size_t width = lanes<R>;
  // Twice as many slots as k make the k-th best slot a close bound.
  auto size = round_up(2 * k, width);
  if (2 * size > padded) {
    return worst<R>;
  }
  alignas(64) R slots[2 * TopKTuning::short_row_k + 8 * width];
  for (size_t s = 0; s < size; s += width) {
    auto best = load(ranks + s);
    for (size_t i = s + size; i < padded; i += size) {
      best = less_of(best, load(ranks + i));
    }
    store(slots + s, best);
  }
  network_sort(slots, size);
  return slots[k - 1];
}

/** Few of many: what compressing vectors costs is more than a jump for each. */
template <typename R>
size_t filter_few(const R* ranks, size_t padded, R bound, Candidates<R> kept) {
  auto limit = broadcast(bound);
  size_t count = 0;
  for (size_t i = 0; i < padded;) {
    uint64_t bits = 0;
    auto base = i;
    for (size_t shift = 0; shift < 64 && i < padded; shift += lanes<R>) {
      bits |= bits_of(load(ranks + i) <= limit) << shift;
      i += lanes<R>;
    }
    for (; bits != 0; bits &= bits - 1, ++count) {
      auto at = base + std::countr_zero(bits);
      kept.ranks[count] = ranks[at];
      kept.indices[count] = at;
    }
  }
  return count;
}

template <typename T>
size_t select_short(
    const Row<T>& row,
    RankOf<T> rank,
    size_t k,
    Candidates<Rank<T>> kept) {
  using R = Rank<T>;
  if (row.size <= few_elements) {
    load_ranks(row, rank, 0, row.size, kept.ranks);
    std::iota(kept.indices, kept.indices + row.size, 0);
    return row.size;
  }
  alignas(64) R ranks[TopKTuning::short_row_size + lanes<R>];
  load_ranks(row, rank, 0, row.size, ranks);
  auto padded = pad_ranks(ranks, row.size);
  auto bound = bound_of_slots(ranks, padded, k);
  auto count = filter_few(ranks, padded, bound, kept);
  // Padding is kept if everything is.
  return std::min(count, row.size);
}
