// Copyright © 2026 the mlx-topk authors. MIT licence.

// Memory in the tracked build: buffers are copied to addresses far apart before
// a launch, so that an access out of bounds hits no other buffer, and copied
// back after it. Buffers that do not fit in 1 GiB stay in place. in_place.cpp
// is the plain build's version.

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "tracker.h"

namespace emulator {

// The distance between copies of buffers, and the most bytes that are copied.
constexpr uint64_t gap = uint64_t(256) << 20;
constexpr uint64_t most_copied = uint64_t(1) << 30;
constexpr uint64_t device_room = gap * (most_arguments + 1) + most_copied;
// The distance between threadgroup variables, and how many there can be.
constexpr uint64_t threadgroup_gap = 1 << 20;
constexpr uint32_t most_allocations = 64;
constexpr uint64_t threadgroup_room = threadgroup_gap * (most_allocations + 1);
// How many bytes of threadgroup memory have cells (see tracker.h). This is
// twice the limit, so that a kernel that exceeds the limit gets an error before
// it overruns the cells.
constexpr uint64_t most_tracked_bytes = 2 * most_threadgroup_bytes;

/** Reserves address space, which takes memory only where it is written. */
static char* reserve(uint64_t bytes) {
  void* memory = mmap(
      nullptr,
      bytes,
      PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
      -1,
      0);
  if (memory == MAP_FAILED) {
    fail(
        "the tracker cannot reserve " + std::to_string(bytes) +
        " bytes of address space");
  }
  return static_cast<char*>(memory);
}

/** The address space in which buffers are copied. */
static char* device_arena() {
  static char* arena = reserve(device_room);
  return arena;
}
/** The address space of threadgroup memory. */
static char* threadgroup_arena() {
  static char* arena = reserve(threadgroup_room);
  return arena;
}
/** The cells of all copied buffers. */
static Cell* device_cells() {
  static char* cells = reserve(most_copied * sizeof(Cell));
  return reinterpret_cast<Cell*>(cells);
}
static Cell* threadgroup_cells() {
  static char* cells = reserve(most_tracked_bytes * sizeof(Cell));
  return reinterpret_cast<Cell*>(cells);
}

void clear_cells() {
  madvise(device_cells(), most_copied * sizeof(Cell), MADV_DONTNEED);
  size_t bytes = most_tracked_bytes * sizeof(Cell);
  madvise(threadgroup_cells(), bytes, MADV_DONTNEED);
}

bool is_reserved(const void* address) {
  auto at = static_cast<const char*>(address);
  const char* device = device_arena();
  const char* threadgroup = threadgroup_arena();
  return (at >= device && at < device + device_room) ||
      (at >= threadgroup && at < threadgroup + threadgroup_room);
}

bool in_this_library(const void* address) {
  struct Range {
    uintptr_t begin = ~uintptr_t(0), end = 0;
  };
  static const Range range = [] {
    Range found;
    auto visit = [](dl_phdr_info* info, size_t, void* out) {
      Range image;
      for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& segment = info->dlpi_phdr[i];
        if (segment.p_type == PT_LOAD) {
          uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
          image.begin = std::min(image.begin, begin);
          image.end = std::max(image.end, begin + segment.p_memsz);
        }
      }
      auto me = reinterpret_cast<uintptr_t>(&state);
      if (me >= image.begin && me < image.end) {
        *static_cast<Range*>(out) = image;
      }
      return 0;
    };
    dl_iterate_phdr(visit, &found);
    return found;
  }();
  auto at = reinterpret_cast<uintptr_t>(address);
  return at >= range.begin && at < range.end;
}

// ---- device memory ----------------------------------------------------------

/** A buffer, or several that overlap in memory. */
struct Allocation {
  char* original;
  uint64_t bytes;
  std::vector<int> indices; // of the buffers
  char* place; // of the copy, or `original` if there is none
  Cell* mapped_cells; // allocated for it if there is no copy, else null
};
static std::vector<Allocation> allocations;
static uint32_t constants; // bit N: buffer N is in the constant space
struct IndexCount {
  uint64_t read, written;
};
static IndexCount index_counts[most_arguments];

/** Sets `allocations` from the bound buffers. */
static void gather_allocations() {
  allocations.clear();
  std::vector<int> order;
  for (int i = 0; i < most_arguments; ++i) {
    if (buffers[i].bound) {
      order.push_back(i);
    }
  }
  auto start = [](int i) { return static_cast<char*>(buffers[i].given.data); };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return start(a) < start(b);
  });
  for (int i : order) {
    uint64_t bytes = buffers[i].given.bytes;
    Allocation* last = allocations.empty() ? nullptr : &allocations.back();
    bool overlaps = last &&
        (start(i) < last->original + last->bytes || start(i) == last->original);
    if (!overlaps) {
      allocations.push_back({start(i), bytes, {i}, nullptr, nullptr});
      continue;
    }
    last->indices.push_back(i);
    uint64_t end = static_cast<uint64_t>(start(i) - last->original) + bytes;
    last->bytes = std::max(last->bytes, end);
  }
}

/** Returns "buffer(1)", or "buffer(1) overlapping buffer(2)" if the allocation
 * holds two buffers. */
static std::string name_of(const Allocation& allocation) {
  std::string name;
  for (int index : allocation.indices) {
    name += (name.empty() ? "buffer(" : " overlapping buffer(") +
        std::to_string(index) + ")";
  }
  return name;
}

static void add_region_of(const Allocation& allocation, Cell* cells) {
  Region region = {};
  region.begin = allocation.place;
  region.end = allocation.place + allocation.bytes;
  region.cells = cells;
  region.space = device_space;
  for (int index : allocation.indices) {
    region.initialised |= !buffers[index].given.uninitialised;
    region.writable |= buffers[index].given.writable != 0;
  }
  region.name = name_of(allocation);
  add_region(region);
}

void place_buffers(const Kernel& kernel) {
  begin_tracking();
  clear_regions();
  gather_allocations();
  constants = kernel.constants;
  memset(index_counts, 0, sizeof(index_counts));
  uint64_t copied = 0;
  char* next = device_arena() + gap;
  for (Allocation& allocation : allocations) {
    if (allocation.bytes > most_copied - copied) {
      uint64_t bytes = allocation.bytes * sizeof(Cell);
      allocation.place = allocation.original;
      allocation.mapped_cells = reinterpret_cast<Cell*>(reserve(bytes));
      add_region_of(allocation, allocation.mapped_cells);
    } else {
      // The copy has the original's offset in a page, hence its alignment.
      constexpr uint64_t page = 1 << 14;
      auto offset = reinterpret_cast<uintptr_t>(allocation.original) % page;
      allocation.place = next + offset;
      memcpy(allocation.place, allocation.original, allocation.bytes);
      add_region_of(allocation, device_cells() + copied);
      copied += allocation.bytes;
      next += (gap + offset + allocation.bytes) / page * page + page;
    }
    for (int index : allocation.indices) {
      Buffer& buffer = buffers[index];
      auto within = static_cast<char*>(buffer.given.data) - allocation.original;
      buffer.start = allocation.place + within + buffer.given.offset;
    }
  }
}

void return_buffers() {
  for (size_t i = 0; i < allocations.size(); ++i) {
    Allocation& allocation = allocations[i];
    if (allocation.mapped_cells) {
      munmap(allocation.mapped_cells, allocation.bytes * sizeof(Cell));
    } else if (buffer_regions[i].writable) {
      memcpy(allocation.original, allocation.place, allocation.bytes);
    }
  }
  clear_regions();
}

void count_buffer(const char* address, size_t bytes, bool write) {
  // The buffer whose start is the nearest at or before the address.
  int best = -1;
  for (int i = 0; i < most_arguments; ++i) {
    const Buffer& buffer = buffers[i];
    bool before = buffer.bound && buffer.start <= address;
    if (before && (best < 0 || buffer.start > buffers[best].start)) {
      best = i;
    }
  }
  for (int i = 0; best < 0 && i < most_arguments; ++i) {
    best = buffers[i].bound ? i : best; // the address is before all starts
  }
  (write ? index_counts[best].written : index_counts[best].read) += bytes;
  if (constants >> best & 1) {
    return;
  }
  auto& counts = state.counts;
  (write ? counts.device_bytes_written : counts.device_bytes_read) += bytes;
}

// ---- threadgroup memory -----------------------------------------------------

char* place_threadgroup_memory(
    uint32_t number,
    uint64_t used,
    const ThreadgroupMemory& memory) {
  if (number >= most_allocations) {
    fail(
        "too many threadgroup variables and arguments: expected at most " +
        std::to_string(most_allocations));
  }
  if (used + memory.bytes > most_tracked_bytes) {
    fail(threadgroup_memory_error(used, memory));
  }
  if (number == 0) {
    clear_threadgroup_regions();
  }
  Region region = {};
  region.begin = threadgroup_arena() + threadgroup_gap * (number + 1);
  region.end = region.begin + memory.bytes;
  region.cells = threadgroup_cells() + used;
  region.space = threadgroup_space;
  region.writable = true;
  region.name = std::string("threadgroup memory '") + memory.name + "'";
  add_region(region);
  return region.begin;
}

} // namespace emulator

extern "C" __attribute__((visibility("default"))) void
emulator_buffer_counts(int index, uint64_t* read, uint64_t* written) {
  bool exists = index >= 0 && index < emulator::most_arguments;
  *read = exists ? emulator::index_counts[index].read : 0;
  *written = exists ? emulator::index_counts[index].written : 0;
}
