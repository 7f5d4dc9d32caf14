// Copyright © 2026 the mlx-topk authors. MIT licence.

// Implements fiber.h, in assembly on x86-64 and with ucontext elsewhere. Stacks
// are kept between launches: allocating them takes longer than a small launch.

#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#if !defined(__x86_64__)
#define EMULATOR_UCONTEXT
#endif
#ifdef EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

static char* stacks;
static uint32_t stacks_ready;

void reserve_stacks(uint32_t threads) {
  if (!stacks) {
    void* memory = mmap(
        nullptr,
        most_threads * stack_bytes,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0);
    if (memory == MAP_FAILED) {
      abort();
    }
    stacks = static_cast<char*>(memory);
  }
  // Protect the lowest page of each stack, so that an overflow faults instead
  // of writing to the next thread's stack.
  auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (; stacks_ready < threads; ++stacks_ready) {
    mprotect(stacks + stacks_ready * stack_bytes, page, PROT_NONE);
  }
}

bool on_a_stack(const void* address) {
  auto at = static_cast<const char*>(address);
  return at >= stacks && at < stacks + most_threads * stack_bytes;
}

/** Returns the address from which a thread's stack grows down. Some bytes above
 * it stay unused, and their number varies between threads. If all stacks began
 * at the same offset in a page, they would compete for few sets of the cache.
 */
static char* stack_top(uint32_t thread) {
  size_t offset = thread * 832 % 16384;
  return stacks + (thread + 1) * stack_bytes - 64 - offset;
}

#ifdef EMULATOR_UCONTEXT

void* fresh_stack(uint32_t thread, void (*entry)()) {
  char* bottom = stacks + thread * stack_bytes;
  auto room = (sizeof(ucontext_t) + 63) / 64 * 64;
  char* top = stack_top(thread) - room;
  auto context = reinterpret_cast<ucontext_t*>(top);
  getcontext(context);
  context->uc_stack.ss_sp = bottom;
  context->uc_stack.ss_size = static_cast<size_t>(top - bottom);
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}

extern "C" void emulator_switch_stack(void** from, void* to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

#else

void* fresh_stack(uint32_t thread, void (*entry)()) {
  auto top = reinterpret_cast<void**>(stack_top(thread));
  // The unused return address of `entry`, which also aligns the stack as a call
  // would.
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry); // where the switch returns to
  constexpr int saved_registers = 6; // as popped by emulator_switch_stack
  for (int i = 0; i < saved_registers; ++i) {
    *--top = nullptr;
  }
  return top;
}

asm(R"(
.text
.globl emulator_switch_stack
.hidden emulator_switch_stack
.type emulator_switch_stack, @function
emulator_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch_stack, . - emulator_switch_stack
)");

#endif

} // namespace emulator
