// Copyright © 2026 the mlx-topk authors. MIT licence.

// Vectors in the compiler's own vector type, and the operations that it has no
// operator for.

#pragma once

#if !defined(SELECTION_NAMESPACE) || !defined(SELECTION_VECTOR_BYTES)
#error "Only a source file that chooses an instruction set can include this."
#endif

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

constexpr size_t vector_bytes = SELECTION_VECTOR_BYTES;

/** Returns the least multiple of ``multiple`` that is at least n. */
inline size_t round_up(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/** How many elements of type T a vector holds. */
template <typename T>
constexpr size_t lanes = vector_bytes / sizeof(T);

/** Returns how many vectors ``count`` elements fill, the last perhaps in part.
 */
template <typename T>
size_t vectors_of(size_t count) {
  return (count + lanes<T> - 1) / lanes<T>;
}

template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
};

template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
Vector<T> load(const T* from) {
  Vector<T> v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

/** Returns half a vector of integers, each extended by zeros to 64 bits. */
inline Vector<uint64_t> widen(const uint32_t* from) {
#if defined(SELECTION_AVX512)
  // GCC 12 warns of an uninitialised variable in _mm512_cvtepu32_epi64.
  return (Vector<uint64_t>)_mm512_maskz_cvtepu32_epi64(
      0xff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(SELECTION_AVX2)
  // GCC splits the conversion below in two.
  return (Vector<uint64_t>)_mm256_cvtepu32_epi64(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
  typedef uint32_t Half __attribute__((vector_size(vector_bytes / 2)));
  Half half;
  std::memcpy(&half, from, sizeof(half));
  return __builtin_convertvector(half, Vector<uint64_t>);
#endif
}

/** Stores the lower 32 bits of each lane. */
inline void narrow(uint32_t* to, Vector<uint64_t> v) {
#if defined(SELECTION_AVX2)
  // GCC splits the conversion below in two.
  auto lower = _mm256_permutevar8x32_epi32(
      (__m256i)v, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(lower));
#else
  typedef uint32_t Half __attribute__((vector_size(vector_bytes / 2)));
  auto lower = __builtin_convertvector(v, Half);
  std::memcpy(to, &lower, sizeof(lower));
#endif
}

template <typename T>
void store(T* to, const Vector<T>& v) {
  std::memcpy(to, &v, sizeof(v));
}

template <typename T>
Vector<T> broadcast(T value) {
  return Vector<T>{} + value;
}

/** Returns a vector whose lane l is l. */
template <typename E>
[[gnu::always_inline]] inline Vector<E> lane_numbers() {
  Vector<E> numbers;
  for (size_t l = 0; l < lanes<E>; ++l) {
    numbers[l] = static_cast<E>(l);
  }
  return numbers;
}

/** Returns the lesser of each two lanes. */
template <typename V>
V min_of(V a, V b) {
#if defined(__aarch64__)
  // Compilers make several instructions of the comparison below.
  if constexpr (std::is_same_v<V, Vector<double>>) {
    return (V)vminnmq_f64((float64x2_t)a, (float64x2_t)b);
  }
#endif
  return a < b ? a : b;
}

/**
 * Returns the greater of each two lanes. Where ``a`` is a quiet NaN the result
 * is ``b``. Where it is a signalling NaN, some processors return NaN.
 */
template <typename V>
V max_of(V a, V b) {
#if defined(__aarch64__)
  if constexpr (std::is_same_v<V, Vector<double>>) {
    return (V)vmaxnmq_f64((float64x2_t)a, (float64x2_t)b);
  }
#endif
  return a > b ? a : b;
}

/**
 * Calls use(i) for vectors of type E that begin at i and cover all ``count``
 * elements, some of them twice. ``count`` is at least one vector.
 */
template <typename E, typename Use>
[[gnu::always_inline]] inline void for_each_vector(size_t count, Use&& use) {
  for (size_t i = 0; i + lanes<E> <= count; i += lanes<E>) {
    use(i);
  }
  if (count % lanes<E> != 0) {
    use(count - lanes<E>);
  }
}

/**
 * Returns a vector whose lane l is lane from(l) of ``a`` and ``b`` together.
 * The lanes of ``b`` are numbered after those of ``a``.
 */
template <typename V, typename From, size_t... l>
V shuffle(V a, V b, From from, std::index_sequence<l...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, from(l)...);
#else
  using Lane = std::make_signed_t<std::decay_t<decltype(a[0])>>;
  typedef Lane Lanes __attribute__((vector_size(sizeof(V))));
  return __builtin_shuffle(a, b, Lanes{Lane(from(l))...});
#endif
}

template <typename T, typename From>
Vector<T> shuffle(Vector<T> a, Vector<T> b, From from) {
  return shuffle(a, b, from, std::make_index_sequence<lanes<T>>());
}

/** Combines all lanes of a vector by ``op``. Each lane of the result is that.
 */
template <typename V, typename Op, size_t step = sizeof(V) / sizeof(V{}[0]) / 2>
[[gnu::always_inline]] inline V fold_lanes(V v, Op op) {
  if constexpr (step > 0) {
    using E = std::decay_t<decltype(v[0])>;
    auto other = shuffle<E>(v, v, [](size_t l) constexpr { return l ^ step; });
    return fold_lanes<V, Op, step / 2>(op(v, other), op);
  } else {
    return v;
  }
}

/**
 * Exchanges two bits in the position of each key: the bit ``row_bit`` of its
 * row and the bit ``lane_bit`` of its lane.
 */
template <typename E, int rows, size_t row_bit, size_t lane_bit>
[[gnu::always_inline]] inline void exchange_position_bits(Vector<E>* v) {
#pragma GCC unroll 32
  for (size_t i = 0; i < rows; ++i) {
    if ((i & row_bit) == 0) {
      auto a = v[i];
      auto b = v[i + row_bit];
      v[i] = shuffle<E>(a, b, [](size_t l) constexpr {
        return l & lane_bit ? lanes<E> + l - lane_bit : l;
      });
      v[i + row_bit] = shuffle<E>(a, b, [](size_t l) constexpr {
        return l & lane_bit ? lanes<E> + l : l + lane_bit;
      });
    }
  }
}

/** Transposes ``rows`` vectors, as one or more square matrices side by side. */
template <typename E, int rows, size_t bit = 1>
[[gnu::always_inline]] inline void transpose(Vector<E>* v) {
  if constexpr (bit < rows) {
    exchange_position_bits<E, rows, bit, bit>(v);
    transpose<E, rows, 2 * bit>(v);
  }
}

/** Returns a vector made of two halves, ``a`` in the lower lanes. */
template <typename V, typename Half, size_t... l>
V concatenate(Half a, Half b, std::index_sequence<l...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, l...);
#else
  V v;
  std::memcpy(&v, &a, sizeof(a));
  std::memcpy(reinterpret_cast<char*>(&v) + sizeof(a), &b, sizeof(b));
  return v;
#endif
}

#if defined(SELECTION_AVX512)

/** Converts the result of a comparison of vectors to a mask. */
template <typename M>
auto to_mask(M compared) {
  auto m = (__m512i)compared;
  constexpr auto lane = sizeof(compared[0]);
  if constexpr (lane == 1) {
    return _mm512_movepi8_mask(m);
  } else if constexpr (lane == 2) {
    return _mm512_movepi16_mask(m);
  } else if constexpr (lane == 4) {
    return _mm512_movepi32_mask(m);
  } else {
    return _mm512_movepi64_mask(m);
  }
}

/** Returns the bits of a mask. */
template <typename Mask>
[[gnu::always_inline]] inline uint64_t bits_of_mask(Mask mask) {
  uint64_t bits = mask;
  // Puts the bits in a general register. GCC 12 otherwise sometimes stores the
  // 8 or 16 bits of a mask register on the stack, and reads 64 bits back.
  asm("" : "+r"(bits));
  return bits;
}

#endif

/** Converts the result of a comparison to one bit per lane, lane 0 lowest. */
template <typename M>
uint64_t mask_bits(M mask) {
  [[maybe_unused]] constexpr auto lane = sizeof(mask[0]);
#if defined(SELECTION_AVX512)
  return bits_of_mask(to_mask(mask));
#elif defined(SELECTION_AVX2)
  auto m = (__m256i)mask;
  if constexpr (lane == 1) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(m));
  } else if constexpr (lane == 2) {
    return _pext_u32(_mm256_movemask_epi8(m), 0x55555555);
  } else if constexpr (lane == 4) {
    return _mm256_movemask_ps(_mm256_castsi256_ps(m));
  } else {
    return _mm256_movemask_pd(_mm256_castsi256_pd(m));
  }
#elif defined(__x86_64__)
  auto m = (__m128i)mask;
  if constexpr (lane == 1) {
    return _mm_movemask_epi8(m);
  } else if constexpr (lane == 2) {
    return _mm_movemask_epi8(_mm_packs_epi16(m, _mm_setzero_si128()));
  } else if constexpr (lane == 4) {
    return _mm_movemask_ps(_mm_castsi128_ps(m));
  } else {
    return _mm_movemask_pd(_mm_castsi128_pd(m));
  }
#elif defined(__aarch64__)
  // Keeps one bit of each lane, and adds these bits.
  auto m = (uint8x16_t)mask;
  if constexpr (lane == 1) {
    constexpr uint8_t bits[16] = {
        1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    auto kept = vandq_u8(m, vld1q_u8(bits));
    return vaddv_u8(vget_low_u8(kept)) | vaddv_u8(vget_high_u8(kept)) << 8;
  } else if constexpr (lane == 2) {
    constexpr uint16_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    return vaddvq_u16(vandq_u16((uint16x8_t)m, vld1q_u16(bits)));
  } else if constexpr (lane == 4) {
    constexpr uint32_t bits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32((uint32x4_t)m, vld1q_u32(bits)));
  } else {
    constexpr uint64_t bits[2] = {1, 2};
    return vaddvq_u64(vandq_u64((uint64x2_t)m, vld1q_u64(bits)));
  }
#else
  uint64_t bits = 0;
  for (size_t l = 0; l < vector_bytes / lane; ++l) {
    bits |= uint64_t(mask[l] != 0) << l;
  }
  return bits;
#endif
}

/** Returns one bit for each lane: whether ``a`` is at most ``b`` there. */
template <typename V>
uint64_t lanes_up_to(V a, V b) {
#if defined(SELECTION_AVX512)
  // GCC would first expand the mask to a vector.
  if constexpr (std::is_same_v<V, Vector<uint32_t>>) {
    return bits_of_mask(_mm512_cmple_epu32_mask((__m512i)a, (__m512i)b));
  } else if constexpr (std::is_same_v<V, Vector<uint64_t>>) {
    return bits_of_mask(_mm512_cmple_epu64_mask((__m512i)a, (__m512i)b));
  }
#endif
  return mask_bits(a <= b);
}

/** Returns whether the result of a comparison is true in any lane. */
template <typename M>
bool any_of(M mask) {
#if defined(SELECTION_AVX512)
  return to_mask(mask) != 0;
#elif defined(__x86_64__)
  return mask_bits(mask) != 0;
#else
  auto words = (Vector<uint64_t>)mask;
  uint64_t any = 0;
  for (size_t l = 0; l < lanes<uint64_t>; ++l) {
    any |= words[l];
  }
  return any != 0;
#endif
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
