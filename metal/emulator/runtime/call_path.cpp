// Copyright © 2026 the mlx-topk authors. MIT licence.

// Calls are followed by what g++ calls at the begin and end of each function. A
// compiler may copy code, so addresses that differ are compared by the lines
// that they stand for.

#include "call_path.h"

#include "report.h"
#include "state.h"

namespace emulator {

struct Path {
  static constexpr uint32_t most_calls = 64;
  uint32_t
      calls[most_calls + 1]; // offsets of the code after them, outermost first
  uint32_t depth;
};
static Path paths[most_threads];
static Path first_paths[whole_threadgroup + 1];

void forget_calls(uint32_t thread) {
  paths[thread].depth = 0;
}

static uint32_t kept_calls(const Path& path) {
  return path.depth < Path::most_calls ? path.depth : Path::most_calls;
}

/** The running thread's calls, the last of which is to the executor. */
static void note_path(Path& out, const void* code) {
  const Path& path = paths[current->index];
  uint32_t depth = kept_calls(path);
  for (uint32_t i = 0; i < depth; ++i) {
    out.calls[i] = path.calls[i];
  }
  out.calls[depth] = code_offset(code);
  out.depth = depth + 1;
}

static bool is_running_path(const Path& other, const void* code) {
  const Path& path = paths[current->index];
  uint32_t depth = kept_calls(path);
  bool same =
      other.depth == depth + 1 && other.calls[depth] == code_offset(code);
  for (uint32_t i = 0; same && i < depth; ++i) {
    same = path.calls[i] == other.calls[i];
  }
  return same;
}

static std::string lines_of(const Path& path) {
  std::string lines;
  for (uint32_t i = 0; i < path.depth; ++i) {
    std::string next = lines_at(path.calls[i] - 1);
    lines += (lines.empty() || next.empty() ? "" : " > ") + next;
  }
  return lines;
}

bool came_the_same_way(uint32_t group, bool first, const void* code) {
  Path& other = first_paths[group];
  if (first) {
    note_path(other, code);
    return true;
  }
  if (is_running_path(other, code)) {
    return true;
  }
  Path path;
  note_path(path, code);
  std::string mine = lines_of(path), theirs = lines_of(other);
  bool unknown = (mine + theirs).find('?') != std::string::npos;
  return unknown || mine == theirs;
}

std::string two_ways(uint32_t group, const void* code) {
  Path path;
  note_path(path, code);
  return "\n    one way: " + lines_of(first_paths[group]) +
      "\n    another: " + lines_of(path);
}

} // namespace emulator

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
