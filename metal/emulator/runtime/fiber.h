// Copyright © 2026 the mlx-topk authors. MIT licence.

// Stacks for the threads of one threadgroup, and the switch between them.

#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

constexpr uint32_t most_threads = 1024;
constexpr size_t stack_bytes = 256 << 10;

/** Makes sure that there are stacks for this many threads. */
void reserve_stacks(uint32_t threads);
/** What switch_stack goes to so that entry starts on a thread's own stack. */
void* fresh_stack(uint32_t thread, void (*entry)());
/** Whether an address is in the threads' private memory. */
bool on_a_stack(const void* address);

/** Leaves the stack at hand, noting where in *from, and goes on at `to`. */
extern "C" void emulator_switch_stack(void** from, void* to);

} // namespace emulator
