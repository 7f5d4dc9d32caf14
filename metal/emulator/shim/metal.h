// Copyright © 2026 the mlx-topk authors. MIT licence.

// The shim defines Metal's library in C++, for kernels that the pre-pass
// translated. builder.py includes this header before each translated kernel. It
// therefore also defines the names that the pre-pass writes into a kernel:
// EMULATOR_REGISTER, emulator::threadgroup_variable and emulator::argument.

#pragma once
#pragma GCC system_header

#include "../runtime/executor.h"
#include "atomic.h"
#include "math.h"
#include "simdgroup.h"
#include "types.h"

#define EMULATOR_CAT_(a, b) a##b
#define EMULATOR_CAT(a, b) EMULATOR_CAT_(a, b)
// Adds a kernel to the library under a host name. `kernel` is in parentheses,
// because its template arguments contain commas.
#define EMULATOR_UNPACK(...) __VA_ARGS__
#define EMULATOR_REGISTER(name, constants, most_threads, kernel) \
  static ::emulator::Registration EMULATOR_CAT(                  \
      emulator_registration_, __COUNTER__)(                      \
      name, constants, most_threads, +[] { (EMULATOR_UNPACK kernel)(); });

namespace emulator {

/** Returns the running threadgroup's copy of the variable number `id`. */
template <int id, typename T>
inline T* threadgroup_variable(const char* name) {
  return static_cast<T*>(threadgroup_memory(id, sizeof(T), name));
}

/** Contains the functions that return the values of kernel parameters. Kernels
 * are called without arguments. The pre-pass therefore gives each parameter a
 * default argument: a call of the function that is named like its attribute. */
namespace argument {

/** Converts to the type of the parameter, which is a pointer or a reference. */
struct Memory {
  void* start;
  template <typename T>
  operator T*() const {
    return static_cast<T*>(start);
  }
  template <typename T>
  operator T&() const {
    return *static_cast<T*>(start);
  }
};
inline Memory buffer(int index) {
  return {emulator::buffer(index)};
}
inline Memory threadgroup(int index) {
  return {threadgroup_argument(index)};
}

/** Converts to the type of the parameter, of one to three dimensions. */
struct Position {
  Size size;
  operator uint() const {
    return size.x;
  }
  operator ushort() const {
    return static_cast<ushort>(size.x);
  }
  operator uint2() const {
    return uint2(size.x, size.y);
  }
  operator uint3() const {
    return uint3(size.x, size.y, size.z);
  }
  operator ushort2() const {
    return ushort2(size.x, size.y);
  }
  operator ushort3() const {
    return ushort3(size.x, size.y, size.z);
  }
};
inline Position thread_position_in_grid() {
  return {current->position_in_grid};
}
inline Position thread_position_in_threadgroup() {
  return {current->position_in_threadgroup};
}
inline Position threadgroup_position_in_grid() {
  return {emulator::threadgroup.position};
}
inline Position threadgroups_per_grid() {
  return {emulator::threadgroup.count};
}
inline Position threads_per_threadgroup() {
  return {emulator::threadgroup.threads};
}
inline Position threads_per_grid() {
  return {emulator::threadgroup.grid};
}

inline uint thread_index_in_threadgroup() {
  return current->index;
}
inline uint thread_index_in_simdgroup() {
  return current->lane;
}
inline uint simdgroup_index_in_threadgroup() {
  return current->simdgroup;
}
inline uint simdgroups_per_threadgroup() {
  return emulator::threadgroup.simdgroups;
}
inline uint threads_per_simdgroup() {
  return 32;
}
inline uint thread_execution_width() {
  return 32;
}

} // namespace argument
} // namespace emulator
