// Copyright © 2026 the mlx-topk authors. MIT licence.

// The C interface of abi.h: checks a launch, runs its threadgroups one after
// another, and returns what was found.

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "memory.h"
#include "report.h"
#include "state.h"

namespace emulator {

static Kernel* kernels; // the list of all kernels
static std::string error_text;
static std::mutex one_at_a_time;

Registration::Registration(
    const char* name,
    uint32_t constants,
    uint32_t most_threads,
    void (*entry)())
    : kernel{name, entry, constants, most_threads, kernels} {
  kernels = &kernel;
}

static const Kernel* find_kernel(const char* name) {
  for (const Kernel* kernel = kernels; kernel; kernel = kernel->next) {
    if (!strcmp(kernel->name, name)) {
      return kernel;
    }
  }
  return nullptr;
}

// ---- faults -----------------------------------------------------------------

/** While it exists, a fault in a kernel (an unmapped address, a division by
 * zero) becomes a finding and does not end the process. */
class FaultGuard {
 public:
  FaultGuard() {
    static char stack[1 << 16];
    stack_t handler_stack = {};
    handler_stack.ss_sp = stack;
    handler_stack.ss_size = sizeof(stack);
    sigaltstack(&handler_stack, &stack_before_);
    struct sigaction action = {};
    action.sa_sigaction = &FaultGuard::caught;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < 3; ++i) {
      sigaction(signals[i], &action, &before_[i]);
    }
  }
  ~FaultGuard() {
    for (int i = 0; i < 3; ++i) {
      sigaction(signals[i], &before_[i], nullptr);
    }
    sigaltstack(&stack_before_, nullptr);
  }

 private:
  static constexpr int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};

  static std::string fault_text(int number, const siginfo_t& info) {
    if (number == SIGFPE) {
      return "division by zero";
    }
    if (on_a_stack(info.si_addr)) {
      return "private memory over 256 KiB: the thread's stack overflowed";
    }
    // The address is not canonical. The processor does not say which address
    // it was.
    if (info.si_code == SI_KERNEL) {
      return "out of bounds: not a canonical address, no memory can have it";
    }
    char address[32];
    snprintf(address, sizeof(address), "%p", info.si_addr);
    return std::string("out of bounds: nothing is mapped at ") + address;
  }

  static void caught(int number, siginfo_t* info, void*) {
    if (!state.fiber) {
      // No kernel caused it. Returning repeats the fault, which then ends the
      // process.
      signal(number, SIG_DFL);
      return;
    }
    fail(fault_text(number, *info) + ", by " + running_thread_name());
  }

  struct sigaction before_[3];
  stack_t stack_before_;
};

// ---- the grid ---------------------------------------------------------------

static uint64_t volume(const uint32_t size[3]) {
  return uint64_t(size[0]) * size[1] * size[2];
}

static std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (auto kernel = kernels; kernel; kernel = kernel->next) {
    names.push_back(kernel->name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

/** Returns up to eight of the kernels' names, for an error. */
static std::string some_kernel_names() {
  constexpr size_t most = 8;
  std::string text;
  for (const std::string& name : kernel_names()) {
    if (std::count(text.begin(), text.end(), ' ') == most) {
      return text + " ...";
    }
    text += (text.empty() ? " " : ", ") + name;
  }
  return text;
}

/** Adds a finding and returns false if there is no such kernel or it cannot run
 * with so many threads per threadgroup. */
static bool check_kernel(
    const emulator_dispatch& dispatch,
    const Kernel* kernel) {
  if (!kernel) {
    findings.push_back(
        std::string("no kernel is called ") + dispatch.kernel +
        "; expected one of" + some_kernel_names());
    return false;
  }
  uint64_t threads = volume(dispatch.threads);
  uint64_t most = kernel->most_threads ? kernel->most_threads : most_threads;
  most = std::min<uint64_t>(most, most_threads);
  if (threads == 0 || threads > most) {
    findings.push_back(
        std::to_string(threads) + " threads per threadgroup; expected 1 to " +
        std::to_string(most));
    return false;
  }
  return true;
}

/** Sets the parts of `threadgroup` that all threadgroups of a launch share. */
static void set_sizes(const emulator_dispatch& dispatch) {
  const uint32_t* count = dispatch.threadgroups;
  const uint32_t* size = dispatch.threads;
  threadgroup.count = {count[0], count[1], count[2]};
  threadgroup.threads = {size[0], size[1], size[2]};
  threadgroup.grid = {
      count[0] * size[0], count[1] * size[1], count[2] * size[2]};
  threadgroup.thread_count = static_cast<uint32_t>(volume(size));
  threadgroup.simdgroups = (threadgroup.thread_count + 31) / 32;
}

/** Runs threadgroup number `index` of the grid, x varying fastest. */
static void run_one(uint64_t index) {
  const Size& count = threadgroup.count;
  threadgroup.position = {
      static_cast<uint32_t>(index % count.x),
      static_cast<uint32_t>(index / count.x % count.y),
      static_cast<uint32_t>(index / count.x / count.y)};
  reset_threadgroup_memory();
  state.serial++;
  state.counts.threadgroups++;
  run_threadgroup();
}

/** Runs the threadgroups one after another. Stops after the first threadgroup
 * in which a mistake was found. */
static void run_grid(const emulator_dispatch& dispatch) {
  uint64_t count = volume(dispatch.threadgroups);
  if (!state.random) {
    for (uint64_t i = 0; i < count && findings.empty(); ++i) {
      run_one(i);
    }
    return;
  }
  std::vector<uint64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  for (uint64_t i = count; i > 1; --i) {
    std::swap(order[i - 1], order[next_random() % i]);
  }
  for (uint64_t i = 0; i < count && findings.empty(); ++i) {
    run_one(order[i]);
  }
}

static void add(emulator_counts& total, const emulator_counts& launch) {
  total.device_bytes_read += launch.device_bytes_read;
  total.device_bytes_written += launch.device_bytes_written;
  total.threadgroup_bytes_read += launch.threadgroup_bytes_read;
  total.threadgroup_bytes_written += launch.threadgroup_bytes_written;
  total.barriers += launch.barriers;
  total.simdgroup_barriers += launch.simdgroup_barriers;
  total.collectives += launch.collectives;
  total.atomics += launch.atomics;
  total.threadgroups += launch.threadgroups;
  total.launches += launch.launches;
}

/** Sets error_text from the findings. */
static void write_error(const emulator_dispatch& dispatch) {
  error_text.clear();
  if (findings.empty()) {
    return;
  }
  error_text = std::string("kernel ") + dispatch.kernel + ", " +
      (dispatch.seed ? "seed " + std::to_string(dispatch.seed) : "in order");
  for (const std::string& finding : findings) {
    error_text += "\n  " + with_lines(finding);
  }
}

static int launch(const emulator_dispatch& dispatch, emulator_counts* counts) {
  findings.clear();
  state.counts = {};
  state.counts.launches = 1;
  // Spread the seed's bits. The state must not be 0, which means in order.
  state.random = dispatch.seed ? dispatch.seed * 0x9e3779b97f4a7c15ull | 1 : 0;
  const Kernel* kernel = find_kernel(dispatch.kernel);
  if (check_kernel(dispatch, kernel) && bind(dispatch)) {
    FaultGuard guard;
    state.entry = kernel->entry;
    set_sizes(dispatch);
    try {
      place_buffers(*kernel);
      run_grid(dispatch);
      return_buffers();
    } catch (const LaunchFailed&) {
      // fail() has added the finding.
    }
  }
  if (counts) {
    add(*counts, state.counts);
  }
  write_error(dispatch);
  return findings.empty() ? 0 : 1;
}

} // namespace emulator

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

EMULATOR_EXPORT int emulator_launch(
    const emulator_dispatch* dispatch,
    emulator_counts* counts) {
  std::lock_guard lock(emulator::one_at_a_time);
  return emulator::launch(*dispatch, counts);
}

EMULATOR_EXPORT const char* emulator_error(void) {
  return emulator::error_text.c_str();
}

EMULATOR_EXPORT int emulator_kernel_names(char* out, int size) {
  std::string text;
  for (const std::string& name : emulator::kernel_names()) {
    text += name + "\n";
  }
  if (size > 0) {
    strncpy(out, text.c_str(), static_cast<size_t>(size));
    out[size - 1] = 0;
  }
  return static_cast<int>(text.size()) + 1;
}
