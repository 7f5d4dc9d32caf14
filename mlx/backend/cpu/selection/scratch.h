// Copyright © 2026 the mlx-topk authors. MIT licence.

// Scratch memory that each thread keeps for its next call. New pages are
// cleared and mapped one by one by the system, and that takes longer than
// sorting the elements that fit on them.

#pragma once

#include <cstddef>

namespace mlx::core::cpu {

/** A thread keeps at most this much between calls. */
constexpr size_t kept_scratch_bytes = size_t(16) << 20;

struct ScratchBlock {
  void* data{nullptr};
  size_t bytes{0};
};

/** Returns at least ``bytes`` bytes, aligned to 64, not initialised. */
ScratchBlock take_scratch(size_t bytes);

/** Must be called on the thread that took ``block``. */
void give_back_scratch(ScratchBlock block);

} // namespace mlx::core::cpu
