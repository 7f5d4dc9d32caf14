// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/backend/cuda/kernel_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "mlx/environment.h"

namespace mlx::core::cuda {

namespace {

namespace fs = std::filesystem;

/** Returns the 64-bit FNV-1a hash of ``text``. */
uint64_t hash_of(const std::string& text) {
  uint64_t hash = 14695981039346656037u;
  for (unsigned char c : text) {
    hash = (hash ^ c) * 1099511628211u;
  }
  return hash;
}

/** The first bytes of a file. The machine code follows. */
struct Header {
  char format[8] = {'m', 'l', 'x', 't', 'o', 'p', 'k', '1'};
  uint64_t source_hash = 0;
  uint64_t code_hash = 0;
};

/**
 * Creates the folder if it does not exist. Returns whether this user alone can
 * write to it.
 */
bool make_private_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  mkdir(folder.c_str(), 0700);
  struct stat status{};
  return lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
      status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/** Returns a name that no other thread or process writes to. */
fs::path temporary_name(const fs::path& file) {
  static std::atomic<unsigned> count{0};
  std::ostringstream suffix;
  suffix << "." << getpid() << "." << count++ << ".part";
  auto name = file;
  name += suffix.str();
  return name;
}

fs::path default_folder() {
  for (auto [variable, below] :
       {std::pair{"XDG_CACHE_HOME", ""}, std::pair{"HOME", ".cache"}}) {
    auto base = std::getenv(variable);
    if (base && *base == '/') {
      return fs::path(base) / below / "mlx-topk";
    }
  }
  return {};
}

} // namespace

KernelCache::KernelCache(fs::path folder) : folder_(std::move(folder)) {}

KernelCache KernelCache::of_environment() {
  auto variable = read_variable(Setting::kernel_cache);
  if (!variable || variable->value.empty()) {
    return KernelCache(default_folder());
  }
  return KernelCache(variable->value == "0" ? "" : variable->value);
}

fs::path KernelCache::file_of(const KernelKey& key) const {
  std::ostringstream name;
  name << key.name << "-" << key.architecture << "-" << key.compiler_version
       << "-" << std::hex << std::setw(16) << std::setfill('0')
       << hash_of(key.source) << ".cubin";
  return folder_ / name.str();
}

std::optional<std::string> KernelCache::read(const KernelKey& key) const {
  if (folder_.empty() || !make_private_folder(folder_)) {
    return {};
  }
  auto path = file_of(key);
  std::ifstream file(path, std::ios::binary);
  Header expected;
  Header found;
  if (!file.read(reinterpret_cast<char*>(&found), sizeof(found))) {
    return {};
  }
  std::ostringstream rest;
  rest << file.rdbuf();
  auto code = rest.str();
  expected.source_hash = hash_of(key.source);
  expected.code_hash = hash_of(code);
  if (std::memcmp(&found, &expected, sizeof(found)) != 0) {
    return {};
  }
  // Records when the file was last used, for remove_old_files.
  std::error_code error;
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);
  return code;
}

void KernelCache::write(const KernelKey& key, const std::string& code) const {
  if (folder_.empty() || !make_private_folder(folder_)) {
    return;
  }
  auto path = file_of(key);
  auto part = temporary_name(path);
  Header header;
  header.source_hash = hash_of(key.source);
  header.code_hash = hash_of(code);
  std::ofstream file(part, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header), sizeof(header));
  file.write(code.data(), code.size());
  file.close();
  std::error_code error;
  if (file) {
    fs::rename(part, path, error);
  }
  if (!file || error) {
    fs::remove(part, error);
  }
  remove_old_files();
}

void KernelCache::remove_old_files() const {
  struct File {
    fs::file_time_type used;
    uintmax_t size;
    fs::path path;
  };
  std::vector<File> files;
  uintmax_t total = 0;
  std::error_code error;
  auto an_hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (auto& entry : fs::directory_iterator(folder_, error)) {
    File file{entry.last_write_time(error), entry.file_size(error), entry};
    auto extension = file.path.extension();
    if (error) {
      continue; // another process has removed it
    }
    if (extension == ".part" && file.used < an_hour_ago) {
      fs::remove(file.path, error); // left by a process that was killed
    } else if (extension == ".cubin") {
      total += file.size;
      files.push_back(std::move(file));
    }
  }
  std::sort(files.begin(), files.end(), [](auto& a, auto& b) {
    return a.used < b.used;
  });
  for (auto& file : files) {
    if (total <= size_limit) {
      return;
    }
    fs::remove(file.path, error);
    total -= file.size;
  }
}

} // namespace mlx::core::cuda
