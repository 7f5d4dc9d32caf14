// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where the memory of a launch is. The plain build uses the caller's buffers in
// place; the tracked build (tracker.cpp) may put them where overruns touch
// nothing else.

#pragma once

#include "state.h"

namespace emulator {

constexpr int most_arguments = 31; // of buffers and of threadgroup memory, each
constexpr uint64_t most_threadgroup_bytes = 32768;

struct Buffer {
  bool bound;
  emulator_buffer given;
  char* start; // where the kernel's pointer points
};
extern Buffer buffers[most_arguments];

/** Notes what a launch was given; false, with a finding, if it cannot be. */
bool bind(const emulator_dispatch& dispatch);
void unbind();
/** Threadgroup memory of the threadgroup before is gone. */
void forget_threadgroup_memory();

struct ThreadgroupMemory {
  char* start;
  uint64_t bytes;
  const char* name;
  uint32_t serial; // of the threadgroup that it belongs to
};

// ---- what differs between the builds
// -----------------------------------------

/** Sets the buffers' starts. */
void place_buffers(const Kernel& kernel);
/** Brings the results back to the caller. */
void return_buffers();
/** Memory for threadgroup memory number `number`, `used` bytes after the first.
 */
char* place_threadgroup_memory(
    uint32_t number,
    uint64_t used,
    const ThreadgroupMemory& memory);
/** Looks at what atomic_update is about to do. */
void check_atomic_update(volatile void* word, const void* code);

} // namespace emulator
