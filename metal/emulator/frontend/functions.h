// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares Metal's functions for check.py, which includes this header before
// the kernel and compiles it as C++ for OpenCL. Nothing here is ever run, so
// only few functions have bodies.
//
// Each overload that Metal has is declared by itself, without templates, so
// that calls with mixed types or with types that Metal lacks are errors.

#pragma once
#pragma clang system_header

// mem_flags.h needs METAL_FUNC from types.h.
#include "types.h"

#include "../shim/mem_flags.h"

namespace metal {

#define VECTORS(F, T) F(T##2) F(T##3) F(T##4)
#define SMALL_INTEGERS(F) F(char) F(uchar) F(short) F(ushort) F(int) F(uint)
#define SMALL_INTEGER_VECTORS(F) \
  VECTORS(F, char)               \
  VECTORS(F, uchar)              \
  VECTORS(F, short) VECTORS(F, ushort) VECTORS(F, int) VECTORS(F, uint)
#define INTEGERS(F) \
  SMALL_INTEGERS(F) \
  SMALL_INTEGER_VECTORS(F) F(long) F(ulong) VECTORS(F, long) VECTORS(F, ulong)
#define FLOATS(F) F(half) F(float) VECTORS(F, half) VECTORS(F, float)
// The integers that simdgroup functions take: neither bool nor 64-bit ones.
#define SIMD_INTEGERS(F) SMALL_INTEGERS(F) SMALL_INTEGER_VECTORS(F)

// ---- numbers ----------------------------------------------------------------

#define F(T)   \
  T min(T, T); \
  T max(T, T); \
  T clamp(T, T, T);
INTEGERS(F)
FLOATS(F)
#undef F
#define F(T)                     \
  T abs(T);                      \
  T popcount(T);                 \
  T clz(T);                      \
  T ctz(T);                      \
  T reverse_bits(T);             \
  T extract_bits(T, uint, uint); \
  T mulhi(T, T);
INTEGERS(F)
#undef F
#define F(T)      \
  T abs(T);       \
  T fabs(T);      \
  T fmin(T, T);   \
  T fmax(T, T);   \
  T floor(T);     \
  T ceil(T);      \
  T trunc(T);     \
  T rint(T);      \
  T round(T);     \
  T sqrt(T);      \
  T exp(T);       \
  T exp2(T);      \
  T log(T);       \
  T log2(T);      \
  T sin(T);       \
  T cos(T);       \
  T tanh(T);      \
  T pow(T, T);    \
  T fma(T, T, T); \
  T copysign(T, T);
FLOATS(F)
#undef F
#define F(T)        \
  bool isnan(T);    \
  bool isinf(T);    \
  bool isfinite(T); \
  bool signbit(T);
F(float)
F(half)
#undef F
inline bool isnan(bfloat value) {
  return isnan((float)value);
}
inline bool isinf(bfloat value) {
  return isinf((float)value);
}
#define F(T) T select(T, T, bool);
SMALL_INTEGERS(F)
F(long)
F(ulong)
F(half)
F(float)
F(bfloat)
#undef F

// ---- simdgroups -------------------------------------------------------------

#define F(T)                      \
  T simd_sum(T);                  \
  T simd_product(T);              \
  T simd_min(T);                  \
  T simd_max(T);                  \
  T simd_prefix_inclusive_sum(T); \
  T simd_prefix_exclusive_sum(T); \
  T simd_broadcast(T, ushort);    \
  T simd_broadcast_first(T);      \
  T simd_shuffle(T, ushort);      \
  T simd_shuffle_up(T, ushort);   \
  T simd_shuffle_down(T, ushort); \
  T simd_shuffle_xor(T, ushort);
SIMD_INTEGERS(F)
FLOATS(F)
#undef F
#define F(T)     \
  T simd_and(T); \
  T simd_or(T);  \
  T simd_xor(T);
SIMD_INTEGERS(F)
#undef F

// Without these deleted overloads, an operand of a type for which Metal has no
// simdgroup functions would silently convert to another type.
template <class T>
constexpr constant bool has_no_simd = is_same_v<T, bool> ||
    is_same_v<T, long> || is_same_v<T, ulong> || is_same_v<T, bfloat>;
#define REFUSED(name)                                                     \
  template <class T, class... Rest, enable_if_t<has_no_simd<T>, int> = 0> \
  T name(T, Rest...) = delete;
REFUSED(simd_sum)
REFUSED(simd_product)
REFUSED(simd_min)
REFUSED(simd_max)
REFUSED(simd_prefix_inclusive_sum)
REFUSED(simd_prefix_exclusive_sum)
REFUSED(simd_broadcast)
REFUSED(simd_broadcast_first)
REFUSED(simd_shuffle)
REFUSED(simd_shuffle_up)
REFUSED(simd_shuffle_down)
REFUSED(simd_shuffle_xor)
REFUSED(simd_and)
REFUSED(simd_or)
REFUSED(simd_xor)
#undef REFUSED

struct simd_vote {
  typedef uint64_t vote_t;
  simd_vote() = default;
  explicit constexpr simd_vote(vote_t vote) : votes(vote) {}
  explicit constexpr operator vote_t() const thread {
    return votes;
  }
  bool all() const thread;
  bool any() const thread;

 private:
  vote_t votes;
};
simd_vote simd_ballot(bool);
bool simd_all(bool);
bool simd_any(bool);

void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);

// ---- atomics: relaxed, in device and threadgroup memory ---------------------

enum memory_order { memory_order_relaxed };
template <class T>
struct atomic {
  atomic() = default;
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

 private:
  T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<bool> atomic_bool;
typedef atomic<float> atomic_float;

#define EXCHANGES(space, T)                                               \
  void atomic_store_explicit(volatile space atomic<T>*, T, memory_order); \
  T atomic_load_explicit(const volatile space atomic<T>*, memory_order);  \
  T atomic_exchange_explicit(volatile space atomic<T>*, T, memory_order); \
  bool atomic_compare_exchange_weak_explicit(                             \
      volatile space atomic<T>*, thread T*, T, memory_order, memory_order);
#define FETCH(space, T, name) \
  T atomic_fetch_##name##_explicit(volatile space atomic<T>*, T, memory_order);
#define SUMS(space, T) FETCH(space, T, add) FETCH(space, T, sub)
#define ALL(space, T)  \
  EXCHANGES(space, T)  \
  SUMS(space, T)       \
  FETCH(space, T, min) \
  FETCH(space, T, max) \
  FETCH(space, T, and) FETCH(space, T, or) FETCH(space, T, xor)
ALL(__global, int)
ALL(__global, uint)
ALL(__local, int)
ALL(__local, uint)
EXCHANGES(__global, float)
SUMS(__global, float)
EXCHANGES(__global, bool)
EXCHANGES(__local, bool)
#undef ALL
#undef SUMS
#undef FETCH
#undef EXCHANGES

} // namespace metal

// Metal constructs a vector with uint2(a, b), OpenCL with (uint2)(a, b).
#define char2(...) ((char2)(__VA_ARGS__))
#define char4(...) ((char4)(__VA_ARGS__))
#define uchar2(...) ((uchar2)(__VA_ARGS__))
#define uchar4(...) ((uchar4)(__VA_ARGS__))
#define short2(...) ((short2)(__VA_ARGS__))
#define short4(...) ((short4)(__VA_ARGS__))
#define ushort2(...) ((ushort2)(__VA_ARGS__))
#define ushort3(...) ((ushort3)(__VA_ARGS__))
#define ushort4(...) ((ushort4)(__VA_ARGS__))
#define int2(...) ((int2)(__VA_ARGS__))
#define int3(...) ((int3)(__VA_ARGS__))
#define int4(...) ((int4)(__VA_ARGS__))
#define uint2(...) ((uint2)(__VA_ARGS__))
#define uint3(...) ((uint3)(__VA_ARGS__))
#define uint4(...) ((uint4)(__VA_ARGS__))
#define half2(...) ((half2)(__VA_ARGS__))
#define half4(...) ((half4)(__VA_ARGS__))
#define float2(...) ((float2)(__VA_ARGS__))
#define float3(...) ((float3)(__VA_ARGS__))
#define float4(...) ((float4)(__VA_ARGS__))
