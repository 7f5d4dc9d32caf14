// Copyright © 2026 the mlx-topk authors. MIT licence.

// Findings name code by its address in this library; readers want files and
// lines.

#pragma once

#include <string>

namespace emulator {

/** "<@1f2c>": an address, as an offset into this library, to be looked up
 * later. */
std::string code_mark(const void* address);
std::string code_mark(uint32_t offset);
uint32_t code_offset(const void* address);
/** The lines that code at an offset stands for: inlined calls, outermost first.
 */
std::string lines_at(uint32_t offset);
/** The text with each mark replaced by "FILE:LINE", if debug information has
 * it. */
std::string with_lines(const std::string& text);

} // namespace emulator
