// Copyright © 2026 the mlx-topk authors. MIT licence.

// Records the launches of a plan with a command encoder.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mlx/array.h"
#include "mlx/backend/gpu/launch.h"

namespace mlx::core::gpu {

/** What a command encoder of Metal or CUDA, or an emulator, has to offer. */
class KernelEncoder {
 public:
  virtual ~KernelEncoder() = default;

  /** Allocates memory that lives until everything recorded has run. */
  virtual void add_scratch(const Scratch& scratch) = 0;

  /** Begins a launch. The next calls bind what it uses. */
  virtual void set_kernel(const Launch& launch) = 0;
  virtual void set_array(const KernelBuffer& buffer) = 0;
  virtual void set_bytes(const void* data, size_t bytes, int index) = 0;
  virtual void set_threadgroup_memory(size_t bytes, int index) = 0;

  /** Records the launch. */
  virtual void launch(const Launch& launch) = 0;
};

/** Records all launches of ``plan`` in their order. */
void encode(const LaunchPlan& plan, KernelEncoder& encoder);

/** Finds the array that a KernelArray stands for in one evaluation. */
class KernelArrays {
 public:
  /** An output that is not written is null. */
  KernelArrays(const array& in, array* values, array* indices)
      : in_(in), values_(values), indices_(indices) {}

  /**
   * Adds an array without data, of at least ``scratch.bytes``. The reference is
   * valid until another array is added.
   */
  array& add_scratch(const Scratch& scratch);
  void add(KernelArray which, const array& a);

  const array& get(KernelArray which) const;
  /** ``which`` is not the input. */
  array& get_output(KernelArray which);

 private:
  const array& in_;
  array* values_;
  array* indices_;
  // Few arrays, of which each has another name.
  std::vector<std::pair<KernelArray, array>> others_;
};

} // namespace mlx::core::gpu
