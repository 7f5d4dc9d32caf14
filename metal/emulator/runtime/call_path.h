// Copyright © 2026 the mlx-topk authors. MIT licence.

// By which calls threads come to where they wait. One line of a helper is two
// places if two callers call it, and on a GPU those do not meet. Tracked builds
// can tell.

#pragma once

#include <cstdint>
#include <string>

namespace emulator {

/** Who waits together: a simdgroup, by number, or the threadgroup. */
constexpr uint32_t whole_threadgroup = 32;

/** Whether the running thread came to this code as the first of its group did;
 * the first one's way is remembered. */
bool came_the_same_way(uint32_t group, bool first, const void* code);
/** The two ways, for people, after came_the_same_way said no. */
std::string two_ways(uint32_t group, const void* code);
/** A thread starts anew. */
void forget_calls(uint32_t thread);

} // namespace emulator
