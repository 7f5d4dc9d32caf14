/* Copyright © 2026 the mlx-topk authors. MIT licence. */

/* The C interface of a library that metal.emulator built from Metal source.
 * An `index` is the N of the kernel's attribute [[buffer(N)]] or
 * [[threadgroup(N)]]. */

#ifndef METAL_EMULATOR_ABI_H
#define METAL_EMULATOR_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int index;
  void* data; /* the start of the memory, which the kernel uses in place */
  uint64_t bytes; /* the size of the memory at data */
  uint64_t offset; /* bytes from data to where the kernel's pointer points */
  int writable; /* whether the kernel may write it; only tracked builds check */
  int uninitialised; /* whether a read before a write is an error; only tracked
                        builds check */
} emulator_buffer;

typedef struct {
  int index;
  uint64_t bytes;
} emulator_threadgroup_memory;

typedef struct {
  const char* kernel;
  const emulator_buffer* buffers;
  int buffer_count;
  const emulator_threadgroup_memory* threadgroup_memory;
  int threadgroup_memory_count;
  uint32_t threadgroups[3]; /* in the grid */
  uint32_t threads[3]; /* per threadgroup */
  uint64_t seed; /* determines a random order of threads and threadgroups; 0:
                    they run one after the other */
} emulator_dispatch;

/* The work of launches. Plain builds leave the bytes at 0. device_bytes_read
 * excludes buffers in the constant address space. */
typedef struct {
  uint64_t device_bytes_read, device_bytes_written;
  uint64_t threadgroup_bytes_read, threadgroup_bytes_written;
  uint64_t barriers; /* threadgroup barriers, summed over threadgroups */
  uint64_t simdgroup_barriers; /* summed over simdgroups */
  uint64_t collectives; /* simdgroup functions, summed over simdgroups */
  uint64_t atomics; /* atomic operations, summed over threads */
  uint64_t threadgroups, launches;
} emulator_counts;

/* Runs a kernel to its end. Returns 0 if no mistake was found; otherwise
 * emulator_error describes the mistakes. Adds to *counts unless it is null. A
 * second call from another thread waits until the first has returned. */
int emulator_launch(const emulator_dispatch* dispatch, emulator_counts* counts);

/* Returns the mistakes of the last launch, "" if there were none. The text is
 * valid until the next launch. */
const char* emulator_error(void);

/* Sets *read and *written to the bytes that the last launch accessed in one
 * buffer, constant buffers included. Plain builds report 0. */
void emulator_buffer_counts(int index, uint64_t* read, uint64_t* written);

/* Writes the names of the kernels to out, sorted, one per line, with a
 * terminating zero, cut off after size bytes. Returns the bytes that the whole
 * text needs. */
int emulator_kernel_names(char* out, int size);

#ifdef __cplusplus
}
#endif

#endif
