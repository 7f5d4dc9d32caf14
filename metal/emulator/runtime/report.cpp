// Copyright © 2026 the mlx-topk authors. MIT licence.

// Lines come from binutils' addr2line, which is there wherever g++ is.

#include "report.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <map>

namespace emulator {

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

std::string code_mark(const void* address) {
  return code_mark(code_offset(address));
}

/** The line of the innermost function that is the kernel's, not the emulator's.
 */
static std::string look_up(const std::string& offset) {
  std::string quoted = std::string("'") + library().dli_fname + "'";
  std::string command = "addr2line -i -e " + quoted + " 0x" + offset;
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
  std::string found;
  char line[4096];
  while (pipe && fgets(line, sizeof(line), pipe)) {
    std::string text = line;
    text = text.substr(0, text.find_first_of(" \n"));
    bool ours = text.find("/emulator/shim/") != std::string::npos;
    if (found.empty() && !ours && text[0] != '?') {
      found = text;
    }
  }
  if (pipe) {
    pclose(pipe);
  }
  return found.empty() ? "code offset 0x" + offset : found;
}

std::string with_lines(const std::string& text) {
  static std::map<std::string, std::string> known;
  std::string result;
  size_t at = 0;
  for (size_t mark; (mark = text.find("<@", at)) != std::string::npos;) {
    size_t end = text.find('>', mark);
    std::string offset = text.substr(mark + 2, end - mark - 2);
    auto entry = known.find(offset);
    if (entry == known.end()) {
      entry = known.emplace(offset, look_up(offset)).first;
    }
    result += text.substr(at, mark - at) + entry->second;
    at = end + 1;
  }
  return result + text.substr(at);
}

} // namespace emulator
