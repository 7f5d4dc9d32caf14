// Copyright © 2026 the mlx-topk authors. MIT licence.

// Converts elements to ranks. A rank is an unsigned integer made from an
// element's ordered key so that the best element has the lowest rank. All that
// depends on the dtype or the direction happens here and in score-inl.h. The
// code that works on ranks is the same for all dtypes and directions.

#pragma once

#include "mlx/backend/cpu/selection/simd/vector-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Which elements are best: the least, the greatest, or the least with NaN
 * before all others. NaN counts as greatest in the first two.
 */
enum class Ranking { ascending, descending, nan_then_ascending };

// Ranks of 8, 16 and 32 bits share one type, so that less code is compiled.
template <typename T>
using Rank = std::conditional_t<sizeof(T) <= 4, uint32_t, uint64_t>;

/** No rank is worse than this. */
template <typename R>
constexpr R worst = std::numeric_limits<R>::max();

/**
 * Converts elements, or their ordered keys, to ranks, and ranks to keys. A rank
 * is (key ^ flip) - offset. The flip reverses the order. The offset, the key of
 * NaN, makes the rank of NaN 0 and that of all other elements greater.
 */
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

  /** Returns a rank that no element's rank is below. */
  Key best() const {
    return flip ? static_cast<Key>(~nan_key<T>()) : Key(0);
  }

  static constexpr bool has_nan =
      is_floating<T> || std::is_same_v<T, complex64_t>;
  Key flip;
  Key offset;
};

/** A vector of the bits of ``count`` elements of type T. */
template <typename T, size_t count = lanes<uint32_t>>
struct ElementBitsOf {
  typedef OrderedKey<T> type __attribute__((vector_size(count * sizeof(T))));
};

template <typename T, size_t count = lanes<uint32_t>>
using ElementBits = typename ElementBitsOf<T, count>::type;

template <typename T, size_t count = lanes<uint32_t>>
ElementBits<T, count> load_bits(const T* data) {
  ElementBits<T, count> bits;
  std::memcpy(&bits, data, sizeof(bits));
  return bits;
}

/** Returns the indices from ``first`` on, one vector after the other. */
class IndexLanes {
 public:
  explicit IndexLanes(size_t first)
      : indices_(lane_numbers<uint32_t>() + static_cast<uint32_t>(first)) {}

  [[gnu::always_inline]] inline Vector<uint32_t> next() {
    auto indices = indices_;
    indices_ += static_cast<uint32_t>(lanes<uint32_t>);
    return indices;
  }

 private:
  Vector<uint32_t> indices_;
};

/**
 * Extends the bits of elements of 1, 2 or 4 bytes by zeros to 32 bits. GCC 12
 * converts small vectors element by element, so there are intrinsics.
 */
template <typename Bits>
[[gnu::always_inline]] inline Vector<uint32_t> widen_bits(Bits bits) {
#if defined(SELECTION_AVX512)
  // With a mask, since GCC 12 warns of an uninitialised variable without one.
  if constexpr (sizeof(bits) == 16) {
    return (Vector<uint32_t>)_mm512_maskz_cvtepu8_epi32(0xffff, (__m128i)bits);
  }
#elif defined(SELECTION_AVX2)
  if constexpr (sizeof(bits) == 8) {
    auto lower = _mm_cvtsi64_si128(std::bit_cast<int64_t>(bits));
    return (Vector<uint32_t>)_mm256_cvtepu8_epi32(lower);
  } else if constexpr (sizeof(bits) == 16) {
    return (Vector<uint32_t>)_mm256_cvtepu16_epi32((__m128i)bits);
  }
#endif
  return __builtin_convertvector(bits, Vector<uint32_t>);
}

/** The inverse of widen_bits: drops the upper bits. */
template <typename T>
[[gnu::always_inline]] inline ElementBits<T> narrow_bits(
    Vector<uint32_t> bits) {
#if defined(SELECTION_AVX512)
  if constexpr (sizeof(T) == 1) {
    return (ElementBits<T>)_mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)bits);
  } else if constexpr (sizeof(T) == 2) {
    return (ElementBits<T>)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)bits);
  }
#elif defined(SELECTION_AVX2)
  if constexpr (sizeof(T) < 4) {
    // The instructions below saturate.
    constexpr uint32_t kept = std::numeric_limits<OrderedKey<T>>::max();
    auto all = (__m256i)(bits & kept);
    auto pairs = _mm_packus_epi32(
        _mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    if constexpr (sizeof(T) == 2) {
      return (ElementBits<T>)pairs;
    } else {
      auto bytes = _mm_packus_epi16(pairs, pairs);
      return std::bit_cast<ElementBits<T>>(_mm_cvtsi128_si64(bytes));
    }
  }
#endif
  return __builtin_convertvector(bits, ElementBits<T>);
}

/**
 * Returns the bits of contiguous elements, of at most 4 bytes each, one vector
 * after the other. Beyond the end of the elements there are zeros.
 */
template <typename T>
class ElementLanes {
 public:
  ElementLanes(const T* from, const T* end) : from_(from), end_(end) {}

  [[gnu::always_inline]] inline Vector<uint32_t> next() {
    constexpr size_t width = lanes<uint32_t>;
    ElementBits<T> bits{};
    size_t left = end_ - from_;
    if (left >= width) [[likely]] {
      bits = load_bits<T>(from_);
    } else {
      std::memcpy(&bits, from_, left * sizeof(T));
    }
    from_ += std::min(left, width);
    return widen_bits(bits);
  }

 private:
  const T* from_;
  const T* end_;
};

/** Writes the elements whose bits ElementLanes returned. */
template <typename T, typename Bits>
void write_elements(const Bits* bits, size_t count, T* to) {
  auto elements = reinterpret_cast<OrderedKey<T>*>(to);
  for (size_t i = 0; i < count; ++i) {
    elements[i] = static_cast<OrderedKey<T>>(bits[i]);
  }
}

/**
 * Returns the ranks of elements whose bits, extended by zeros, are in lanes of
 * 4 or 8 bytes. Does the same as RankOf and ordered_key, on all lanes at once.
 * T is not complex.
 */
template <typename T>
[[gnu::always_inline]] inline Vector<Rank<T>> rank_lanes(
    Vector<Rank<T>> bits,
    RankOf<T> rank) {
  using R = Rank<T>;
  constexpr int spare_bits = 8 * (sizeof(R) - sizeof(T));
  constexpr R key_mask = std::numeric_limits<OrderedKey<T>>::max();
  if constexpr (is_floating<T>) {
    using Signed = Vector<std::make_signed_t<R>>;
    auto sign =
        (Vector<R>)((Signed)(bits << spare_bits) >> (8 * sizeof(R) - 1));
    bits = (((bits & (key_mask >> 1)) ^ sign) - sign) + infinity_bits<T>();
    bits = min_of(bits & key_mask, broadcast<R>(nan_key<T>()));
  } else if constexpr (std::is_signed_v<T>) {
    bits ^= key_mask / 2 + 1;
  }
  return ((bits ^ rank.flip) - rank.offset) & key_mask;
}

/** Returns the ranks of a vector of elements of up to 4 bytes each. */
template <typename T>
[[gnu::always_inline]] inline Vector<uint32_t> rank_vector(
    ElementBits<T> elements,
    RankOf<T> rank) {
  return rank_lanes<T>(widen_bits(elements), rank);
}

/** Loads elements and returns their ranks, as many as a vector has. */
template <typename T>
[[gnu::always_inline]] inline Vector<Rank<T>> load_rank_lanes(
    const T* from,
    RankOf<T> rank) {
  if constexpr (sizeof(T) == 8) {
    Vector<uint64_t> bits;
    std::memcpy(&bits, from, sizeof(bits));
    return rank_lanes<T>(bits, rank);
  } else {
    return rank_vector<T>(load_bits<T>(from), rank);
  }
}

/**
 * Fills ``ranks`` up with the worst rank to a whole number of vectors. Returns
 * the new count.
 */
template <typename R>
size_t pad_ranks(R* ranks, size_t count) {
  auto padded = round_up(count, lanes<R>);
  std::fill(ranks + count, ranks + padded, worst<R>);
  return padded;
}

/**
 * A word holds a rank, of up to 32 bits, and below it an index, or a position.
 * No two words of a row are equal, so sorting words needs no rule for ties.
 *
 * Only AVX-512 has an instruction for the minimum of two vectors of 64-bit
 * integers. All others have one for doubles. So there a long word is a double
 * whose fraction holds the rank and the index. Its exponent is constant: all
 * words are normal positive numbers, which compare as their bits do, and which
 * no mode of the processor takes for zeros.
 */
#if defined(SELECTION_AVX512)
using LongWord = uint64_t;
#else
using LongWord = double;
#endif

/** A word of a 16-bit rank. */
using ShortWord = uint32_t;

/** The bits that all words of type W have in common. */
template <typename W>
constexpr auto fixed_bits_of_word = W{};
template <>
constexpr auto fixed_bits_of_word<double> = std::bit_cast<uint64_t>(1.0);

/** How many bits of a word of type W hold the index. */
template <typename W>
constexpr int index_bits = std::is_same_v<W, double> ? 20 : 4 * sizeof(W);

template <typename W>
W pack(uint32_t rank, uint32_t index) {
  using Bits = decltype(fixed_bits_of_word<W>);
  auto bits = static_cast<Bits>(rank) << index_bits<W>;
  return std::bit_cast<W>(bits | index | fixed_bits_of_word<W>);
}

template <typename W>
uint32_t index_of(W word) {
  using Bits = std::remove_const_t<decltype(fixed_bits_of_word<W>)>;
  auto bits = std::bit_cast<Bits>(word);
  return static_cast<uint32_t>(bits & ((Bits(1) << index_bits<W>)-1));
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
