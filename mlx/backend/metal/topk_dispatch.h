// Copyright © 2026 the mlx-topk authors. MIT licence.

// Which kernels of metal/topk.h make a selection, and with what: pure, so that
// the same host code drives Metal and the emulator in metal/emulator.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mlx/array.h"
#include "mlx/selection.h"
#include "mlx/selection_primitives.h"

namespace mlx::core::metal {

#include "metal/topk_arguments.h"

/**
 * in_registers: a simdgroup per row.
 * resident:     a threadgroup per row.
 * split:        several threadgroups per row, and one that merges.
 */
enum class TopKKernel { in_registers, resident, split };

/**
 * Where one kernel becomes the faster. Nobody has measured these on a Mac:
 * MLX_TOPK_METAL="resident_size=4096,segment_size=8192" overrides them, and
 * MLX_TOPK_METAL=0 leaves everything to upstream's sort.
 */
struct TopKTuning {
  bool enabled = true;
  // Rows for a simdgroup's registers. At most 1024.
  int64_t register_size = 1024;
  int64_t register_k = 32;
  // Longer rows are split, into segments that are no shorter than this.
  int64_t resident_size = 8192;
  int64_t segment_size = 2048;
  // Beyond, upstream sorts. At most 2048.
  int64_t selected_k = 2048;
  // Rows that do not fit into registers are partitioned by a sort up to here:
  // so many are one block for upstream's.
  int64_t partition_size = 2048;
};

/** As the environment has it. Throws std::invalid_argument. */
TopKTuning parse_tuning(const std::string& text);
MLX_API const TopKTuning& tuning();

/** For tests: this kernel wherever it can be. Empty: the one of the tuning. */
MLX_API void force_topk_kernel(std::optional<TopKKernel> kernel);

/** The arrays that a kernel's buffers are bound to. */
enum class KernelArray {
  input,
  values,
  indices,
  found_keys,
  found_positions,
  best_positions
};

struct KernelBuffer {
  int index;
  KernelArray array;
  bool written;
};

/** One launch of a kernel: everything but the addresses. */
struct Dispatch {
  std::string kernel;
  // What makes this kernel of the template in metal/topk.h.
  std::string instantiation;
  TopKArguments arguments;
  std::vector<int64_t> axes;
  std::vector<KernelBuffer> buffers;
  std::array<int64_t, 2> threadgroup_bytes;
  std::array<uint32_t, 3> groups;
  uint32_t threads;
};

/** What Metal compiles for it: the template, and this kernel of it. */
MLX_API std::string source_of(const Dispatch& dispatch);

/** A selection's launches in their order, and the scratch they share. */
struct Selection {
  std::vector<Dispatch> dispatches;
  int64_t found_keys_bytes = 0;
  int64_t found_positions_bytes = 0;
  int64_t best_positions_bytes = 0;
};

/** Whether there is a plan; kth counts from the front. */
bool can_topk(Dtype dtype, int64_t k);
bool can_partition(Dtype dtype, int64_t axis_size, int64_t kth);

/** Empty: this is left to upstream. The axis is not negative. */
MLX_API std::optional<Selection>
plan_topk(const array& in, int axis, int k, TopKMode mode, TopKOrder order);

/** Likewise; kth counts from the front. */
std::optional<Selection>
plan_partition(const array& in, int axis, int kth, OrderResult result);

/** Where launches are recorded: a Metal command encoder, or the emulator. */
class KernelEncoder {
 public:
  virtual ~KernelEncoder() = default;

  /** Makes the kernel ready. May throw: before anything is recorded. */
  virtual void prepare(const Dispatch& dispatch) = 0;
  /** Memory that lives until what is recorded has run. */
  virtual array scratch(int64_t bytes) = 0;
  virtual void set_kernel(const Dispatch& dispatch) = 0;
  virtual void set_input(const array& a, int index) = 0;
  virtual void set_output(array& a, int index) = 0;
  virtual void set_bytes(const void* data, size_t bytes, int index) = 0;
  virtual void set_threadgroup_memory(size_t bytes, int index) = 0;
  virtual void launch(const Dispatch& dispatch) = 0;
};

/** An array of at least so many bytes, without data. */
array scratch_array(int64_t bytes);

/**
 * Makes the kernels ready. False: one cannot be used, now or at all, which is
 * said on stderr once, and nothing was recorded.
 */
bool prepare(const Selection& selection, KernelEncoder& encoder);

/** What happened so far in this process: for mlx/selftest.py. */
struct KernelReport {
  uint64_t launches;
  // The names of kernels that cannot be used, each with the reason.
  std::vector<std::pair<std::string, std::string>> broken;
};
MLX_API KernelReport kernel_report();

/** For tests: kernels that could not be used are tried again. */
void forget_broken_kernels();

/** Records all of it. An output that is not asked for is null. */
void encode(
    const Selection& selection,
    const array& in,
    array* values,
    array* indices,
    KernelEncoder& encoder);

} // namespace mlx::core::metal
