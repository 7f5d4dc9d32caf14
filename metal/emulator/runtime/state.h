// Copyright © 2026 the mlx-topk authors. MIT licence.

// The state of the running launch, shared by the parts of the executor. It is
// global and has no locks, because one launch runs at a time, on one OS thread.

#pragma once

#include <string>
#include <vector>

#include "../abi.h"
#include "executor.h"
#include "fiber.h"

namespace emulator {

/** The memory that barriers order. The value is also the number of the bit that
 * names it in a barrier's flags. */
enum Space { device_space, threadgroup_space };

/** What a thread waits for: nothing, the rest of its simdgroup or of its
 * threadgroup, or nothing any more because it has returned. */
enum class Wait : uint8_t { running, simdgroup, threadgroup, returned };

struct Fiber {
  Thread thread;
  void* stack; // for emulator_switch_stack
  Wait wait;
  Site site; // of the call in which it waits
};

struct Simdgroup {
  // Successive collectives alternate between two sets, because slow lanes may
  // still read the results of one when fast lanes have called the next.
  Lanes lanes[2];
  uint32_t turn; // the index in `lanes` for the next collective
  Site site; // of the call in which the lanes in `arrived` wait
  uint32_t arrived, ready, all; // masks of lanes; `ready` can run
  uint32_t epoch[2]; // simdgroup barriers so far that order each space
};

struct State {
  Fiber fibers[most_threads];
  Simdgroup simdgroups[most_threads / 32];
  Fiber* fiber; // the running one; null outside of a kernel
  void* main_stack; // the launching thread's
  void (*entry)(); // the kernel
  uint32_t waiting; // threads at the threadgroup barrier
  uint32_t returned; // threads
  Site barrier; // the call in which the `waiting` threads wait
  uint32_t ready_simdgroups; // a mask: those with lanes that can run
  uint32_t epoch[2]; // threadgroup barriers so far that order each space
  Site other_space_barrier[2]; // the last barrier that did not order the space
  uint32_t serial; // the number of the threadgroup, counted over all launches
  uint64_t random; // the random generator's state; 0: run threads in order
  uint64_t atomics_before; // counts.atomics when the threadgroup started
  emulator_counts counts; // of this launch
};
extern State state;

/** The findings: the mistakes found in this launch, one text each. */
extern std::vector<std::string> findings;

/** Thrown to end a launch when no thread is running. */
struct LaunchFailed {};

/** Adds a finding and ends the launch: leaves the running thread for good and
 * returns to the launching thread, or throws LaunchFailed if none is running.
 */
[[noreturn]] void fail(const std::string& finding);
/** Returns the running thread: "thread 3 of threadgroup (1, 0, 0)". */
std::string running_thread_name();
/** Returns operation, file and line: "simd_sum at kernel.metal:12". */
std::string site_name(const Site& site);

/** Returns the next number of the launch's random order (xorshift). */
inline uint32_t next_random() {
  state.random ^= state.random << 13;
  state.random ^= state.random >> 7;
  state.random ^= state.random << 17;
  return static_cast<uint32_t>(state.random >> 32);
}

/** Runs all threads of the threadgroup that `threadgroup` describes. */
void run_threadgroup();
/** If the launch has a seed, lets a randomly chosen thread run first, with a
 * probability of 1 / odds. */
void maybe_yield(uint32_t odds);

} // namespace emulator
