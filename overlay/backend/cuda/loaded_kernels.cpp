// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/backend/cuda/loaded_kernels.h"

#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <unordered_map>

#include "overlay/backend/cuda/compile.h"
#include "overlay/backend/cuda/kernel_cache.h"
#include "overlay/backend/cuda/nvidia_libraries.h"

namespace mlx::core::cuda {

namespace {

// Numbers from CUDA's cuda.h. They never change.
constexpr int compute_capability_major = 75;
constexpr int compute_capability_minor = 76;
constexpr int max_dynamic_shared_bytes = 8;

// A kernel can use more dynamic shared memory than this only if its attribute
// max_dynamic_shared_bytes is set.
constexpr uint32_t default_shared_bytes = 48 << 10;

int attribute(int which, int device) {
  auto& driver = Driver::get();
  int value = 0;
  driver.check(
      driver.get_attribute(&value, which, device), "cuDeviceGetAttribute");
  return value;
}

std::string architecture_of(int device) {
  std::ostringstream name;
  name << "sm_" << attribute(compute_capability_major, device)
       << attribute(compute_capability_minor, device);
  return name.str();
}

/**
 * While an object lives, the current CUDA context of this thread belongs to the
 * GPU ``device``. The destructor restores the previous context.
 */
class DeviceContext {
 public:
  explicit DeviceContext(int device) : driver_(Driver::get()) {
    driver_.check(driver_.get_context(&previous_), "cuCtxGetCurrent");
    int current = -1;
    if (previous_) {
      driver_.check(driver_.get_context_device(&current), "cuCtxGetDevice");
    }
    if (current != device) {
      CUctx_st* context = nullptr;
      // The context is never released, because the loaded kernels are kept
      // until the process ends.
      driver_.check(
          driver_.retain_primary_context(&context, device),
          "cuDevicePrimaryCtxRetain");
      driver_.check(driver_.set_context(context), "cuCtxSetCurrent");
      restore_ = true;
    }
  }
  ~DeviceContext() {
    if (restore_) {
      driver_.set_context(previous_);
    }
  }
  DeviceContext(const DeviceContext&) = delete;
  DeviceContext& operator=(const DeviceContext&) = delete;

 private:
  const Driver& driver_;
  CUctx_st* previous_ = nullptr;
  bool restore_ = false;
};

std::string machine_code(const gpu::Launch& launch, int device) {
  static const KernelCache cache = KernelCache::of_environment();
  KernelKey key{
      launch.kernel,
      architecture_of(device),
      compiler_version(),
      source_of(launch)};
  if (auto code = cache.read(key)) {
    return *code;
  }
  auto code = compile(key.source, key.name, key.architecture);
  cache.write(key, code);
  return code;
}

CUfunc_st* load(const gpu::Launch& launch, int device) {
  auto code = machine_code(launch, device);
  auto& driver = Driver::get();
  DeviceContext context(device);
  CUmod_st* module = nullptr;
  CUfunc_st* function = nullptr;
  driver.check(driver.load_module(&module, code.data()), "cuModuleLoadData");
  driver.check(
      driver.get_function(&function, module, launch.kernel.c_str()),
      "cuModuleGetFunction");
  if (shared_bytes(launch) > default_shared_bytes) {
    driver.check(
        driver.set_function_attribute(
            function, max_dynamic_shared_bytes, shared_bytes(launch)),
        "cuFuncSetAttribute");
  }
  return function;
}

} // namespace

CUfunc_st* load_kernel(const gpu::Launch& launch, int device) {
  static std::mutex mutex;
  static std::map<int, std::unordered_map<std::string, CUfunc_st*>> loaded;
  std::lock_guard lock(mutex);
  auto& kernels = loaded[device];
  auto found = kernels.find(launch.kernel);
  if (found == kernels.end()) {
    found = kernels.emplace(launch.kernel, load(launch, device)).first;
  }
  return found->second;
}

uint32_t shared_bytes(const gpu::Launch& launch) {
  return launch.threadgroup_bytes[0] + launch.threadgroup_bytes[1];
}

} // namespace mlx::core::cuda
