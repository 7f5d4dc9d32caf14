/* Copyright © 2026 the mlx-topk authors. MIT licence. */

/* The C interface of a library that metal.emulator built from Metal source. */

#ifndef METAL_EMULATOR_ABI_H
#define METAL_EMULATOR_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int index;
  void* data; /* the whole allocation, used in place */
  uint64_t bytes;
  uint64_t offset; /* of the kernel's pointer, which may go back from there */
  int writable; /* whether the kernel may write it; tracked builds look */
  int uninitialised; /* whether its content counts as never written */
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
  uint32_t threadgroups[3];
  uint32_t threads[3]; /* per threadgroup */
  uint64_t seed; /* of the schedule; 0: threads and threadgroups in order */
} emulator_dispatch;

/* Bytes are counted by tracked builds only. Buffers that the kernel declares as
 * constant are in emulator_buffer_counts, not in device_bytes_read. */
typedef struct {
  uint64_t device_bytes_read, device_bytes_written;
  uint64_t threadgroup_bytes_read, threadgroup_bytes_written;
  uint64_t barriers; /* threadgroup barriers, each once per threadgroup */
  uint64_t simdgroup_barriers, collectives; /* once per simdgroup */
  uint64_t atomics; /* once per thread */
  uint64_t threadgroups, launches;
} emulator_counts;

/* Runs a kernel to its end. 0: clean; otherwise emulator_error says what is
 * wrong. counts are added to, and may be null. Two calls do not run at once. */
int emulator_launch(const emulator_dispatch* dispatch, emulator_counts* counts);

/* Of the last launch; valid until the next. */
const char* emulator_error(void);

/* Bytes that the last launch moved through one buffer index (tracked builds).
 */
void emulator_buffer_counts(int index, uint64_t* read, uint64_t* written);

/* The kernels' names, sorted, one per line; returns the size of the text with
 * its terminating zero, of which at most size bytes are written. */
int emulator_kernel_names(char* out, int size);

#ifdef __cplusplus
}
#endif

#endif
