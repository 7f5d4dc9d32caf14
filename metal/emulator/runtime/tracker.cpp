// Copyright © 2026 the mlx-topk authors. MIT licence.

// Checks each access: is it within a region, may it be written, has it been
// written, and is it ordered after the accesses to the same byte that conflict
// with it? Accesses of one thread are ordered. Those of two threads of one
// threadgroup are ordered if there is a barrier between them that names the
// space. Those of two threadgroups in one launch are not ordered.

#include "tracker.h"

#include <set>

#include "report.h"

namespace emulator {

std::vector<Region> buffer_regions;
static std::vector<Region> threadgroup_regions;
static uint32_t first_serial; // of this launch's threadgroups
static std::set<std::pair<std::string, const void*>> reported;

void begin_tracking() {
  const Size& grid = threadgroup.count;
  uint64_t threadgroups = uint64_t(grid.x) * grid.y * grid.z;
  constexpr uint64_t most_serials = (1 << 24) - 1;
  if (state.serial + threadgroups > most_serials) {
    clear_cells();
    state.serial = 0;
  }
  first_serial = state.serial + 1;
  reported.clear();
}

void add_region(const Region& region) {
  bool device = region.space == device_space;
  (device ? buffer_regions : threadgroup_regions).push_back(region);
}

void clear_regions() {
  buffer_regions.clear();
  threadgroup_regions.clear();
}

void clear_threadgroup_regions() {
  threadgroup_regions.clear();
}

void report_once(
    const std::string& what,
    const std::string& where,
    const void* code,
    const std::string& details) {
  constexpr size_t most_findings = 20;
  if (findings.size() < most_findings && reported.insert({what, code}).second) {
    // `code` is the address behind the instruction that made the access. One
    // byte before it, debug information has the line of the access.
    findings.push_back(
        what + where + " at " + code_mark(code_offset(code) - 1) + ", by " +
        running_thread_name() + details);
  }
}

// ---- the order of accesses --------------------------------------------------

/** Returns an access by the running thread at this moment. */
static Access access_now(Space space, Kind kind) {
  const Simdgroup& group = state.simdgroups[current->simdgroup];
  Access access;
  access.serial = state.serial;
  access.epoch = state.epoch[space];
  // A threadgroup barrier also orders the lanes of a simdgroup.
  access.simdgroup_epoch = group.epoch[space] + state.epoch[space];
  access.thread = current->index;
  access.kind = static_cast<uint64_t>(kind);
  constexpr uint32_t most_epochs = (1 << 14) - 1;
  if (group.epoch[space] + state.epoch[space] > most_epochs) {
    fail(
        "too many barriers for the tracker: it counts up to " +
        std::to_string(most_epochs) + " per threadgroup, exceeded by " +
        running_thread_name());
  }
  return access;
}

/** Whether `old` counts: it is of this launch and, for threadgroup memory, of
 * this threadgroup. */
static bool is_live(const Access& old, Space space) {
  return space == device_space ? old.serial >= first_serial
                               : old.serial == state.serial;
}

/** Whether `old` is ordered before `now`. */
static bool is_before(const Access& old, const Access& now) {
  if (old.serial != now.serial) {
    return false;
  }
  if (old.thread == now.thread || old.epoch < now.epoch) {
    return true;
  }
  return old.thread / 32 == now.thread / 32 &&
      old.simdgroup_epoch < now.simdgroup_epoch;
}

/** Whether two accesses that are not ordered are allowed. */
static bool may_overlap(const Access& a, const Access& b) {
  auto update = static_cast<uint64_t>(Kind::read_modify_write);
  return a.kind == update && b.kind == update;
}

/** Returns 2 for accesses of two threadgroups, 1 of two simdgroups, else 0. */
static int distance(const Access& a, const Access& b) {
  if (a.serial != b.serial) {
    return 2;
  }
  return a.thread / 32 != b.thread / 32;
}

/** Returns which access of the pair races with `now`, or -1. */
static int conflict(const Pair& pair, const Access& now, Space space) {
  for (int i = 0; i < 2; ++i) {
    const Access& old = pair.access[i];
    if (is_live(old, space) && !is_before(old, now) && !may_overlap(old, now)) {
      return i;
    }
  }
  return -1;
}

/** Stores `now` in the pair, in place of an access that is ordered before `now`
 * or is less far from the pair's first access. Otherwise forgets `now`.
 *
 * Two accesses are enough to find a race if their threads are as far apart as
 * possible. A later access may be ordered after one of them, because it is by
 * the same thread, simdgroup or threadgroup. Then it still races with the other
 * access of the pair. */
static void
remember(Pair& pair, const Access& now, uint32_t code, Space space) {
  for (int i = 0; i < 2; ++i) {
    Access& old = pair.access[i];
    bool same_thread = old.serial == now.serial && old.thread == now.thread;
    if (!is_live(old, space) || is_before(old, now)) {
      // Keep a plain access if the same thread's atomic access follows without
      // a barrier: the plain one races with more accesses of other threads.
      bool keep = is_live(old, space) && same_thread &&
          old.epoch == now.epoch &&
          old.simdgroup_epoch == now.simdgroup_epoch && old.kind < now.kind;
      if (!keep) {
        old = now;
        pair.code[i] = code;
      }
      return;
    }
  }
  if (distance(pair.access[0], now) >
      distance(pair.access[0], pair.access[1])) {
    pair.access[1] = now;
    pair.code[1] = code;
  }
}

// ---- reports ----------------------------------------------------------------

/** Returns " of buffer(1), byte 4 of 64" for an address in or near a region. */
static std::string at_byte(const Region& region, const char* address) {
  long offset = address - region.begin;
  return " of " + region.name + ", byte " + std::to_string(offset) + " of " +
      std::to_string(region.end - region.begin);
}

/** Returns the line of a report that describes the older access of a race. */
static std::string older_access(const Access& old, uint32_t code, bool write) {
  std::string text = "\n    not ordered after the ";
  text += old.kind ? "atomic " : "";
  text += write ? "write" : "read";
  text += " by thread " + std::to_string(old.thread);
  if (old.serial != state.serial) {
    text += " of another threadgroup";
  }
  return text + " at " + code_mark(code);
}

static void report_race(
    const Region& region,
    const char* address,
    bool write,
    const Pair& pair,
    int old,
    bool old_write,
    const void* code) {
  bool between = pair.access[old].serial != state.serial;
  std::string what = between ? "race between threadgroups: " : "race: ";
  what += write ? "write" : "read";
  std::string details =
      older_access(pair.access[old], pair.code[old], old_write);
  const Site& barrier = state.other_space_barrier[region.space];
  if (!between && barrier.operation) {
    details += "\n    " + site_name(barrier) + " does not name " +
        (region.space == device_space ? "mem_device" : "mem_threadgroup");
  }
  report_once(what, at_byte(region, address), code, details);
}

/** Returns the region nearest to an address, null if there are no regions. */
static const Region* nearest(const char* address) {
  const Region* best = nullptr;
  long least = 0;
  for (auto regions : {&buffer_regions, &threadgroup_regions}) {
    for (const Region& region : *regions) {
      long before = region.begin - address;
      long after = address - region.end + 1;
      long away = before > after ? before : after;
      if (!best || away < least) {
        best = &region;
        least = away;
      }
    }
  }
  return best;
}

static void report_outside(const char* address, bool write, const void* code) {
  std::string what =
      std::string("out of bounds: ") + (write ? "write" : "read");
  const Region* region = nearest(address);
  report_once(what, region ? at_byte(*region, address) : "", code);
  if (!is_reserved(address)) {
    // The kernel will now make the access. It must not hit memory of the
    // process that is not for kernels.
    fail(
        "launch stopped: the access is far outside of all buffers and "
        "threadgroup memory, by " +
        running_thread_name());
  }
}

// ---- the check --------------------------------------------------------------

/** Returns the region that holds an address, null if none does. */
static Region* find_region(const char* address) {
  static size_t last; // the index of the buffer found last, likely this one
  if (last < buffer_regions.size() && address >= buffer_regions[last].begin &&
      address < buffer_regions[last].end) {
    return &buffer_regions[last];
  }
  for (Region& region : threadgroup_regions) {
    if (address >= region.begin && address < region.end) {
      return &region;
    }
  }
  for (size_t i = 0; i < buffer_regions.size(); ++i) {
    if (address >= buffer_regions[i].begin && address < buffer_regions[i].end) {
      last = i;
      return &buffer_regions[i];
    }
  }
  return nullptr;
}

static void check_byte(
    Region& region,
    const char* address,
    bool write,
    const Access& now,
    const void* code) {
  Cell& cell = region.cells[address - region.begin];
  bool reads =
      !write || now.kind == static_cast<uint64_t>(Kind::read_modify_write);
  bool written =
      region.initialised || is_live(cell.writes.access[0], region.space);
  if (reads && !written) {
    report_once("uninitialised read", at_byte(region, address), code);
  }
  int old = conflict(cell.writes, now, region.space);
  if (old >= 0) {
    report_race(region, address, write, cell.writes, old, true, code);
  }
  old = write ? conflict(cell.reads, now, region.space) : -1;
  if (old >= 0) {
    report_race(region, address, write, cell.reads, old, false, code);
  }
  uint32_t where = code_offset(code) - 1;
  remember(write ? cell.writes : cell.reads, now, where, region.space);
}

static void count(Region& region, const char* at, size_t bytes, bool write) {
  if (region.space == device_space) {
    count_buffer(at, bytes, write);
  } else if (write) {
    state.counts.threadgroup_bytes_written += bytes;
  } else {
    state.counts.threadgroup_bytes_read += bytes;
  }
}

static bool is_private(const void* address) {
  return on_a_stack(address) || in_this_library(address);
}

void check_access(
    void* address,
    size_t bytes,
    bool write,
    Kind kind,
    const void* code) {
  auto at = static_cast<char*>(address);
  if (!state.fiber || is_private(at)) {
    return;
  }
  if (kind == Kind::plain) {
    maybe_yield(16);
  }
  Region* region = find_region(at);
  if (!region) {
    report_outside(at, write, code);
    return;
  }
  if (at + bytes > region->end) {
    report_outside(region->end, write, code);
    bytes = static_cast<size_t>(region->end - at);
  }
  if (write && !region->writable) {
    report_once(
        "write to a buffer that is not an output: write",
        at_byte(*region, at),
        code);
  }
  count(*region, at, bytes, write);
  if (kind == Kind::read_modify_write) {
    count(*region, at, bytes, false);
  }
  Access now = access_now(region->space, kind);
  for (size_t i = 0; i < bytes; ++i) {
    check_byte(*region, at + i, write, now, code);
  }
}

void check_atomic_update(volatile void* word, const void* code) {
  void* address = const_cast<void*>(word);
  check_access(address, 4, true, Kind::read_modify_write, code);
}

} // namespace emulator
