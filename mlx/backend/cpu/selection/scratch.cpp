// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/cpu/selection/scratch.h"

#include <new>
#include <vector>

namespace mlx::core::cpu {

namespace {

constexpr std::align_val_t alignment{64};

struct KeptScratch {
  std::vector<ScratchBlock> blocks;
  size_t bytes{0};

  ~KeptScratch() {
    for (auto& block : blocks) {
      ::operator delete(block.data, alignment);
    }
  }
};

KeptScratch& kept() {
  thread_local KeptScratch scratch;
  return scratch;
}

} // namespace

ScratchBlock take_scratch(size_t bytes) {
  auto& scratch = kept();
  // Find the smallest block that is large enough.
  auto best = scratch.blocks.end();
  for (auto it = scratch.blocks.begin(); it != scratch.blocks.end(); ++it) {
    bool smaller = best == scratch.blocks.end() || it->bytes < best->bytes;
    if (it->bytes >= bytes && smaller) {
      best = it;
    }
  }
  if (best == scratch.blocks.end()) {
    return {::operator new(bytes, alignment), bytes};
  }
  auto block = *best;
  scratch.blocks.erase(best);
  scratch.bytes -= block.bytes;
  return block;
}

void give_back_scratch(ScratchBlock block) {
  if (block.bytes > kept_scratch_bytes) {
    ::operator delete(block.data, alignment);
    return;
  }
  auto& scratch = kept();
  scratch.blocks.push_back(block);
  scratch.bytes += block.bytes;
  // Free the blocks that were given back longest ago.
  while (scratch.bytes > kept_scratch_bytes) {
    auto oldest = scratch.blocks.front();
    scratch.bytes -= oldest.bytes;
    scratch.blocks.erase(scratch.blocks.begin());
    ::operator delete(oldest.data, alignment);
  }
}

} // namespace mlx::core::cpu
