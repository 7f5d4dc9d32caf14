// Copyright © 2026 the mlx-topk authors. MIT licence.

// A plugin of QEMU that counts the instructions which a program executes
// between its calls of two functions. Their addresses are the arguments
// ``begin`` and
// ``end``. Prints the count when ``end`` is called.
//
// The declarations below are those parts of QEMU's interface for plugins,
// version 1, that this file uses. Debian's package of QEMU has no header.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct plugin_info;
typedef void (*tb_translated)(plugin_id, struct qemu_plugin_tb*);
typedef void (*tb_executed)(unsigned, void*);

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb*);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, tb_translated);
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb*,
    tb_executed,
    int,
    void*);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static uint64_t begin, end, count;
static int counting;

// Several threads of the program may run at once.
static void block_executed(unsigned cpu, void* instructions) {
  (void)cpu;
  if (__atomic_load_n(&counting, __ATOMIC_RELAXED)) {
    __atomic_add_fetch(&count, (uintptr_t)instructions, __ATOMIC_RELAXED);
  }
}

static void begin_called(unsigned cpu, void* unused) {
  (void)cpu;
  (void)unused;
  count = 0;
  counting = 1;
}

static void end_called(unsigned cpu, void* unused) {
  (void)cpu;
  (void)unused;
  counting = 0;
  fprintf(stderr, "instructions: %llu\n", (unsigned long long)count);
}

// A call of a function always begins a new block.
static void block_translated(plugin_id id, struct qemu_plugin_tb* block) {
  (void)id;
  uint64_t address = qemu_plugin_tb_vaddr(block);
  if (address == begin) {
    qemu_plugin_register_vcpu_tb_exec_cb(block, begin_called, 0, NULL);
  } else if (address == end) {
    qemu_plugin_register_vcpu_tb_exec_cb(block, end_called, 0, NULL);
  } else {
    uintptr_t instructions = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(
        block, block_executed, 0, (void*)instructions);
  }
}

__attribute__((visibility("default"))) int qemu_plugin_install(
    plugin_id id,
    const struct plugin_info* info,
    int argc,
    char** argv) {
  (void)info;
  for (int i = 0; i < argc; ++i) {
    if (strncmp(argv[i], "begin=", 6) == 0) {
      begin = strtoull(argv[i] + 6, NULL, 16);
    } else if (strncmp(argv[i], "end=", 4) == 0) {
      end = strtoull(argv[i] + 4, NULL, 16);
    }
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
  return begin && end ? 0 : 1;
}
