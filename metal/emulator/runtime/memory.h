// Copyright © 2026 the mlx-topk authors. MIT licence.

// The memory of a launch: buffers by index, and threadgroup memory. memory.cpp
// is the part common to both builds. The plain build uses the caller's buffers
// in place (in_place.cpp). The tracked build copies them far apart, so that an
// access out of bounds hits no other buffer (placed.cpp).

#pragma once

#include "state.h"

namespace emulator {

// How many indices [[buffer(N)]] has, and how many [[threadgroup(N)]] has.
constexpr int most_arguments = 31;
constexpr uint64_t most_threadgroup_bytes = 32768;

struct Buffer {
  bool bound; // whether the launch has a buffer with this index
  emulator_buffer given;
  char* start; // where the kernel's pointer points
};
extern Buffer buffers[most_arguments];

/** Fills `buffers` and the sizes of threadgroup arguments. Returns false, after
 * adding a finding, if the launch's memory is invalid. */
bool bind(const emulator_dispatch& dispatch);
void unbind();
/** Frees the threadgroup memory before the next threadgroup starts. */
void reset_threadgroup_memory();

/** One threadgroup variable or argument. */
struct ThreadgroupMemory {
  char* start;
  uint64_t bytes;
  const char* name;
  uint32_t serial; // the number of the threadgroup that it was allocated for
};

/** Returns the finding that `memory` exceeds the limit after `used` bytes. */
std::string threadgroup_memory_error(
    uint64_t used,
    const ThreadgroupMemory& memory);

// ---- defined by each build for itself ---------------------------------------

/** Sets `start` of each bound buffer. */
void place_buffers(const Kernel& kernel);
/** Copies outputs back to the caller if place_buffers copied them. */
void return_buffers();
/** Returns the address for a new piece of threadgroup memory. `number` pieces,
 * of `used` bytes in total, have been allocated before in this threadgroup. */
char* place_threadgroup_memory(
    uint32_t number,
    uint64_t used,
    const ThreadgroupMemory& memory);
/** Checks the access that atomic_update, called by `code`, is about to make. */
void check_atomic_update(volatile void* word, const void* code);

} // namespace emulator
