// Copyright © 2026 the mlx-topk authors. MIT licence.

#pragma once

#include <cstdint>

#include "mlx/allocator.h"
#include "mlx/array.h"

namespace mlx::core::cpu {

/**
 * Where the elements of an array are. A task that is handed to the thread of a
 * stream keeps this rather than an array, for which memory would have to be
 * allocated. It owns nothing: MLX keeps the buffers of the inputs and outputs
 * of a primitive until its tasks have run.
 */
class ArrayData {
 public:
  explicit ArrayData(const array& a)
      : buffer_(a.buffer()), offset_(a.offset()) {}

  /**
   * Returns the elements. Call this in the task only: before it runs, another
   * stream may not have written the elements yet.
   */
  template <typename T>
  T* get() const {
    auto buffer = buffer_;
    return reinterpret_cast<T*>(static_cast<char*>(buffer.raw_ptr()) + offset_);
  }

 private:
  allocator::Buffer buffer_;
  int64_t offset_;
};

} // namespace mlx::core::cpu
