// Copyright © 2026 the mlx-topk authors. MIT licence.

// What a compiled kernel sees of the executor: who it is, where its memory is,
// and the points at which threads wait for each other. Threads are fibers of
// one OS thread.

#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

struct Size {
  uint32_t x, y, z;
};

struct Thread {
  Size position_in_grid, position_in_threadgroup;
  uint32_t index, lane, simdgroup;
};

struct Threadgroup {
  Size position, count, threads, grid;
  uint32_t thread_count, simdgroups;
};

/** Where in the kernel's source something is called. */
struct Site {
  const char* operation;
  const char* file;
  int line;
};

/** One operand or result per lane. */
struct Lanes {
  alignas(16) unsigned char values[32][16];
  uint32_t count;
};

/** Run once for a simdgroup, by its last lane: turns operands into results. */
using Combine = void (*)(Lanes&);

extern Thread* current;
extern Threadgroup threadgroup;

/** Waits for the whole simdgroup; combine may be null. */
const Lanes*
collective(const void* operand, size_t bytes, Combine combine, Site site);
/** Says that a lane which is not there was asked for its value; ends the
 * launch. */
[[noreturn]] void missing_lane(int lane, Site site);

/** flags: 1 device memory, 2 threadgroup memory. */
void threadgroup_barrier(int flags, Site site);
void simdgroup_barrier(int flags, Site site);
/** Counts, and under a random schedule lets another thread go first. */
void atomic_operation();
/** An atomic update of one word by a function of it and the operand. */
uint32_t atomic_update(
    volatile void* word,
    uint32_t operand,
    uint32_t (*function)(uint32_t word, uint32_t operand));

void* buffer(int index);
void* threadgroup_argument(int index);
void* threadgroup_memory(int id, size_t bytes, size_t align, const char* name);

struct Kernel {
  const char* name;
  void (*entry)();
  uint32_t constants; // a mask: which buffers are in the constant address space
  uint32_t most_threads; // 0: as many as there can be
  Kernel* next;
};

/** A static one of these puts a kernel on the list. */
struct Registration {
  Kernel kernel;
  Registration(
      const char* name,
      uint32_t constants,
      uint32_t most_threads,
      void (*entry)());
};

} // namespace emulator
