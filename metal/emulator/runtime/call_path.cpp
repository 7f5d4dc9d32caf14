// Copyright © 2026 the mlx-topk authors. MIT licence.

// Records call paths from the calls that `g++ -fsanitize=thread` inserts at the
// begin and end of each function. The compiler may copy code, so two addresses
// in a path count as equal if they stand for the same source lines.

#include "call_path.h"

#include "report.h"
#include "state.h"

namespace emulator {

/** Return addresses as offsets into this library, the outermost call first.
 * Calls deeper than most_calls are counted in `depth` but not recorded. */
struct Path {
  static constexpr uint32_t most_calls = 64;
  uint32_t calls[most_calls + 1]; // the last is the call to the executor
  uint32_t depth;
};
static Path paths[most_threads];
static Path first_paths[whole_threadgroup + 1];

void reset_call_path(uint32_t thread) {
  paths[thread].depth = 0;
}

static uint32_t recorded_calls(const Path& path) {
  return path.depth < Path::most_calls ? path.depth : Path::most_calls;
}

/** Returns the running thread's calls, ending in the one that returns to
 * `code`. */
static Path path_to(const void* code) {
  const Path& path = paths[current->index];
  uint32_t depth = recorded_calls(path);
  Path result;
  for (uint32_t i = 0; i < depth; ++i) {
    result.calls[i] = path.calls[i];
  }
  result.calls[depth] = code_offset(code);
  result.depth = depth + 1;
  return result;
}

/** Whether path_to(code) equals `other`, address by address. */
static bool is_path_to(const void* code, const Path& other) {
  const Path& path = paths[current->index];
  uint32_t depth = recorded_calls(path);
  bool same =
      other.depth == depth + 1 && other.calls[depth] == code_offset(code);
  for (uint32_t i = 0; same && i < depth; ++i) {
    same = path.calls[i] == other.calls[i];
  }
  return same;
}

static std::string source_lines(const Path& path) {
  std::string lines;
  for (uint32_t i = 0; i < path.depth; ++i) {
    // The address is where the call returns to; the call stands before it.
    std::string next = lines_at(path.calls[i] - 1);
    lines += (lines.empty() || next.empty() ? "" : " > ") + next;
  }
  return lines;
}

bool same_call_path(uint32_t group, bool is_first, const void* code) {
  Path& first = first_paths[group];
  if (is_first) {
    first = path_to(code);
    return true;
  }
  if (is_path_to(code, first)) {
    return true;
  }
  std::string mine = source_lines(path_to(code));
  std::string theirs = source_lines(first);
  // Different addresses may be copies of the same source line. Without debug
  // information this cannot be excluded, so the paths count as equal.
  bool unknown = (mine + theirs).find('?') != std::string::npos;
  return unknown || mine == theirs;
}

std::string describe_call_paths(uint32_t group, const void* code) {
  return "\n    call path of the first thread: " +
      source_lines(first_paths[group]) +
      "\n    call path of this thread: " + source_lines(path_to(code));
}

} // namespace emulator

// ---- called by kernels of tracked builds ------------------------------------

extern "C" {

void __tsan_func_entry(void* code) {
  using namespace emulator;
  if (state.fiber) {
    Path& path = paths[current->index];
    if (path.depth < Path::most_calls) {
      path.calls[path.depth] = code_offset(code);
    }
    path.depth++;
  }
}

void __tsan_func_exit() {
  using namespace emulator;
  if (state.fiber && paths[current->index].depth) {
    paths[current->index].depth--;
  }
}

} // extern "C"
