// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs the threads of one threadgroup: decides which thread runs when, and
// makes threads wait in simdgroup functions and barriers. All lanes of a
// simdgroup must reach the same simdgroup function, and all threads of a
// threadgroup the same barrier. If some return or wait elsewhere, the launch
// ends with an error that lists where each thread is.

#include "call_path.h"
#include "divergence.h"
#include "memory.h"
#include "state.h"

namespace emulator {

State state;
Thread* current;
Threadgroup threadgroup;
std::vector<std::string> findings;

void fail(const std::string& finding) {
  findings.push_back(finding);
  if (!state.fiber) {
    throw LaunchFailed();
  }
  state.fiber = nullptr;
  current = nullptr;
  void* abandoned;
  emulator_switch_stack(&abandoned, state.main_stack);
  __builtin_unreachable();
}

// ---- which thread runs ------------------------------------------------------

/** Runs another thread, or returns to the launching thread if `next` is null.
 */
static void switch_to(Fiber* next) {
  Fiber* before = state.fiber;
  if (before == next) {
    return;
  }
  state.fiber = next;
  current = next ? &next->thread : nullptr;
  void** from = before ? &before->stack : &state.main_stack;
  emulator_switch_stack(from, next ? next->stack : state.main_stack);
}

/** Returns the position of a random bit among those set in `mask`. */
static uint32_t random_bit(uint32_t mask) {
  uint32_t skip = next_random() % __builtin_popcount(mask);
  while (skip--) {
    mask &= mask - 1;
  }
  return __builtin_ctz(mask);
}

/** Chooses a thread that can run and removes it from the ready masks. Returns
 * null if there is none. Without a seed, the lanes of the running simdgroup
 * come first, because their stacks are in the cache. */
static Fiber* take_ready() {
  if (!state.ready_simdgroups) {
    return nullptr;
  }
  bool random = state.random;
  uint32_t at = state.fiber ? state.fiber->thread.simdgroup : 0;
  if (random) {
    at = random_bit(state.ready_simdgroups);
  } else if (!(state.ready_simdgroups >> at & 1)) {
    at = __builtin_ctz(state.ready_simdgroups);
  }
  Simdgroup& group = state.simdgroups[at];
  uint32_t lane = random ? random_bit(group.ready) : __builtin_ctz(group.ready);
  group.ready &= ~(1u << lane);
  if (!group.ready) {
    state.ready_simdgroups &= ~(1u << at);
  }
  return &state.fibers[at * 32 + lane];
}

/** Marks lanes, given as a mask, as able to run. */
static void make_ready(uint32_t simdgroup, uint32_t lanes) {
  if (lanes) {
    state.simdgroups[simdgroup].ready |= lanes;
    state.ready_simdgroups |= 1u << simdgroup;
  }
}

/** Ends the launch when no thread can run and some have not returned. These
 * wait for threads that wait in another place. */
[[noreturn]] static void fail_deadlock() {
  for (uint32_t i = 0; i < threadgroup.simdgroups; ++i) {
    if (state.simdgroups[i].arrived) {
      fail_divergent_simdgroup(i);
    }
  }
  fail_divergent_barrier();
}

/** Runs another thread that can run. Returns when this thread is chosen again.
 * If all have returned, goes back to the launching thread. */
static void run_others() {
  Fiber* next = take_ready();
  if (!next && state.returned != threadgroup.thread_count) {
    fail_deadlock();
  }
  switch_to(next);
}

/** Runs other threads until one of them lets this thread go on. */
static void wait(Wait kind, const Site& site) {
  state.fiber->wait = kind;
  state.fiber->site = site;
  run_others();
}

/** Lets a random thread run next, which may be this one. */
static void yield() {
  Thread& thread = state.fiber->thread;
  make_ready(thread.simdgroup, 1u << thread.lane);
  run_others();
}

void maybe_yield(uint32_t odds) {
  if (state.random && state.ready_simdgroups && next_random() % odds == 0) {
    yield();
  }
}

// ---- simdgroups -------------------------------------------------------------

static bool is_same(const Site& a, const Site& b) {
  return a.line == b.line && a.operation == b.operation && a.file == b.file;
}

/** Counts a barrier at `site` in the epoch of each space that `flags` names. */
static void count_epochs(uint32_t epoch[2], int flags, const Site& site) {
  for (int space : {device_space, threadgroup_space}) {
    if (flags >> space & 1) {
      epoch[space]++;
    } else {
      state.other_space_barrier[space] = site;
    }
  }
}

/** Records that the running lane called the function at `site`, which returns
 * to `code`. Returns whether it is the last lane of its simdgroup to do so.
 * Ends the launch if other lanes wait elsewhere. */
static bool arrive(Simdgroup& group, const Site& site, const void* code) {
  Fiber& fiber = *state.fiber;
  uint32_t simdgroup = fiber.thread.simdgroup;
  bool elsewhere = group.arrived && !is_same(group.site, site);
  bool same_path = same_call_path(simdgroup, !group.arrived, code);
  group.arrived |= 1u << fiber.thread.lane;
  if (elsewhere || !same_path) {
    fiber.wait = Wait::simdgroup;
    fiber.site = site;
    fail_divergent_simdgroup(
        simdgroup, same_path ? "" : describe_call_paths(simdgroup, code));
  }
  group.site = site;
  return group.arrived == group.all;
}

/** Lets the other lanes of the running thread's simdgroup go on. */
static void release(Simdgroup& group) {
  Thread& thread = state.fiber->thread;
  uint32_t others = group.all & ~(1u << thread.lane);
  for (uint32_t mask = others; mask; mask &= mask - 1) {
    uint32_t lane = __builtin_ctz(mask);
    state.fibers[thread.simdgroup * 32 + lane].wait = Wait::running;
  }
  group.arrived = 0;
  make_ready(thread.simdgroup, others);
  maybe_yield(2);
}

const Lanes*
collective(const void* operand, size_t bytes, Combine combine, Site site) {
  Thread& thread = state.fiber->thread;
  Simdgroup& group = state.simdgroups[thread.simdgroup];
  Lanes& lanes = group.lanes[group.turn];
  __builtin_memcpy(lanes.values[thread.lane], operand, bytes);
  if (arrive(group, site, __builtin_return_address(0))) {
    if (combine) {
      combine(lanes);
    }
    group.turn ^= 1;
    state.counts.collectives++;
    release(group);
  } else {
    wait(Wait::simdgroup, site);
  }
  return &lanes;
}

void simdgroup_barrier(int flags, Site site) {
  Simdgroup& group = state.simdgroups[state.fiber->thread.simdgroup];
  if (!arrive(group, site, __builtin_return_address(0))) {
    wait(Wait::simdgroup, site);
    return;
  }
  count_epochs(group.epoch, flags, site);
  state.counts.simdgroup_barriers++;
  release(group);
}

void missing_lane(int lane, Site site) {
  uint32_t lanes =
      state.simdgroups[state.fiber->thread.simdgroup].lanes[0].count;
  fail(
      site_name(site) + " reads the value of lane " + std::to_string(lane) +
      "; expected 0 to " + std::to_string(lanes - 1) + ", by " +
      running_thread_name());
}

// ---- threadgroups -----------------------------------------------------------

/** Lets all other threads go on after the last one has reached the barrier. */
static void open_barrier(int flags, const Site& site) {
  count_epochs(state.epoch, flags, site);
  state.waiting = 0;
  state.counts.barriers++;
  for (uint32_t i = 0; i < threadgroup.thread_count; ++i) {
    state.fibers[i].wait = Wait::running;
  }
  Thread& thread = state.fiber->thread;
  for (uint32_t i = 0; i < threadgroup.simdgroups; ++i) {
    uint32_t me = i == thread.simdgroup ? 1u << thread.lane : 0;
    make_ready(i, state.simdgroups[i].all & ~me);
  }
}

void threadgroup_barrier(int flags, Site site) {
  bool elsewhere = state.waiting && !is_same(state.barrier, site);
  const void* code = __builtin_return_address(0);
  bool same_path = same_call_path(whole_threadgroup, !state.waiting, code);
  if (elsewhere || state.returned || !same_path) {
    state.fiber->wait = Wait::threadgroup;
    state.fiber->site = site;
    fail_divergent_barrier(
        same_path ? "" : describe_call_paths(whole_threadgroup, code));
  }
  state.barrier = site;
  if (++state.waiting < threadgroup.thread_count) {
    wait(Wait::threadgroup, site);
    return;
  }
  open_barrier(flags, site);
  // In a random order, the last thread to arrive must not always go on first.
  maybe_yield(2);
}

void atomic_operation() {
  constexpr uint64_t most = 1u << 24;
  if (++state.counts.atomics - state.atomics_before > most) {
    fail(
        "no progress: more than 16777216 atomic operations in one threadgroup, "
        "which may be waiting for a threadgroup that runs later; the last "
        "operation by " +
        running_thread_name());
  }
  maybe_yield(4);
}

uint32_t atomic_update(
    volatile void* word,
    uint32_t operand,
    uint32_t (*function)(uint32_t word, uint32_t operand)) {
  atomic_operation();
  check_atomic_update(word, __builtin_return_address(0));
  auto object = static_cast<volatile uint32_t*>(word);
  uint32_t before = *object;
  *object = function(before, operand);
  return before;
}

/** Ends the running thread, whose kernel has returned. */
static void finish() {
  Fiber& fiber = *state.fiber;
  fiber.wait = Wait::returned;
  state.returned++;
  if (state.simdgroups[fiber.thread.simdgroup].arrived) {
    fail_divergent_simdgroup(fiber.thread.simdgroup);
  }
  if (state.waiting) {
    fail_divergent_barrier();
  }
  run_others();
  __builtin_unreachable();
}

static void fiber_main() {
  state.entry();
  finish();
}

/** Sets up thread `index` of the threadgroup, to start when first switched to.
 */
static void start_thread(Fiber& fiber, uint32_t index) {
  const Size& size = threadgroup.threads;
  const Size& at = threadgroup.position;
  Thread& thread = fiber.thread;
  thread.index = index;
  thread.lane = index % 32;
  thread.simdgroup = index / 32;
  Size in{index % size.x, index / size.x % size.y, index / size.x / size.y};
  thread.position_in_threadgroup = in;
  thread.position_in_grid = {
      at.x * size.x + in.x, at.y * size.y + in.y, at.z * size.z + in.z};
  fiber.wait = Wait::running;
  reset_call_path(index);
  fiber.stack = fresh_stack(index, fiber_main);
}

void run_threadgroup() {
  uint32_t count = threadgroup.thread_count;
  reserve_stacks(count);
  state.waiting = state.returned = 0;
  state.ready_simdgroups = 0;
  state.atomics_before = state.counts.atomics;
  for (int space : {device_space, threadgroup_space}) {
    state.epoch[space] = 0;
    state.other_space_barrier[space] = Site{};
  }
  for (uint32_t i = 0; i < threadgroup.simdgroups; ++i) {
    Simdgroup& group = state.simdgroups[i];
    uint32_t lanes = count - i * 32 < 32 ? count - i * 32 : 32;
    group.all = lanes == 32 ? ~0u : (1u << lanes) - 1;
    group.lanes[0].count = group.lanes[1].count = lanes;
    group.arrived = group.ready = group.turn = 0;
    group.epoch[0] = group.epoch[1] = 0;
    make_ready(i, group.all);
  }
  for (uint32_t i = 0; i < count; ++i) {
    start_thread(state.fibers[i], i);
  }
  switch_to(take_ready());
}

} // namespace emulator
