// Copyright © 2026 the mlx-topk authors. MIT licence.

// Turns code addresses into source lines. A finding names code by a mark, which
// holds the address; marks are replaced when the launch has ended.

#pragma once

#include <cstdint>
#include <string>

namespace emulator {

/** Returns the offset of a code address from the start of this library. */
uint32_t code_offset(const void* address);
/** Returns a mark such as "<@1f2c>": the code at this offset. */
std::string code_mark(uint32_t offset);
/** Returns the kernel's source lines for the code at an offset. If calls were
 * inlined there are several, joined by " > ", the outermost first. */
std::string lines_at(uint32_t offset);
/** Replaces each mark in a text by "FILE:LINE", or by "code offset 0x1f2c"
 * where debug information has no line. */
std::string with_lines(const std::string& text);

} // namespace emulator
