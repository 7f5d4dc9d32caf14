// Copyright © 2026 the mlx-topk authors. MIT licence.

// The errors for threads that should meet in one call and do not.

#pragma once

#include <cstdint>
#include <string>

namespace emulator {

/** Ends the launch because the lanes of a simdgroup are not in the same call.
 * The error lists where each lane is, followed by `more`. */
[[noreturn]] void fail_divergent_simdgroup(
    uint32_t simdgroup,
    const std::string& more = "");
/** The same for a barrier and the threads of the threadgroup. */
[[noreturn]] void fail_divergent_barrier(const std::string& more = "");

} // namespace emulator
