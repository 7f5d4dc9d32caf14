// Copyright © 2026 the mlx-topk authors. MIT licence.

// The executor's interface to a compiled kernel: the position of the running
// thread, the kernel's memory, and the functions in which threads wait for each
// other. Each GPU thread is a fiber (a stack of its own); one OS thread runs
// them all and switches between them.

#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

struct Size {
  uint32_t x, y, z;
};

struct Thread {
  Size position_in_grid, position_in_threadgroup;
  uint32_t index; // in the threadgroup
  uint32_t lane; // in the simdgroup
  uint32_t simdgroup; // in the threadgroup
};

struct Threadgroup {
  Size position, count; // in threadgroups
  Size threads, grid; // in threads
  uint32_t thread_count, simdgroups;
};

/** A call of a simdgroup function or barrier in the kernel's source. */
struct Site {
  const char* operation;
  const char* file;
  int line;
};

/** The operands of a simdgroup function, and later its results. Each lane has
 * 16 bytes. A value of a smaller type is in the first of them. */
struct Lanes {
  alignas(16) unsigned char values[32][16];
  uint32_t count;
};

/** Replaces the operands of a simdgroup by the results. */
using Combine = void (*)(Lanes&);

extern Thread* current; // the running thread
extern Threadgroup threadgroup; // that of the running thread

/** Waits until all lanes of the simdgroup have given an operand, applies
 * `combine` once unless it is null, and returns all results. They are valid
 * until the thread's next collective. */
const Lanes*
collective(const void* operand, size_t bytes, Combine combine, Site site);
/** Ends the launch: the running thread reads the value of a lane that the
 * simdgroup does not have. */
[[noreturn]] void missing_lane(int lane, Site site);

/** Waits until all threads of the simdgroup or of the threadgroup have called
 * it. `flags` is the sum of 1 to order device memory and 2 to order threadgroup
 * memory. */
void threadgroup_barrier(int flags, Site site);
void simdgroup_barrier(int flags, Site site);
/** Counts an atomic operation. In a random order, may first run another thread.
 */
void atomic_operation();
/** Atomically sets *word to function(*word, operand); returns the old word. */
uint32_t atomic_update(
    volatile void* word,
    uint32_t operand,
    uint32_t (*function)(uint32_t word, uint32_t operand));

/** Returns the memory of [[buffer(index)]]. */
void* buffer(int index);
/** Returns the memory of [[threadgroup(index)]]. */
void* threadgroup_argument(int index);
/** Returns the running threadgroup's memory for the kernel's threadgroup
 * variable number `id`, aligned to 16 bytes. */
void* threadgroup_memory(int id, size_t bytes, const char* name);

struct Kernel {
  const char* name;
  void (*entry)();
  uint32_t constants; // bit N is set if buffer N is in the constant space
  uint32_t most_threads; // per threadgroup; 0 if the source sets no limit
  Kernel* next; // in the list of all kernels
};

/** Adds a kernel to the list of all kernels while the library is loaded. */
struct Registration {
  Kernel kernel;
  Registration(
      const char* name,
      uint32_t constants,
      uint32_t most_threads,
      void (*entry)());
};

} // namespace emulator
