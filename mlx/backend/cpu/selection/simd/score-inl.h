// Copyright © 2026 the mlx-topk authors. MIT licence.

// Converts elements to scores. A score is a value that vector instructions can
// compare directly; greater is better. A score is cheaper to compute than a
// rank, but less exact: the scores of the two zeros, or of two NaNs, may
// differ, and a score may itself be NaN, which compares false with everything.
// So the kernels use scores to discard most elements, and ranks to choose among
// the rest.

#pragma once

#include "mlx/backend/cpu/selection/simd/rank-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The type of a score of an element of type T. */
template <typename T>
struct LaneOf {
  using type = T;
};
template <>
struct LaneOf<bool> {
  using type = uint8_t;
};
template <>
struct LaneOf<float16_t> {
  using type = uint16_t;
};
template <>
struct LaneOf<bfloat16_t> {
  using type = uint16_t;
};
template <>
struct LaneOf<complex64_t> {
  using type = uint64_t;
};

/**
 * Scores of float and double are the elements, negated when ascending. Scores
 * of all other types are integers, complemented when ascending.
 */
template <typename T, Ranking ranking>
struct Score {
  using Lane = typename LaneOf<T>::type;
  using V = Vector<Lane>;
  using R = Rank<T>;
  static constexpr bool native = std::is_floating_point_v<T>;
  static constexpr bool half = is_floating<T> && !native;
  static constexpr bool descending = ranking == Ranking::descending;

  /** Returns a score that no other score is less than. */
  static constexpr Lane lowest() {
    if constexpr (native) {
      return -std::numeric_limits<T>::infinity();
    } else {
      return std::numeric_limits<Lane>::min();
    }
  }

  /** Returns the scores of the vector of elements at ``data``. */
  static V load_scores(const T* data) {
    V v;
    std::memcpy(&v, data, sizeof(v));
    if constexpr (native) {
      return descending ? v : -v;
    } else if constexpr (half) {
      v = half_keys(v);
      return descending ? v : ~v;
    } else if constexpr (std::is_same_v<T, complex64_t>) {
      v = complex_keys(v);
      return descending ? v : ~v;
    } else {
      return descending ? v : ~v;
    }
  }

  /**
   * Compares scores with a bound from bound_of(). True for every element whose
   * rank is at least as good as the bound's; may be true for others.
   */
  static auto reaches(V score, V bound) {
    if constexpr (native && descending) {
      return ~(score <= bound);
    } else {
      return score >= bound;
    }
  }

  /** Returns a floating-point score that reaches every bound. */
  static constexpr Lane always_reaches() {
    using Limits = std::numeric_limits<Lane>;
    return descending ? Limits::quiet_NaN() : Limits::infinity();
  }

  /** How many elements group_reaches() compares at a time. */
  static constexpr size_t group = std::min<size_t>(64, 8 * lanes<Lane>);

  /**
   * Compares a group of elements with ``bound``. Returns one bit for each: bit
   * b is set if the element data[b] reaches the bound.
   */
  static uint64_t group_reaches(const T* data, V bound) {
    uint64_t bits = 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < group; i += lanes<Lane>) {
      bits |= reaching_bits(load_scores(data + i), bound) << i;
    }
    return bits;
  }

  static constexpr bool has_nan = RankOf<T>::has_nan;

  static auto is_nan(V score) {
    if constexpr (native) {
      return score != score;
    } else {
      constexpr auto least = static_cast<Lane>(nan_key<T>() + half);
      return descending ? score >= least : score <= static_cast<Lane>(~least);
    }
  }

  /** Notes in ``nan_seen`` if any score is NaN. */
  static void note_nan(V& nan_seen, V score) {
    if constexpr (native) {
      // A sum is NaN once a score is. It is also NaN if both infinities occur,
      // which costs a search for a NaN that is not there.
      nan_seen += score;
    } else if constexpr (has_nan) {
      nan_seen |= (V)is_nan(score);
    }
  }

  /**
   * Returns a mask that is true in each lane in which note_nan() has seen a
   * NaN. It may be true in other lanes too.
   */
  static auto may_have_nan(V nan_seen) {
    if constexpr (native) {
      return nan_seen != nan_seen;
    } else {
      return nan_seen != 0;
    }
  }

  /** Returns the rank of the elements that have this score. */
  static R rank_of(Lane score) {
    RankOf<T> rank(ranking);
    if constexpr (native) {
      return rank(descending ? score : -score);
    } else {
      Lane key = descending ? score : static_cast<Lane>(~score);
      if constexpr (half) {
        auto exact = static_cast<Lane>(key - (key > zero_key));
        return rank.of_key(std::min(exact, nan_key<T>()));
      } else if constexpr (std::is_same_v<T, complex64_t>) {
        return rank.of_key(key);
      } else {
        return rank(static_cast<T>(key));
      }
    }
  }

  /**
   * Returns the bound for reaches(): the least score of all elements whose rank
   * is ``bound`` or better. In descending floats, returns the score just below
   * that least score, because there reaches() tests whether a score is not <=
   * the bound. NaN, which is the best element there, passes that test.
   */
  static Lane bound_of(R bound) {
    RankOf<T> rank(ranking);
    auto key = rank.key_of(static_cast<OrderedKey<T>>(bound));
    if constexpr (native) {
      if constexpr (descending) {
        return key > 0 ? element_of_key<T>(key - 1)
                       : std::numeric_limits<T>::quiet_NaN();
      } else {
        return -element_of_key<T>(key);
      }
    } else if constexpr (half) {
      // The two zeros have one rank but two scores. All NaNs have one rank but
      // many scores. Take the lowest score of the rank.
      Lane least = descending   ? key + (key > zero_key)
          : key == nan_key<T>() ? std::numeric_limits<Lane>::max()
                                : key + (key >= zero_key);
      return descending ? least : static_cast<Lane>(~least);
    } else if constexpr (std::is_same_v<T, complex64_t>) {
      return descending ? key : ~key;
    } else {
      auto element = static_cast<Lane>(element_of_key<T>(key));
      return descending ? element : static_cast<Lane>(~element);
    }
  }

 private:
  static constexpr Lane zero_key = half ? infinity_bits<T>() : 0;

  // Returns mask_bits(reaches(score, bound)).
  static uint64_t reaching_bits(V score, V bound) {
#if defined(SELECTION_AVX512)
    // GCC would first expand the mask to a vector.
    constexpr auto compare = descending ? _CMP_NLE_UQ : _CMP_GE_OQ;
    if constexpr (std::is_same_v<T, float>) {
      return bits_of_mask(
          _mm512_cmp_ps_mask((__m512)score, (__m512)bound, compare));
    } else if constexpr (std::is_same_v<T, double>) {
      return bits_of_mask(
          _mm512_cmp_pd_mask((__m512d)score, (__m512d)bound, compare));
    } else if constexpr (sizeof(Lane) == 2 && std::is_unsigned_v<Lane>) {
      return bits_of_mask(
          _mm512_cmpge_epu16_mask((__m512i)score, (__m512i)bound));
    }
#else
    // GCC would invert the vector, not the bits.
    if constexpr (native && descending) {
      return mask_bits(score <= bound) ^ ((uint64_t(1) << lanes<Lane>)-1);
    }
#endif
    return mask_bits(reaches(score, bound));
  }

  // Returns keys that compare as ordered_key does, except that +0 is above -0
  // and NaNs with different payloads differ.
  static V half_keys(V bits) {
    using Signed = std::make_signed_t<Lane>;
    auto sign = (V)((Vector<Signed>)bits >> 15);
    return (bits ^ (sign & Lane(0x7fff))) + Lane(infinity_bits<T>() + 1);
  }

  // Returns ordered_key of complex elements.
  static V complex_keys(V bits) {
    // The real part is the low half of an element and the high half of a key.
    using Half = Vector<uint32_t>;
    auto parts = (Half)bits;
    auto sign = (Half)((Vector<int32_t>)parts >> 31);
    auto keys =
        (((parts & 0x7fffffffu) ^ sign) - sign) + infinity_bits<float>();
    auto is_nan = (V)(keys >= nan_key<float>());
    auto pair = (V)keys;
    return (pair << 32) | (pair >> 32) | is_nan | (is_nan << 32) |
        (is_nan >> 32);
  }
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
