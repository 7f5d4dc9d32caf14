// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the parts of the executor share. One launch runs at a time, on one OS
// thread, so this is plain global state.

#pragma once

#include <string>
#include <vector>

#include "../abi.h"
#include "executor.h"
#include "fiber.h"

namespace emulator {

enum Space { device_space, threadgroup_space };

enum class Wait : uint8_t { running, simdgroup, threadgroup, returned };

struct Fiber {
  Thread thread;
  void* stack;
  Wait wait;
  Site site; // where it waits
};

struct Simdgroup {
  Lanes lanes[2]; // in turn: slow lanes still read the results before these
  Site site; // where the lanes that have arrived wait for the others
  uint32_t arrived, ready, all; // masks of lanes
  uint32_t turn;
  uint32_t epoch[2]; // barriers so far that order a space, within the simdgroup
};

struct State {
  Fiber fibers[most_threads];
  Simdgroup simdgroups[most_threads / 32];
  Fiber* fiber; // the one that runs; null outside a kernel
  void* main_stack;
  void (*entry)();
  uint32_t waiting, returned; // threads at the threadgroup barrier; at the end
  Site barrier;
  uint32_t ready_simdgroups; // a mask
  uint32_t epoch[2]; // barriers so far that order a space, in the threadgroup
  Site unordered[2]; // the last barrier that did not name a space
  uint32_t serial; // of the threadgroup, over all launches
  uint64_t random; // the schedule's; 0: in order
  uint64_t atomics_before; // this threadgroup
  emulator_counts counts; // of this launch
};
extern State state;

/** What is wrong, one finding each; empty if nothing. */
extern std::vector<std::string> findings;

/** Thrown by fail where no thread runs. */
struct GivenUp {};

/** Notes a finding and gives the launch up. */
[[noreturn]] void fail(const std::string& finding);
/** "thread 3 of threadgroup (1, 0, 0)", the one that runs. */
std::string who();
std::string text(const Site& site);

inline uint32_t next_random() {
  state.random ^= state.random << 13;
  state.random ^= state.random >> 7;
  state.random ^= state.random << 17;
  return static_cast<uint32_t>(state.random >> 32);
}

/** Runs all threads of the threadgroup that `threadgroup` describes. */
void run_threadgroup();
/** Under a random schedule, one time in `odds`, lets another thread go first.
 */
void maybe_yield(uint32_t odds);

} // namespace emulator
