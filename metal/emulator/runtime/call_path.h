// Copyright © 2026 the mlx-topk authors. MIT licence.

// Compares the call paths by which threads reach a simdgroup function or a
// barrier. If two lines of a kernel call a helper function that contains a
// barrier, threads that come from different lines do not meet at this barrier
// on a GPU. Only tracked builds record call paths.

#pragma once

#include <cstdint>
#include <string>

namespace emulator {

// A group of threads that wait for each other is named by the number of a
// simdgroup, or by this number for the whole threadgroup.
constexpr uint32_t whole_threadgroup = 32;

/** Whether the running thread reached `code` by the same call path as the first
 * thread of its group did. If `is_first`, records the path for the others. */
bool same_call_path(uint32_t group, bool is_first, const void* code);

/** Lines of text that show the first thread's call path and the running
 * thread's, for an error after same_call_path returned false. */
std::string describe_call_paths(uint32_t group, const void* code);

/** Empties a thread's call path, before the thread starts. */
void reset_call_path(uint32_t thread);

} // namespace emulator
