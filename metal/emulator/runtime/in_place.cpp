// Copyright © 2026 the mlx-topk authors. MIT licence.

// Memory in the plain build: the caller's, as it is.

#include "call_path.h"
#include "memory.h"

namespace emulator {

// Room beyond the limit, so that the limit is a finding and not a crash.
alignas(256) static char pool[1 << 20];

void place_buffers(const Kernel&) {
  for (Buffer& buffer : buffers) {
    buffer.start = static_cast<char*>(buffer.given.data) + buffer.given.offset;
  }
}

void return_buffers() {}

void check_atomic_update(volatile void*, const void*) {}

char* place_threadgroup_memory(
    uint32_t,
    uint64_t used,
    const ThreadgroupMemory& memory) {
  if (used + memory.bytes > sizeof(pool)) {
    fail("threadgroup memory over 32 KiB");
  }
  return pool + used;
}

// Calls are not followed, so one way is as good as another.
bool came_the_same_way(uint32_t, bool, const void*) {
  return true;
}
std::string two_ways(uint32_t, const void*) {
  return "";
}
void forget_calls(uint32_t) {}

} // namespace emulator

extern "C" __attribute__((visibility("default"))) void
emulator_buffer_counts(int, uint64_t* read, uint64_t* written) {
  *read = *written = 0;
}
