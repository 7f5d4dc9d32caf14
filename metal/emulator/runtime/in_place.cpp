// Copyright © 2026 the mlx-topk authors. MIT licence.

// Memory in the plain build: kernels use the caller's buffers in place, and no
// access is checked. placed.cpp is the tracked build's version.

#include "call_path.h"
#include "memory.h"

namespace emulator {

// Threadgroup memory. Larger than the limit of 32 KiB, so that a kernel that
// exceeds the limit gets an error and does not overrun the pool.
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
    fail(threadgroup_memory_error(used, memory));
  }
  return pool + used;
}

// Plain builds do not record call paths, so all count as equal.
bool same_call_path(uint32_t, bool, const void*) {
  return true;
}
std::string describe_call_paths(uint32_t, const void*) {
  return "";
}
void reset_call_path(uint32_t) {}

} // namespace emulator

extern "C" __attribute__((visibility("default"))) void
emulator_buffer_counts(int, uint64_t* read, uint64_t* written) {
  *read = *written = 0;
}
