// Copyright © 2026 the mlx-topk authors. MIT licence.

// Happens-before, for one schedule, of all that barriers order: within a
// threadgroup by the barriers that name the space, between threadgroups of a
// launch by nothing.

#include "tracker.h"

#include <set>

#include "report.h"

namespace emulator {

static std::vector<Region> device_regions, threadgroup_regions;
static uint32_t first_serial; // of this launch
static std::set<std::pair<std::string, const void*>> noted;

void begin_tracking() {
  const Size& grid = threadgroup.count;
  uint64_t threadgroups = uint64_t(grid.x) * grid.y * grid.z;
  constexpr uint64_t most_serials = (1 << 24) - 1;
  if (state.serial + threadgroups > most_serials) {
    wipe_cells();
    state.serial = 0;
  }
  first_serial = state.serial + 1;
  noted.clear();
}

void add_region(const Region& region) {
  bool device = region.space == device_space;
  (device ? device_regions : threadgroup_regions).push_back(region);
}

void clear_regions() {
  device_regions.clear();
  threadgroup_regions.clear();
}

void clear_threadgroup_regions() {
  threadgroup_regions.clear();
}

std::vector<Region>& all_regions() {
  return device_regions;
}

void note(
    const std::string& what,
    const std::string& where,
    const void* code,
    const std::string& details) {
  constexpr size_t most_findings = 20;
  if (findings.size() < most_findings && noted.insert({what, code}).second) {
    // The instruction itself, not the one after it.
    auto at = static_cast<const char*>(code) - 1;
    findings.push_back(
        what + where + " at " + code_mark(at) + ", by " + who() + details);
  }
}

// ---- who came before whom
// ----------------------------------------------------

static Access access_now(Space space, Kind kind) {
  const Simdgroup& group = state.simdgroups[current->simdgroup];
  Access access;
  access.serial = state.serial;
  access.epoch = state.epoch[space];
  // Barriers of the threadgroup order a simdgroup's lanes, too.
  access.simdgroup_epoch = group.epoch[space] + state.epoch[space];
  access.thread = current->index;
  access.kind = static_cast<uint64_t>(kind);
  constexpr uint32_t most_epochs = (1 << 14) - 1;
  if (group.epoch[space] + state.epoch[space] > most_epochs) {
    fail("more barriers than the tracker can count, by " + who());
  }
  return access;
}

/** Whether the old access is of this launch or, in its memory, this
 * threadgroup. */
static bool is_live(const Access& old, Space space) {
  return space == device_space ? old.serial >= first_serial
                               : old.serial == state.serial;
}

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

static bool may_meet(const Access& a, const Access& b) {
  auto both = static_cast<uint64_t>(Kind::read_modify_write);
  return a.kind == both && b.kind == both;
}

static int distance(const Access& a, const Access& b) {
  if (a.serial != b.serial) {
    return 2;
  }
  return a.thread / 32 != b.thread / 32;
}

/** An old access that nothing orders before this one and that may not meet it.
 */
static int conflict(const Pair& pair, const Access& now, Space space) {
  for (int i = 0; i < 2; ++i) {
    const Access& old = pair.access[i];
    if (is_live(old, space) && !is_before(old, now) && !may_meet(old, now)) {
      return i;
    }
  }
  return -1;
}

/** Two are enough: whoever comes later is ordered after both or after neither,
 * except for what is of its own thread, simdgroup or threadgroup, so keep them
 * far apart. */
static void
remember(Pair& pair, const Access& now, uint32_t code, Space space) {
  for (int i = 0; i < 2; ++i) {
    Access& old = pair.access[i];
    bool same_thread = old.serial == now.serial && old.thread == now.thread;
    if (!is_live(old, space) || is_before(old, now)) {
      // A thread's plain access stays plain if an atomic one follows at once.
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

// ---- findings
// ----------------------------------------------------------------

static std::string at_byte(const Region& region, const char* address) {
  long offset = address - region.begin;
  return " of " + region.name + ", byte " + std::to_string(offset) + " of " +
      std::to_string(region.end - region.begin);
}

static std::string with_whom(const Access& old, uint32_t code, bool write) {
  std::string text = "\n    not ordered after the ";
  text += old.kind ? "atomic " : "";
  text += write ? "write" : "read";
  text += " by thread " + std::to_string(old.thread);
  if (old.serial != state.serial) {
    text += " of another threadgroup";
  }
  return text + " at " + code_mark(code);
}

static void note_race(
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
  std::string details = with_whom(pair.access[old], pair.code[old], old_write);
  const Site& barrier = state.unordered[region.space];
  if (!between && barrier.operation) {
    details += "\n    " + text(barrier) + " does not name " +
        (region.space == device_space ? "mem_device" : "mem_threadgroup");
  }
  note(what, at_byte(region, address), code, details);
}

static const Region* nearest(const char* address) {
  const Region* best = nullptr;
  long least = 0;
  for (auto regions : {&device_regions, &threadgroup_regions}) {
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

static void note_outside(const char* address, bool write, const void* code) {
  std::string what =
      std::string("out of bounds: ") + (write ? "write" : "read");
  const Region* region = nearest(address);
  note(what, region ? at_byte(*region, address) : "", code);
  if (!is_reserved(address)) {
    // The access itself would hit memory that is not the kernel's.
    fail("given up: the access is far outside");
  }
}

// ---- the check
// ---------------------------------------------------------------

static Region* find(const char* address) {
  static size_t last;
  if (last < device_regions.size() && address >= device_regions[last].begin &&
      address < device_regions[last].end) {
    return &device_regions[last];
  }
  for (Region& region : threadgroup_regions) {
    if (address >= region.begin && address < region.end) {
      return &region;
    }
  }
  for (size_t i = 0; i < device_regions.size(); ++i) {
    if (address >= device_regions[i].begin && address < device_regions[i].end) {
      last = i;
      return &device_regions[i];
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
    note("uninitialised read", at_byte(region, address), code);
  }
  int old = conflict(cell.writes, now, region.space);
  if (old >= 0) {
    note_race(region, address, write, cell.writes, old, true, code);
  }
  old = write ? conflict(cell.reads, now, region.space) : -1;
  if (old >= 0) {
    note_race(region, address, write, cell.reads, old, false, code);
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
  Region* region = find(at);
  if (!region) {
    note_outside(at, write, code);
    return;
  }
  if (at + bytes > region->end) {
    note_outside(region->end, write, code);
    bytes = static_cast<size_t>(region->end - at);
  }
  if (write && !region->writable) {
    note("write to what is no output: write", at_byte(*region, at), code);
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
