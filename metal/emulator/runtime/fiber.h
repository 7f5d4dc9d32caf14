// Copyright © 2026 the mlx-topk authors. MIT licence.

// The stacks of the fibers that run a threadgroup's threads, and the switch
// from one stack to another.

#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

constexpr uint32_t most_threads = 1024;
constexpr size_t stack_bytes = 256 << 10;

/** Allocates the stacks of threads 0 to threads - 1, unless they exist. */
void reserve_stacks(uint32_t threads);
/** Prepares the thread's stack and returns the value of `to` with which
 * emulator_switch_stack starts `entry` on it. */
void* fresh_stack(uint32_t thread, void (*entry)());
/** Whether an address is on a thread's stack, its private memory. */
bool on_a_stack(const void* address);

/** Saves the running fiber's state in *from and resumes the fiber whose state
 * `to` is. Returns when another fiber resumes *from. */
extern "C" void emulator_switch_stack(void** from, void* to);

} // namespace emulator
