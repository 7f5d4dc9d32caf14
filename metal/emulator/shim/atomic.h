// Copyright © 2026 the mlx-topk authors. MIT licence.

// Part of the shim (metal.h): Metal's atomic types and functions, all relaxed.
// There are no 64-bit atomics: no kernel here needs them, and a use is a
// compile error.

#pragma once
#pragma GCC system_header

#include "../runtime/executor.h"
#include "types.h"

namespace metal {

enum memory_order { memory_order_relaxed };

template <typename T>
struct atomic {
  atomic() = default;
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
  T value; // private in Metal; only the functions below use it
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;
typedef atomic<bool> atomic_bool;

/** T, for a parameter that does not decide what T is: its argument converts. */
template <typename T>
using NotDeduced = typename std::common_type<T>::type;
template <typename T>
constexpr bool is_atomic_integer =
    std::is_same_v<T, int> || std::is_same_v<T, uint>;

template <typename T>
T atomic_load_explicit(const volatile atomic<T>* object, memory_order) {
  emulator::atomic_operation();
  T value;
  __atomic_load(&object->value, &value, __ATOMIC_RELAXED);
  return value;
}
template <typename T>
void atomic_store_explicit(
    volatile atomic<T>* object,
    NotDeduced<T> value,
    memory_order) {
  emulator::atomic_operation();
  __atomic_store(&object->value, &value, __ATOMIC_RELAXED);
}
template <typename T>
T atomic_exchange_explicit(
    volatile atomic<T>* object,
    NotDeduced<T> value,
    memory_order) {
  emulator::atomic_operation();
  T before;
  __atomic_exchange(&object->value, &value, &before, __ATOMIC_RELAXED);
  return before;
}
template <typename T>
bool atomic_compare_exchange_weak_explicit(
    volatile atomic<T>* object,
    T* expected,
    NotDeduced<T> value,
    memory_order,
    memory_order) {
  emulator::atomic_operation();
  return __atomic_compare_exchange(
      &object->value,
      expected,
      &value,
      true,
      __ATOMIC_RELAXED,
      __ATOMIC_RELAXED);
}

#define EMULATOR_FETCH(operation)                                      \
  template <typename T>                                                \
  std::enable_if_t<is_atomic_integer<T>, T>                            \
  atomic_fetch_##operation##_explicit(                                 \
      volatile atomic<T>* object, NotDeduced<T> value, memory_order) { \
    emulator::atomic_operation();                                      \
    return __atomic_fetch_##operation(                                 \
        &object->value, value, __ATOMIC_RELAXED);                      \
  }
EMULATOR_FETCH(add)
EMULATOR_FETCH(sub)
EMULATOR_FETCH(and)
EMULATOR_FETCH(or)
EMULATOR_FETCH(xor)
#undef EMULATOR_FETCH

// g++ has no atomic maximum or minimum, and no atomic sum of floats. For these,
// the executor updates the word with a function of the old word and the
// operand.

/** Applies Operation to words that hold values of type T. */
template <typename T, typename Operation>
uint32_t apply_to_words(uint32_t before, uint32_t operand) {
  return as_type<uint32_t>(static_cast<T>(
      Operation::apply(as_type<T>(before), as_type<T>(operand))));
}
#define EMULATOR_FETCH_WORDS(operation, condition, expression)         \
  struct fetch_##operation##_operation {                               \
    template <typename T>                                              \
    static T apply(T before, T value) {                                \
      return expression;                                               \
    }                                                                  \
  };                                                                   \
  template <typename T>                                                \
  std::enable_if_t<condition, T> atomic_fetch_##operation##_explicit(  \
      volatile atomic<T>* object, NotDeduced<T> value, memory_order) { \
    return as_type<T>(emulator::atomic_update(                         \
        &object->value,                                                \
        as_type<uint32_t>(value),                                      \
        &apply_to_words<T, fetch_##operation##_operation>));           \
  }
EMULATOR_FETCH_WORDS(max, is_atomic_integer<T>, before < value ? value : before)
EMULATOR_FETCH_WORDS(min, is_atomic_integer<T>, value < before ? value : before)
EMULATOR_FETCH_WORDS(add, (std::is_same_v<T, float>), before + value)
EMULATOR_FETCH_WORDS(sub, (std::is_same_v<T, float>), before - value)
#undef EMULATOR_FETCH_WORDS

} // namespace metal
