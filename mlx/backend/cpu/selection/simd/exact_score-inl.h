// Copyright © 2026 the mlx-topk authors. MIT licence.

// Scores that order elements exactly as argmax and argmin do, so that no rank
// is needed beside them: elements that tie have equal scores, and NaN is best
// in both directions.

#pragma once

#include "mlx/backend/cpu/selection/simd/score-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The type of an exact score that is as wide as the element. */
template <typename T>
struct ExactLaneOf {
  using type = std::make_signed_t<typename LaneOf<T>::type>;
};
template <>
struct ExactLaneOf<float> {
  using type = float;
};
template <>
struct ExactLaneOf<double> {
  using type = double;
};

/** As ExactLaneOf, but at least 32 bits wide. */
template <typename T>
using WideLane =
    std::conditional_t<(sizeof(T) < 4), int32_t, typename ExactLaneOf<T>::type>;

/** A vector of ``count`` lanes. */
template <typename L, size_t count>
struct VectorOfCount {
  typedef L type __attribute__((vector_size(count * sizeof(L))));
};

/** Returns ``a`` in the lanes in which ``mask`` is true, and ``b`` in others.
 */
template <typename M, typename V>
V choose(M mask, V a, V b) {
#if defined(__x86_64__)
  if constexpr (vector_bytes == 16) {
    // SSE2 has no instruction for this, and GCC would do it lane by lane.
    auto m = (__m128i)mask;
    return (V)_mm_or_si128(
        _mm_and_si128(m, (__m128i)a), _mm_andnot_si128(m, (__m128i)b));
  }
#endif
  return mask ? a : b;
}

/** Loads integers of 8 or 16 bits and extends them to 32 bits. */
template <typename L, typename T>
Vector<int32_t> load_widened(const T* from) {
  constexpr auto count = lanes<int32_t>;
  typename VectorOfCount<L, count>::type loaded;
  std::memcpy(&loaded, from, sizeof(loaded));
  if constexpr (std::is_unsigned_v<L>) {
    return (Vector<int32_t>)widen_bits(loaded);
  }
  // The intrinsics are here for the reason that widen_bits() gives.
#if defined(SELECTION_AVX512)
  if constexpr (sizeof(L) == 1) {
    return (Vector<int32_t>)_mm512_maskz_cvtepi8_epi32(0xffff, (__m128i)loaded);
  }
#elif defined(SELECTION_AVX2)
  if constexpr (sizeof(L) == 1) {
    auto lower = _mm_cvtsi64_si128(std::bit_cast<int64_t>(loaded));
    return (Vector<int32_t>)_mm256_cvtepi8_epi32(lower);
  } else {
    return (Vector<int32_t>)_mm256_cvtepi16_epi32((__m128i)loaded);
  }
#endif
  return __builtin_convertvector(loaded, Vector<int32_t>);
}

/**
 * Converts elements to exact scores of type ``L``, which is ExactLaneOf<T> or
 * WideLane<T>. T may be any type but complex64_t.
 */
template <typename T, Ranking ranking, typename L>
struct ExactScore {
  using Element = T;
  using Lane = L;
  using Index = typename UnsignedOfSize<sizeof(L)>::type;
  using V = Vector<L>;
  using I = Vector<Index>;
  static constexpr size_t width = lanes<L>;
  static constexpr bool native = std::is_floating_point_v<T>;
  static constexpr bool descending = ranking == Ranking::descending;

  /** Widens one element to a lane without changing its bits. */
  static Lane lane_of(T element) {
    return static_cast<Lane>(std::bit_cast<typename LaneOf<T>::type>(element));
  }

  /** Loads a vector of elements, widened to lanes. */
  static V load_lanes(const T* from) {
    using Loaded = typename LaneOf<T>::type;
    if constexpr (sizeof(Loaded) == sizeof(Lane)) {
      V v;
      std::memcpy(&v, from, sizeof(v));
      return v;
    } else {
      return (V)load_widened<Loaded>(from);
    }
  }

  /** Converts elements in lanes to scores. */
  static V scores(V v) {
    if constexpr (native) {
      return descending ? v : -v;
    } else if constexpr (is_floating<T>) {
      auto magnitude = v & Lane(0x7fff);
      V sign = (v << spare_bits) >> (8 * sizeof(Lane) - 1);
      sign = descending ? sign : ~sign;
      auto score = (magnitude ^ sign) - sign;
      auto is_nan = magnitude > static_cast<Lane>(infinity_bits<T>());
      return choose(is_nan, broadcast<Lane>(0x7fff), score);
    } else {
      if constexpr (std::is_unsigned_v<T> && spare_bits == 0) {
        v ^= std::numeric_limits<Lane>::min();
      }
      return descending ? v : ~v;
    }
  }

  static V load_scores(const T* from) {
    return scores(load_lanes(from));
  }

  /** Returns a mask of the lanes in which ``a`` is better than ``b``. */
  static auto better(V a, V b) {
    if constexpr (native) {
      return ~(a <= b) & (b == b);
    } else {
      return a > b;
    }
  }

 private:
  static constexpr int spare_bits = 8 * (sizeof(L) - sizeof(T));
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
