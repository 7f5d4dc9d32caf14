// Copyright © 2026 the mlx-topk authors. MIT licence.

// Describes threads in errors: the running one, and where all threads of a
// group are.

#include "divergence.h"

#include <map>

#include "state.h"

namespace emulator {

std::string site_name(const Site& site) {
  return std::string(site.operation) + " at " + site.file + ":" +
      std::to_string(site.line);
}

static std::string threadgroup_name() {
  const Size& p = threadgroup.position;
  return "threadgroup (" + std::to_string(p.x) + ", " + std::to_string(p.y) +
      ", " + std::to_string(p.z) + ")";
}

std::string running_thread_name() {
  std::string thread = current ? std::to_string(current->index) : "?";
  return "thread " + thread + " of " + threadgroup_name();
}

/** Returns where a thread is: "running", "returned" or "in simd_sum at ...". */
static std::string activity(const Fiber& fiber) {
  switch (fiber.wait) {
    case Wait::running:
      return "running";
    case Wait::returned:
      return "returned";
    default:
      return "in " + site_name(fiber.site);
  }
}

/** Returns a line for each activity of threads first to last - 1: the number of
 * threads that have it, and the first four of them. */
static std::string list_threads(uint32_t first, uint32_t last) {
  std::map<std::string, std::vector<uint32_t>> groups;
  for (uint32_t i = first; i < last; ++i) {
    groups[activity(state.fibers[i])].push_back(i);
  }
  std::string lines;
  for (const auto& [what, threads] : groups) {
    lines +=
        "\n    " + std::to_string(threads.size()) + " thread(s) " + what + ":";
    for (size_t i = 0; i < threads.size() && i < 4; ++i) {
      lines += " " + std::to_string(threads[i]);
    }
    lines += threads.size() > 4 ? " ..." : "";
  }
  return lines;
}

void fail_divergent_simdgroup(uint32_t simdgroup, const std::string& more) {
  uint32_t first = simdgroup * 32;
  uint32_t last = first + state.simdgroups[simdgroup].lanes[0].count;
  fail(
      "divergent simdgroup operation in simdgroup " +
      std::to_string(simdgroup) + " of " + threadgroup_name() +
      "; expected all its threads in the same call:" +
      list_threads(first, last) + more);
}

void fail_divergent_barrier(const std::string& more) {
  fail(
      "divergent threadgroup barrier in " + threadgroup_name() +
      "; expected all its threads at the same barrier:" +
      list_threads(0, threadgroup.thread_count) + more);
}

} // namespace emulator
