// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tests the cache of compiled CUDA kernels on disk. The tests need no GPU,
// since the cache accepts any string as the machine code of a kernel.

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "overlay/backend/cuda/kernel_cache.h"
#include "tests/cpp/check.h"

namespace fs = std::filesystem;

using mlx::core::cuda::KernelCache;
using mlx::core::cuda::KernelKey;

namespace {

/** A folder that exists for the length of one test. */
class TemporaryFolder {
 public:
  TemporaryFolder() {
    auto name = (fs::temp_directory_path() / "kernel-cache-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  fs::path operator/(const char* name) const {
    return path_ / name;
  }

 private:
  fs::path path_;
};

KernelKey key_of(const std::string& source) {
  return {"topk_resident_float32", "sm_90", "13.0", source};
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (auto& entry : fs::directory_iterator(folder)) {
    files.push_back(entry);
  }
  return files;
}

void test_code_is_read_as_it_was_written() {
  TemporaryFolder folder;
  KernelCache cache(folder / "cache");
  CHECK(!cache.read(key_of("source")));
  std::string code("machine\0code", 12);
  cache.write(key_of("source"), code);
  CHECK(cache.read(key_of("source")) == code);
  // A second cache in the same folder reads what the first has written.
  CHECK(KernelCache(folder / "cache").read(key_of("source")) == code);
  // Code may be empty.
  cache.write(key_of("source"), "");
  CHECK(cache.read(key_of("source")) == "");
}

void test_each_part_of_the_key_matters() {
  TemporaryFolder folder;
  KernelCache cache(folder / "cache");
  cache.write(key_of("source"), "code");
  for (auto member :
       {&KernelKey::name,
        &KernelKey::architecture,
        &KernelKey::compiler_version,
        &KernelKey::source}) {
    auto other = key_of("source");
    other.*member += "0";
    CHECK(!cache.read(other));
  }
}

void test_damaged_files_are_not_used() {
  TemporaryFolder folder;
  KernelCache cache(folder / "cache");
  cache.write(key_of("source"), "the code of a kernel");
  auto file = files_in(folder / "cache").at(0);
  auto size = fs::file_size(file);
  for (uintmax_t length = 0; length < size; ++length) {
    cache.write(key_of("source"), "the code of a kernel");
    fs::resize_file(file, length);
    CHECK(!cache.read(key_of("source")));
  }
  for (uintmax_t at = 0; at < size; ++at) {
    cache.write(key_of("source"), "the code of a kernel");
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(at);
    char byte = stream.get();
    stream.seekp(at);
    stream.put(byte ^ 1);
    stream.close();
    CHECK(!cache.read(key_of("source")));
  }
  cache.write(key_of("source"), "the code of a kernel");
  CHECK(cache.read(key_of("source")) == "the code of a kernel");
}

void test_the_folder_is_private() {
  TemporaryFolder folder;
  KernelCache cache(folder / "cache");
  cache.write(key_of("source"), "code");
  struct stat status{};
  CHECK(stat((folder / "cache").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
}

void test_a_folder_that_others_can_write_to_is_not_used() {
  TemporaryFolder folder;
  KernelCache cache(folder / "cache");
  cache.write(key_of("source"), "code");
  for (auto mode : {0720, 0702, 0777}) {
    chmod((folder / "cache").c_str(), mode);
    CHECK(!cache.read(key_of("source")));
    cache.write(key_of("other"), "code");
    CHECK(files_in(folder / "cache").size() == 1);
  }
  chmod((folder / "cache").c_str(), 0700);
  CHECK(cache.read(key_of("source")) == "code");
  // A link to the folder is not used either: whoever can write to the folder
  // that holds the link can change the link.
  fs::create_directory_symlink(folder / "cache", folder / "link");
  CHECK(!KernelCache(folder / "link").read(key_of("source")));
}

void test_failures_to_write_are_silent() {
  TemporaryFolder folder;
  std::ofstream(folder / "file") << "not a folder";
  for (auto name : {"file", "file/cache"}) {
    KernelCache cache(folder / name);
    cache.write(key_of("source"), "code");
    CHECK(!cache.read(key_of("source")));
  }
  KernelCache off("");
  off.write(key_of("source"), "code");
  CHECK(!off.read(key_of("source")));
}

void test_the_folder_stays_below_its_limit() {
  TemporaryFolder folder;
  KernelCache cache(folder / "cache");
  std::string code(KernelCache::size_limit / 4, 'x');
  auto write = [&](const char* source) {
    cache.write(key_of(source), code);
    // File times have to differ.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  write("a");
  write("b");
  write("c");
  CHECK(cache.read(key_of("a"))); // used now: "b" is the oldest
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  write("d");
  CHECK(cache.read(key_of("a")));
  CHECK(!cache.read(key_of("b")));
  CHECK(cache.read(key_of("c")));
  CHECK(cache.read(key_of("d")));
}

void test_old_unfinished_files_are_removed() {
  TemporaryFolder folder;
  KernelCache cache(folder / "cache");
  cache.write(key_of("source"), "code");
  auto old = folder / "cache" / "name.cubin.1.0.part";
  auto young = folder / "cache" / "name.cubin.2.0.part";
  std::ofstream(old) << "part";
  std::ofstream(young) << "part";
  auto now = fs::file_time_type::clock::now();
  fs::last_write_time(old, now - std::chrono::hours(2));
  cache.write(key_of("other"), "code");
  CHECK(!fs::exists(old));
  CHECK(fs::exists(young));
}

void test_many_threads_write_and_read_the_same_kernel() {
  TemporaryFolder folder;
  std::vector<std::thread> threads;
  std::string code(1 << 16, 'c');
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      KernelCache cache(folder / "cache");
      for (int turn = 0; turn < 50; ++turn) {
        cache.write(key_of("source"), code);
        auto found = cache.read(key_of("source"));
        wrong += !found || *found != code;
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  CHECK(files_in(folder / "cache").size() == 1);
}

void test_the_environment_names_the_folder() {
  auto home = std::getenv("HOME");
  std::string old_home = home ? home : "";
  setenv("XDG_CACHE_HOME", "/xdg", 1);
  setenv("HOME", "/home/user", 1);
  unsetenv("MLX_TOPK_CACHE");
  CHECK(KernelCache::of_environment().folder() == "/xdg/mlx-topk");
  unsetenv("XDG_CACHE_HOME");
  CHECK(KernelCache::of_environment().folder() == "/home/user/.cache/mlx-topk");
  setenv("MLX_TOPK_CACHE", "/elsewhere", 1);
  CHECK(KernelCache::of_environment().folder() == "/elsewhere");
  setenv("MLX_TOPK_CACHE", "0", 1);
  CHECK(KernelCache::of_environment().folder().empty());
  unsetenv("MLX_TOPK_CACHE");
  unsetenv("HOME");
  CHECK(KernelCache::of_environment().folder().empty());
  setenv("HOME", old_home.c_str(), 1);
}

} // namespace

void run_kernel_cache_tests() {
  test_code_is_read_as_it_was_written();
  test_each_part_of_the_key_matters();
  test_damaged_files_are_not_used();
  test_the_folder_is_private();
  test_a_folder_that_others_can_write_to_is_not_used();
  test_failures_to_write_are_silent();
  test_the_folder_stays_below_its_limit();
  test_old_unfinished_files_are_removed();
  test_many_threads_write_and_read_the_same_kernel();
  test_the_environment_names_the_folder();
}
