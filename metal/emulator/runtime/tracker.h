// Copyright © 2026 the mlx-topk authors. MIT licence.

// Looks at every access that a kernel makes. Each byte remembers who touched it
// and how many barriers ago, which tells whether a later access is ordered
// after it.

#pragma once

#include "memory.h"

namespace emulator {

/** Atomic loads and stores may not meet others': kernels here never mean that.
 */
enum class Kind : uint8_t { plain, atomic, read_modify_write };

/** An access, packed: a cell has four of them for each byte of memory. */
struct Access {
  uint64_t serial : 24; // of the threadgroup; 0: none
  uint64_t epoch : 14; // the threadgroup's barriers before
  uint64_t simdgroup_epoch : 14;
  uint64_t thread : 10;
  uint64_t kind : 2;
};

/** Two accesses of each sort, of threads as far apart as there were. */
struct Pair {
  Access access[2];
  uint32_t code[2]; // where in this library
};

struct Cell {
  Pair writes, reads;
};

struct Region {
  char* begin;
  char* end;
  Cell* cells; // one per byte
  Space space;
  bool initialised; // from the start
  bool writable;
  uint64_t read, written; // bytes so far
  std::string name;
};

void add_region(const Region& region);
void clear_regions();
void clear_threadgroup_regions();
std::vector<Region>& all_regions();
/** Where accesses cannot hit what is not the kernel's. */
bool is_reserved(const void* address);
/** Constants and the executor's own state, which kernels' code may touch. */
bool in_this_library(const void* address);

/** One access by the kernel; code is the address of the instruction after it.
 */
void check_access(
    void* address,
    size_t bytes,
    bool write,
    Kind kind,
    const void* code);
/** A finding, unless the same code has had one of the sort before. */
void note(
    const std::string& what,
    const std::string& where,
    const void* code,
    const std::string& details = "");
/** Forgets what was noted and who accessed what: a new launch begins. */
void begin_tracking();
/** Forgets for good, so that threadgroups can be numbered from 1 again. */
void wipe_cells();

/** Adds an access to a buffer's own count. */
void count_buffer(const char* address, size_t bytes, bool write);

} // namespace emulator
