// Copyright © 2026 the mlx-topk authors. MIT licence.

// The tracker checks every memory access of a kernel in a tracked build. For
// each byte it keeps the last accesses, each with its thread and the number of
// barriers before it. They tell whether a later access is ordered after them.

#pragma once

#include "memory.h"

namespace emulator {

/** The kind of an access. Unordered accesses to one byte by two threads are a
 * race unless both are read_modify_write. Metal also allows `atomic` ones
 * (loads and stores); here they count as races, since no kernel relies on them.
 */
enum class Kind : uint8_t { plain, atomic, read_modify_write };

/** One access. Packed into 8 bytes, because each byte of memory has four. */
struct Access {
  uint64_t serial : 24; // of the threadgroup, from 1; 0 means no access
  uint64_t epoch : 14; // threadgroup barriers that ordered the space before
  uint64_t simdgroup_epoch : 14; // epoch + the simdgroup's own such barriers
  uint64_t thread : 10; // in the threadgroup
  uint64_t kind : 2;
};

/** Two accesses to a byte, by threads as far apart as possible: see remember()
 * in tracker.cpp. */
struct Pair {
  Access access[2];
  uint32_t code[2]; // the offset in this library of the code of each
};

/** The accesses kept for one byte. */
struct Cell {
  Pair writes, reads;
};

/** Memory that the kernel may access: a buffer, several that overlap, or a
 * threadgroup variable or argument. */
struct Region {
  char* begin;
  char* end;
  Cell* cells; // one per byte
  Space space;
  bool initialised; // whether its content counts as written before the launch
  bool writable;
  std::string name;
};

extern std::vector<Region> buffer_regions; // in the order of add_region

void add_region(const Region& region);
void clear_regions();
void clear_threadgroup_regions();
/** Whether an address is in memory reserved for copies of buffers and for
 * threadgroup memory, where an access out of bounds does no harm. */
bool is_reserved(const void* address);
/** Whether an address is in this library, which holds the kernel's constants
 * and the executor's state. Accesses there are not checked. */
bool in_this_library(const void* address);

/** Checks one access by the kernel. code: the instruction after the access. */
void check_access(
    void* address,
    size_t bytes,
    bool write,
    Kind kind,
    const void* code);
/** Adds the finding `what` + `where` + the source line of `code` + `details`.
 * Does nothing if this launch already has a finding with the same `what` and
 * `code`, or if it has 20 findings. */
void report_once(
    const std::string& what,
    const std::string& where,
    const void* code,
    const std::string& details = "");
/** Starts a launch: accesses before it no longer count. */
void begin_tracking();
/** Clears all cells, so that threadgroups can be numbered from 1 again. */
void clear_cells();

/** Adds an access to the counts of the launch and of its buffer. */
void count_buffer(const char* address, size_t bytes, bool write);

} // namespace emulator
