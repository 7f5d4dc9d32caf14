// Copyright © 2026 the mlx-topk authors. MIT licence.

// The one loop that compilers do not vectorise: keep what is in a range, with
// its index, in order. Included once per instruction set, inside its namespace.

/** Ranks from ``low`` to ``low + width``. */
template <typename R>
struct Range {
  R low;
  R width;

  bool has(R rank) const {
    return static_cast<R>(rank - low) <= width;
  }
};

template <typename R>
Range<R> up_to(R rank) {
  return {0, rank};
}

template <typename R>
Range<R> from(R rank) {
  return {rank, static_cast<R>(worst<R> - rank)};
}

#if defined(SELECTION_AVX512)

// Whole vectors of 32-bit ranks; returns how many elements were looked at.
inline size_t filter_vectors(
    const uint32_t* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<uint32_t> range,
    Candidates<uint32_t> out,
    size_t& kept) {
  auto low = _mm512_set1_epi32(range.low);
  auto width = _mm512_set1_epi32(range.width);
  auto index = _mm512_add_epi32(
      _mm512_set1_epi32(base),
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    auto rank = _mm512_loadu_si512(ranks + i);
    if (indices) {
      index = _mm512_loadu_si512(indices + i);
    }
    auto keep = _mm512_cmple_epu32_mask(_mm512_sub_epi32(rank, low), width);
    _mm512_storeu_si512(
        out.ranks + kept, _mm512_maskz_compress_epi32(keep, rank));
    _mm512_storeu_si512(
        out.indices + kept, _mm512_maskz_compress_epi32(keep, index));
    kept += std::popcount(static_cast<uint32_t>(keep));
    index = _mm512_add_epi32(index, _mm512_set1_epi32(16));
  }
  return i;
}

inline size_t filter_vectors(
    const uint64_t* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<uint64_t> range,
    Candidates<uint64_t> out,
    size_t& kept) {
  auto low = _mm512_set1_epi64(range.low);
  auto width = _mm512_set1_epi64(range.width);
  auto index = _mm256_add_epi32(
      _mm256_set1_epi32(base), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    auto rank = _mm512_loadu_si512(ranks + i);
    if (indices) {
      index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices + i));
    }
    auto keep = _mm512_cmple_epu64_mask(_mm512_sub_epi64(rank, low), width);
    _mm512_storeu_si512(
        out.ranks + kept, _mm512_maskz_compress_epi64(keep, rank));
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out.indices + kept),
        _mm256_maskz_compress_epi32(keep, index));
    kept += std::popcount(static_cast<uint32_t>(keep));
    index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
  }
  return i;
}

#endif

// Writes whole vectors: ``out`` has room for one more than is kept. ``out`` may
// be where ``ranks`` and ``indices`` are, or before. Without ``indices``,
// counts from ``base``.
template <typename R>
size_t filter(
    const R* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<R> range,
    Candidates<R> out) {
  size_t kept = 0;
  size_t i = 0;
#if defined(SELECTION_AVX512)
  i = filter_vectors(ranks, indices, base, count, range, out, kept);
#endif
  for (; i < count; ++i) {
    auto rank = ranks[i];
    auto index = indices ? indices[i] : static_cast<uint32_t>(base + i);
    out.ranks[kept] = rank;
    out.indices[kept] = index;
    kept += range.has(rank);
  }
  return kept;
}
