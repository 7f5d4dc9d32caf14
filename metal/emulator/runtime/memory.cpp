// Copyright © 2026 the mlx-topk authors. MIT licence.

// Checks and keeps the buffers of a launch. Allocates threadgroup memory when a
// thread first uses it.

#include "memory.h"

namespace emulator {

Buffer buffers[most_arguments];

static uint64_t argument_bytes[most_arguments]; // 0 where the launch gave none
static ThreadgroupMemory arguments[most_arguments];
static std::vector<ThreadgroupMemory> variables; // by id
// In the running threadgroup:
static uint32_t allocations;
static uint64_t used; // bytes

static bool refuse(const std::string& finding) {
  findings.push_back(finding);
  return false;
}

static std::string argument_name(const char* attribute, int index) {
  return std::string(attribute) + "(" + std::to_string(index) + ")";
}

static bool check_index(const std::string& name, int index) {
  return (index >= 0 && index < most_arguments) ||
      refuse(name + ": the index is out of range 0 to 30");
}

static bool bind_buffer(const emulator_buffer& given) {
  std::string name = argument_name("buffer", given.index);
  if (!check_index(name, given.index)) {
    return false;
  }
  if (buffers[given.index].bound) {
    return refuse(name + " is bound twice; expected once");
  }
  std::string bytes = std::to_string(given.bytes);
  if (given.bytes && !given.data) {
    return refuse(name + " has " + bytes + " bytes at a null address");
  }
  if (given.offset > given.bytes) {
    return refuse(
        name + ": the offset " + std::to_string(given.offset) +
        " is past the end at " + bytes + " bytes");
  }
  buffers[given.index] = {true, given, nullptr};
  return true;
}

bool bind(const emulator_dispatch& dispatch) {
  unbind();
  for (int i = 0; i < dispatch.buffer_count; ++i) {
    if (!bind_buffer(dispatch.buffers[i])) {
      return false;
    }
  }
  for (int i = 0; i < dispatch.threadgroup_memory_count; ++i) {
    const auto& given = dispatch.threadgroup_memory[i];
    if (!check_index(argument_name("threadgroup", given.index), given.index)) {
      return false;
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

void reset_threadgroup_memory() {
  allocations = 0;
  used = 0;
}

void* buffer(int index) {
  if (!buffers[index].bound) {
    fail(
        "the kernel takes " + argument_name("buffer", index) +
        ", which the launch does not bind");
  }
  return buffers[index].start;
}

std::string threadgroup_memory_error(
    uint64_t used,
    const ThreadgroupMemory& memory) {
  return "threadgroup memory over 32 KiB: '" + std::string(memory.name) +
      "' takes " + std::to_string(memory.bytes) + " bytes, after " +
      std::to_string(used) + " in use; expected at most 32768 in total";
}

static void*
allocate(ThreadgroupMemory& memory, uint64_t bytes, const char* name) {
  constexpr uint64_t align = 16;
  memory = {nullptr, bytes, name, state.serial};
  memory.start = place_threadgroup_memory(allocations++, used, memory);
  uint64_t before = used;
  used += (bytes + align - 1) / align * align;
  if (used > most_threadgroup_bytes) {
    fail(threadgroup_memory_error(before, memory));
  }
  // Fill the memory with garbage, so that a kernel that reads it before writing
  // it computes wrong results.
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
  names[index] = argument_name("threadgroup", index);
  if (!argument_bytes[index]) {
    fail(
        "the kernel takes " + names[index] +
        ", for which the launch gives no length");
  }
  return allocate(memory, argument_bytes[index], names[index].c_str());
}

void* threadgroup_memory(int id, size_t bytes, const char* name) {
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
