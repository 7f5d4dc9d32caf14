// Copyright © 2026 the mlx-topk authors. MIT licence.

// Keeps compiled kernels on disk, since compiling one takes up to a second.

#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace mlx::core::cuda {

/** Everything that the machine code of a kernel depends on. */
struct KernelKey {
  std::string name;
  std::string architecture;
  std::string compiler_version;
  std::string source;
};

/**
 * A folder of compiled kernels, one file each.
 *
 * The folder belongs to one user. A folder that other users can write to is not
 * used, since they could put other code into it. If a file cannot be read or
 * written, there is no error: the kernel is compiled again. Several processes
 * may use the folder at the same time. A file is written under a temporary name
 * and then renamed, so that other processes never read an incomplete file.
 */
class KernelCache {
 public:
  /** An empty path turns the cache off. */
  explicit KernelCache(std::filesystem::path folder);

  /**
   * Returns the cache in the folder that the environment variable
   * MLX_TOPK_CACHE names, or else in the folder mlx-topk in the user's folder
   * for caches. MLX_TOPK_CACHE=0 turns the cache off.
   */
  static KernelCache of_environment();

  /** Returns nothing if there is no file, or if it is damaged. */
  std::optional<std::string> read(const KernelKey& key) const;

  /**
   * Writes a file. Then removes the least recently used files, if the folder is
   * larger than ``size_limit``.
   */
  void write(const KernelKey& key, const std::string& code) const;

  const std::filesystem::path& folder() const {
    return folder_;
  }

  /** The greatest size of all files in the folder, in bytes. */
  static constexpr uintmax_t size_limit = 64 << 20;

 private:
  std::filesystem::path file_of(const KernelKey& key) const;
  void remove_old_files() const;

  std::filesystem::path folder_;
};

} // namespace mlx::core::cuda
