// Copyright © 2026 the mlx-topk authors. MIT licence.

// Buffers by index, and threadgroup memory: made when a thread first asks for
// it.

#include "memory.h"

namespace emulator {

Buffer buffers[most_arguments];

static uint64_t argument_bytes[most_arguments];
static ThreadgroupMemory arguments[most_arguments];
static std::vector<ThreadgroupMemory> variables;
static uint32_t allocations;
static uint64_t used;

static bool refuse(const std::string& finding) {
  findings.push_back(finding);
  return false;
}

bool bind(const emulator_dispatch& dispatch) {
  unbind();
  for (int i = 0; i < dispatch.buffer_count; ++i) {
    const emulator_buffer& given = dispatch.buffers[i];
    std::string name = "buffer(" + std::to_string(given.index) + ")";
    if (given.index < 0 || given.index >= most_arguments) {
      return refuse(name + ": no such index");
    }
    if (buffers[given.index].bound) {
      return refuse(name + " is given twice");
    }
    if (given.bytes && !given.data) {
      return refuse(name + ": no memory");
    }
    if (given.offset > given.bytes) {
      return refuse(name + ": the offset is past the end");
    }
    buffers[given.index] = {true, given, nullptr};
  }
  for (int i = 0; i < dispatch.threadgroup_memory_count; ++i) {
    const auto& given = dispatch.threadgroup_memory[i];
    if (given.index < 0 || given.index >= most_arguments) {
      return refuse("threadgroup memory: no such index");
    }
    argument_bytes[given.index] = given.bytes;
  }
  return true;
}

void unbind() {
  for (int i = 0; i < most_arguments; ++i) {
    buffers[i] = {};
    argument_bytes[i] = 0;
    arguments[i] = {};
  }
  variables.clear();
}

void forget_threadgroup_memory() {
  allocations = 0;
  used = 0;
}

void* buffer(int index) {
  if (!buffers[index].bound) {
    fail(
        "the kernel takes buffer(" + std::to_string(index) +
        "), which is not bound");
  }
  return buffers[index].start;
}

static void*
allocate(ThreadgroupMemory& memory, uint64_t bytes, const char* name) {
  constexpr uint64_t align = 16;
  memory = {nullptr, bytes, name, state.serial};
  memory.start = place_threadgroup_memory(allocations++, used, memory);
  used += (bytes + align - 1) / align * align;
  if (used > most_threadgroup_bytes) {
    fail(
        "threadgroup memory over 32 KiB: " + std::to_string(used) +
        " bytes with '" + name + "'");
  }
  // What a kernel finds there if it does not write first should not look right.
  for (uint64_t i = 0; i < bytes; ++i) {
    memory.start[i] = static_cast<char>(0xa5 + i * 37);
  }
  return memory.start;
}

void* threadgroup_argument(int index) {
  static std::string names[most_arguments];
  ThreadgroupMemory& memory = arguments[index];
  if (memory.serial == state.serial) {
    return memory.start;
  }
  names[index] = "threadgroup(" + std::to_string(index) + ")";
  if (!argument_bytes[index]) {
    fail("the kernel takes " + names[index] + ", which has no length");
  }
  return allocate(memory, argument_bytes[index], names[index].c_str());
}

void* threadgroup_memory(int id, size_t bytes, size_t, const char* name) {
  auto at = static_cast<size_t>(id);
  if (at >= variables.size()) {
    variables.resize(at + 1);
  }
  ThreadgroupMemory& memory = variables[at];
  if (memory.serial != state.serial) {
    return allocate(memory, bytes, name);
  }
  return memory.start;
}

} // namespace emulator
