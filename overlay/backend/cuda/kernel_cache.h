// Copyright © 2026 the mlx-topk authors. MIT licence.

// Keeps compiled kernels on disk, since compiling one takes up to a second.

#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace mlx::core::cuda {

/** What the machine code of a kernel depends on. */
struct KernelKey {
  std::string name;
  std::string architecture;
  std::string compiler_version;
  std::string source;
};

/**
 * A folder of compiled kernels, one file each.
 *
 * The folder belongs to one user. One that others can write to is not used,
 * since they could put other code there. Every failure to read or write means
 * only that the kernel is compiled again. Several processes may use the folder
 * at the same time: a file appears complete, by being renamed.
 */
class KernelCache {
 public:
  /** An empty path turns the cache off. */
  explicit KernelCache(std::filesystem::path folder);

  /**
   * The folder that the environment variable MLX_TOPK_CACHE names, or else
   * mlx-topk in the user's folder for caches. MLX_TOPK_CACHE=0 turns it off.
   */
  static KernelCache of_environment();

  /** Returns nothing if there is no file, or if it is damaged. */
  std::optional<std::string> read(const KernelKey& key) const;

  /** Also removes the files used longest ago, if the folder is too large. */
  void write(const KernelKey& key, const std::string& code) const;

  const std::filesystem::path& folder() const {
    return folder_;
  }

  /** The size that the folder may have, in bytes. */
  static constexpr uintmax_t size_limit = 64 << 20;

 private:
  std::filesystem::path file_of(const KernelKey& key) const;
  void remove_old_files() const;

  std::filesystem::path folder_;
};

} // namespace mlx::core::cuda
