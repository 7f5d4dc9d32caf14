// Copyright © 2026 the mlx-topk authors. MIT licence.

// Scratch that outlives a call: pages that the system gives are cleared and
// mapped one by one, which takes longer than to sort what fits on them.

#pragma once

#include <cstddef>

namespace mlx::core::cpu {

/** What a thread keeps between calls, at the most. */
constexpr size_t kept_scratch_bytes = size_t(16) << 20;

struct ScratchBlock {
  void* data{nullptr};
  size_t bytes{0};
};

/** At least so many bytes, aligned to 64, not initialised. */
ScratchBlock take_scratch(size_t bytes);

/** On the thread that took it. */
void give_back_scratch(ScratchBlock block);

} // namespace mlx::core::cpu
