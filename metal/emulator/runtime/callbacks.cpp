// Copyright © 2026 the mlx-topk authors. MIT licence.

// Defines the functions that g++ calls from code compiled with
// -fsanitize=thread and -fsanitize=undefined: at each memory access, and where
// an operation is undefined. They replace the sanitizers' own libraries and
// hand each access to the tracker.

#include "tracker.h"

using emulator::check_access;
using emulator::Kind;

// The kernel's code that called the function using this macro.
#define CODE __builtin_return_address(0)

// ---- accesses ---------------------------------------------------------------

static void read(void* address, size_t bytes, const void* code) {
  check_access(address, bytes, false, Kind::plain, code);
}
static void write(void* address, size_t bytes, const void* code) {
  check_access(address, bytes, true, Kind::plain, code);
}

extern "C" {

void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define PLAIN_ACCESS(prefix, bytes)                   \
  void __tsan_##prefix##read##bytes(void* address) {  \
    read(address, bytes, CODE);                       \
  }                                                   \
  void __tsan_##prefix##write##bytes(void* address) { \
    write(address, bytes, CODE);                      \
  }
#define PLAIN_ACCESSES(prefix) \
  PLAIN_ACCESS(prefix, 1)      \
  PLAIN_ACCESS(prefix, 2)      \
  PLAIN_ACCESS(prefix, 4)      \
  PLAIN_ACCESS(prefix, 8)      \
  PLAIN_ACCESS(prefix, 16)
PLAIN_ACCESSES()
PLAIN_ACCESSES(unaligned_)
PLAIN_ACCESSES(volatile_)

void __tsan_read_range(void* address, size_t bytes) {
  read(address, bytes, CODE);
}
void __tsan_write_range(void* address, size_t bytes) {
  write(address, bytes, CODE);
}

// ---- atomics ----------------------------------------------------------------

static void atomic(
    const volatile void* address,
    size_t bytes,
    bool write,
    Kind kind,
    const void* code) {
  check_access(const_cast<void*>(address), bytes, write, kind, code);
}

#define ATOMIC_UPDATE(bits, name, expression)                        \
  uint##bits##_t __tsan_atomic##bits##_##name(                       \
      volatile uint##bits##_t* address, uint##bits##_t value, int) { \
    atomic(address, bits / 8, true, Kind::read_modify_write, CODE);  \
    uint##bits##_t before = *address;                                \
    *address = static_cast<uint##bits##_t>(expression);              \
    return before;                                                   \
  }
#define ATOMIC_COMPARE(bits, name)                                  \
  int __tsan_atomic##bits##_##name(                                 \
      volatile uint##bits##_t* address,                             \
      uint##bits##_t* expected,                                     \
      uint##bits##_t value,                                         \
      int,                                                          \
      int) {                                                        \
    atomic(address, bits / 8, true, Kind::read_modify_write, CODE); \
    uint##bits##_t before = *address;                               \
    bool equal = before == *expected;                               \
    *address = equal ? value : before;                              \
    *expected = before;                                             \
    return equal;                                                   \
  }
#define ATOMICS(bits)                                                \
  uint##bits##_t __tsan_atomic##bits##_load(                         \
      const volatile uint##bits##_t* address, int) {                 \
    atomic(address, bits / 8, false, Kind::atomic, CODE);            \
    return *address;                                                 \
  }                                                                  \
  void __tsan_atomic##bits##_store(                                  \
      volatile uint##bits##_t* address, uint##bits##_t value, int) { \
    atomic(address, bits / 8, true, Kind::atomic, CODE);             \
    *address = value;                                                \
  }                                                                  \
  ATOMIC_UPDATE(bits, exchange, value)                               \
  ATOMIC_UPDATE(bits, fetch_add, before + value)                     \
  ATOMIC_UPDATE(bits, fetch_sub, before - value)                     \
  ATOMIC_UPDATE(bits, fetch_and, before& value)                      \
  ATOMIC_UPDATE(bits, fetch_or, before | value)                      \
  ATOMIC_UPDATE(bits, fetch_xor, before ^ value)                     \
  ATOMIC_COMPARE(bits, compare_exchange_strong)                      \
  ATOMIC_COMPARE(bits, compare_exchange_weak)
ATOMICS(8)
ATOMICS(32)

// ---- undefined operations ---------------------------------------------------

// The first argument describes the source line. It is not used: CODE leads to
// the same line.
#define UNDEFINED(name, what, ...)                         \
  void __ubsan_handle_##name(const void*, ##__VA_ARGS__) { \
    emulator::report_once(what, "", CODE);                 \
  }
UNDEFINED(shift_out_of_bounds, "shift by the width or more", void*, void*)
UNDEFINED(add_overflow, "signed overflow in a sum", void*, void*)
UNDEFINED(sub_overflow, "signed overflow in a difference", void*, void*)
UNDEFINED(mul_overflow, "signed overflow in a product", void*, void*)
UNDEFINED(negate_overflow, "signed overflow in a negation", void*)
UNDEFINED(divrem_overflow, "division by zero or overflow", void*, void*)
UNDEFINED(out_of_bounds, "out of bounds: array index", void*)
UNDEFINED(type_mismatch_v1, "misaligned access", void*)
UNDEFINED(load_invalid_value, "a bool that is neither 0 nor 1", void*)

} // extern "C"
