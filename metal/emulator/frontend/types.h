// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares Metal's keywords, types and type traits for check.py, which compiles
// kernels as C++ for OpenCL: clang then checks address spaces. functions.h
// includes this header. Nothing here is ever run.

#pragma once
#pragma clang system_header
#pragma OPENCL EXTENSION cl_khr_fp16 : enable

#define device __global
#define threadgroup __local
#define constant __constant
#define thread __private
#define METAL_FUNC inline __attribute__((__always_inline__))

// Renames Metal's names that OpenCL uses for something else.
#define atomic_int metal_atomic_int
#define atomic_uint metal_atomic_uint
#define atomic_long metal_atomic_long
#define atomic_ulong metal_atomic_ulong
#define atomic_float metal_atomic_float
#define atomic_bool metal_atomic_bool
#define event_t metal_event_t
#define memory_order metal_memory_order

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long int64_t;
typedef uchar uint8_t;
typedef ushort uint16_t;
typedef uint uint32_t;
typedef ulong uint64_t;
typedef unsigned long size_t;
typedef long ptrdiff_t;
typedef __bf16 bfloat;

#define INFINITY (__builtin_inff())
#define NAN (__builtin_nanf(""))
#define FLT_MAX 3.402823466e+38f
#define UINT_MAX 0xffffffffu
#define INT_MAX 0x7fffffff

#define FRONTEND_VECTORS(T)                           \
  typedef T T##2 __attribute__((ext_vector_type(2))); \
  typedef T T##3 __attribute__((ext_vector_type(3))); \
  typedef T T##4 __attribute__((ext_vector_type(4)));
FRONTEND_VECTORS(char)
FRONTEND_VECTORS(uchar)
FRONTEND_VECTORS(short)
FRONTEND_VECTORS(ushort)
FRONTEND_VECTORS(int)
FRONTEND_VECTORS(uint)
FRONTEND_VECTORS(long)
FRONTEND_VECTORS(ulong)
FRONTEND_VECTORS(half)
FRONTEND_VECTORS(float)
#undef FRONTEND_VECTORS

template <class To, class From>
constexpr METAL_FUNC To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From), "as_type: sizes differ");
  return __builtin_bit_cast(To, from);
}

// The pre-pass replaces each threadgroup variable by a call of this function.
namespace emulator {
template <int id, class T>
__local T* threadgroup_variable(__constant const char* name);
}

namespace metal {

using ::as_type;
template <class T, int size>
using vec = T __attribute__((ext_vector_type(size)));

// ---- traits -----------------------------------------------------------------

template <class T, T v>
struct integral_constant {
  static constexpr constant T value = v;
};
template <bool v>
using bool_constant = integral_constant<bool, v>;
typedef bool_constant<true> true_type;
typedef bool_constant<false> false_type;

template <class A, class B>
constexpr constant bool is_same_v = __is_same(A, B);
template <class A, class B>
struct is_same : bool_constant<__is_same(A, B)> {};
template <bool condition, class T = void>
struct enable_if {};
template <class T>
struct enable_if<true, T> {
  typedef T type;
};
template <bool condition, class T = void>
using enable_if_t = typename enable_if<condition, T>::type;
template <bool condition, class T, class F>
struct conditional {
  typedef T type;
};
template <class T, class F>
struct conditional<false, T, F> {
  typedef F type;
};
template <bool condition, class T, class F>
using conditional_t = typename conditional<condition, T, F>::type;
template <class T>
using remove_cv_t = __remove_cv(T);
template <class T>
using make_unsigned_t = __make_unsigned(T);
template <class T>
struct make_unsigned {
  typedef __make_unsigned(T) type;
};
template <class T>
using make_signed_t = __make_signed(T);
template <class T>
struct make_signed {
  typedef __make_signed(T) type;
};

#define FRONTEND_TRAIT(name)                      \
  template <class T>                              \
  constexpr constant bool name##_v = __##name(T); \
  template <class T>                              \
  struct name : bool_constant<__##name(T)> {};
FRONTEND_TRAIT(is_integral)
FRONTEND_TRAIT(is_floating_point)
FRONTEND_TRAIT(is_arithmetic)
FRONTEND_TRAIT(is_signed)
FRONTEND_TRAIT(is_unsigned)
#undef FRONTEND_TRAIT
template <class A, class B>
constexpr constant bool is_convertible_v = __is_convertible(A, B);

template <class T>
struct numeric_limits;
#define FRONTEND_INTEGER_LIMITS(T, low, high)            \
  template <>                                            \
  struct numeric_limits<T> {                             \
    static constexpr constant bool is_integer = true;    \
    static constexpr constant bool has_infinity = false; \
    static constexpr T min() {                           \
      return (T)(low);                                   \
    }                                                    \
    static constexpr T lowest() {                        \
      return (T)(low);                                   \
    }                                                    \
    static constexpr T max() {                           \
      return (T)(high);                                  \
    }                                                    \
  };
FRONTEND_INTEGER_LIMITS(bool, 0, 1)
FRONTEND_INTEGER_LIMITS(char, -128, 127)
FRONTEND_INTEGER_LIMITS(int8_t, -128, 127)
FRONTEND_INTEGER_LIMITS(uchar, 0, 255)
FRONTEND_INTEGER_LIMITS(short, -32768, 32767)
FRONTEND_INTEGER_LIMITS(ushort, 0, 65535)
FRONTEND_INTEGER_LIMITS(int, -2147483647 - 1, 2147483647)
FRONTEND_INTEGER_LIMITS(uint, 0, 4294967295u)
FRONTEND_INTEGER_LIMITS(long, -9223372036854775807L - 1, 9223372036854775807L)
FRONTEND_INTEGER_LIMITS(ulong, 0, 18446744073709551615UL)
#undef FRONTEND_INTEGER_LIMITS
#define FRONTEND_FLOAT_LIMITS(T, least, most)           \
  template <>                                           \
  struct numeric_limits<T> {                            \
    static constexpr constant bool is_integer = false;  \
    static constexpr constant bool has_infinity = true; \
    static constexpr T min() {                          \
      return (T)(least);                                \
    }                                                   \
    static constexpr T lowest() {                       \
      return (T)(-(most));                              \
    }                                                   \
    static constexpr T max() {                          \
      return (T)(most);                                 \
    }                                                   \
    static constexpr T infinity() {                     \
      return (T)__builtin_inff();                       \
    }                                                   \
    static constexpr T quiet_NaN() {                    \
      return (T)__builtin_nanf("");                     \
    }                                                   \
  };
FRONTEND_FLOAT_LIMITS(float, 1.175494351e-38f, 3.402823466e+38f)
FRONTEND_FLOAT_LIMITS(half, 6.103515625e-5f, 65504.f)
FRONTEND_FLOAT_LIMITS(bfloat, 1.175494351e-38f, 3.38953139e38f)
#undef FRONTEND_FLOAT_LIMITS

} // namespace metal
