// Copyright © 2026 the mlx-topk authors. MIT licence.

// Asks addr2line for source lines. It is part of binutils, which g++ needs too.

#include "report.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <vector>

namespace emulator {

/** Returns name and address of the library that this code is in. */
static Dl_info library() {
  Dl_info info = {};
  dladdr(reinterpret_cast<const void*>(&code_offset), &info);
  return info;
}

uint32_t code_offset(const void* address) {
  static const auto base = reinterpret_cast<uintptr_t>(library().dli_fbase);
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(address) - base);
}

std::string code_mark(uint32_t offset) {
  char mark[16];
  snprintf(mark, sizeof(mark), "<@%x>", offset);
  return mark;
}

/** Returns the lines "FILE:LINE" of the code at an offset, the innermost
 * inlined call first. A line without debug information contains "?". */
static const std::vector<std::string>& frames(uint32_t offset) {
  static std::map<uint32_t, std::vector<std::string>> known;
  auto [entry, is_new] = known.try_emplace(offset);
  if (!is_new) {
    return entry->second;
  }
  char address[32];
  snprintf(address, sizeof(address), " 0x%x", offset);
  std::string quoted = std::string("'") + library().dli_fname + "'";
  std::string command = "addr2line -i -e " + quoted + address + " 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  char line[4096];
  while (pipe && fgets(line, sizeof(line), pipe)) {
    std::string text = line;
    entry->second.push_back(text.substr(0, text.find_first_of(" \n")));
  }
  if (pipe) {
    pclose(pipe);
  }
  if (entry->second.empty()) {
    entry->second.push_back("?");
  }
  return entry->second;
}

static bool is_in_emulator(const std::string& line) {
  return line.find("/emulator/shim/") != std::string::npos ||
      line.find("/emulator/runtime/") != std::string::npos;
}

std::string lines_at(uint32_t offset) {
  const auto& lines = frames(offset);
  std::string text;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (!is_in_emulator(*line)) {
      text += (text.empty() ? "" : " > ") + *line;
    }
  }
  return text;
}

/** Returns the innermost line that is in the kernel's source. offset:
 * hexadecimal digits. */
static std::string kernel_line(const std::string& offset) {
  for (const std::string& line : frames(std::stoul(offset, nullptr, 16))) {
    if (!is_in_emulator(line) && line[0] != '?') {
      return line;
    }
  }
  return "code offset 0x" + offset;
}

std::string with_lines(const std::string& text) {
  std::string result;
  size_t at = 0;
  for (size_t mark; (mark = text.find("<@", at)) != std::string::npos;) {
    size_t end = text.find('>', mark);
    std::string offset = text.substr(mark + 2, end - mark - 2);
    result += text.substr(at, mark - at) + kernel_line(offset);
    at = end + 1;
  }
  return result + text.substr(at);
}

} // namespace emulator
