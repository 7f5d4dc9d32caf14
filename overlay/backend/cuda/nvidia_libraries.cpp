// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/backend/cuda/nvidia_libraries.h"

#include <dlfcn.h>

#include <initializer_list>
#include <sstream>
#include <stdexcept>

namespace mlx::core::cuda {

namespace {

/**
 * Opens a library that exists under one of ``names``. First looks for a library
 * that the process has loaded already, because libmlx may have loaded one, and
 * a second version of the same library must not be loaded beside it. If none is
 * loaded, opens the first that the dynamic linker finds.
 */
void* open_library(std::initializer_list<const char*> names) {
  for (int mode : {RTLD_NOW | RTLD_NOLOAD, RTLD_NOW}) {
    for (auto name : names) {
      if (auto library = dlopen(name, mode | RTLD_LOCAL)) {
        return library;
      }
    }
  }
  throw std::runtime_error(dlerror());
}

template <typename Function>
void look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) {
    throw std::runtime_error(dlerror());
  }
}

Driver load_driver() {
  auto library = open_library({"libcuda.so.1"});
  Driver driver{};
  look_up(library, "cuDeviceGetAttribute", driver.get_attribute);
  look_up(library, "cuCtxGetCurrent", driver.get_context);
  look_up(library, "cuCtxSetCurrent", driver.set_context);
  look_up(library, "cuCtxGetDevice", driver.get_context_device);
  look_up(library, "cuDevicePrimaryCtxRetain", driver.retain_primary_context);
  look_up(library, "cuModuleLoadData", driver.load_module);
  look_up(library, "cuModuleGetFunction", driver.get_function);
  look_up(library, "cuFuncSetAttribute", driver.set_function_attribute);
  look_up(library, "cuGetErrorName", driver.get_error_name);
  return driver;
}

Nvrtc load_nvrtc() {
  auto library = open_library({"libnvrtc.so.13", "libnvrtc.so.12"});
  Nvrtc nvrtc{};
  look_up(library, "nvrtcVersion", nvrtc.get_version);
  look_up(library, "nvrtcCreateProgram", nvrtc.create_program);
  look_up(library, "nvrtcDestroyProgram", nvrtc.destroy_program);
  look_up(library, "nvrtcCompileProgram", nvrtc.compile_program);
  look_up(library, "nvrtcGetProgramLogSize", nvrtc.get_log_size);
  look_up(library, "nvrtcGetProgramLog", nvrtc.get_log);
  look_up(library, "nvrtcGetCUBINSize", nvrtc.get_cubin_size);
  look_up(library, "nvrtcGetCUBIN", nvrtc.get_cubin);
  look_up(library, "nvrtcGetErrorString", nvrtc.get_error_string);
  return nvrtc;
}

} // namespace

const Driver& Driver::get() {
  static const Driver driver = load_driver();
  return driver;
}

void Driver::check(int error, const char* call) const {
  if (error != 0) {
    const char* name = nullptr;
    get_error_name(error, &name);
    std::ostringstream msg;
    msg << call << " failed with " << (name ? name : "an unknown error") << ".";
    throw std::runtime_error(msg.str());
  }
}

const Nvrtc& Nvrtc::get() {
  static const Nvrtc nvrtc = load_nvrtc();
  return nvrtc;
}

void Nvrtc::check(int error) const {
  if (error != 0) {
    throw std::runtime_error(get_error_string(error));
  }
}

} // namespace mlx::core::cuda
