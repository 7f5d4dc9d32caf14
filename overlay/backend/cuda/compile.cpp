// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/backend/cuda/compile.h"

#include <sstream>
#include <stdexcept>
#include <vector>

#include "overlay/backend/cuda/metal_words.h"
#include "overlay/backend/cuda/nvidia_libraries.h"
#include "overlay/backend/gpu/kernel_source.h"

namespace mlx::core::cuda {

namespace {

/** Owns an NVRTC program. */
class Program {
 public:
  Program(const std::string& source, const std::string& name)
      : nvrtc_(Nvrtc::get()) {
    // The text that replaces each of the two Metal headers that the kernels
    // include.
    const char* headers[] = {metal_words, "#include <metal_stdlib>\n"};
    const char* names[] = {"metal_stdlib", "metal_simdgroup"};
    nvrtc_.check(nvrtc_.create_program(
        &program_, source.c_str(), name.c_str(), 2, headers, names));
  }
  ~Program() {
    nvrtc_.destroy_program(&program_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  int compile(const std::string& architecture) {
    auto target = "--gpu-architecture=" + architecture;
    std::vector<const char*> options{
        target.c_str(),
        "--std=c++17",
        // The functions of the kernels are not declared with CUDA's __device__.
        "--device-as-default-execution-space"};
    return nvrtc_.compile_program(program_, options.size(), options.data());
  }

  std::string log() const {
    size_t size = 0;
    nvrtc_.check(nvrtc_.get_log_size(program_, &size));
    std::string text(size, '\0');
    nvrtc_.check(nvrtc_.get_log(program_, text.data()));
    // NVRTC's text ends with a null character, which is dropped here.
    return text.c_str();
  }

  std::string cubin() const {
    size_t size = 0;
    nvrtc_.check(nvrtc_.get_cubin_size(program_, &size));
    std::string code(size, '\0');
    nvrtc_.check(nvrtc_.get_cubin(program_, code.data()));
    return code;
  }

 private:
  const Nvrtc& nvrtc_;
  _nvrtcProgram* program_ = nullptr;
};

/**
 * Removes [[threadgroup(N)]]: metal_words.cuh defines `threadgroup` to be
 * nothing, which leaves no valid attribute.
 */
std::string without_threadgroup_attributes(std::string text) {
  const std::string begin = "[[threadgroup(";
  const std::string end = ")]]";
  for (size_t at = 0; (at = text.find(begin, at)) != std::string::npos;) {
    text.erase(at, text.find(end, at) + end.size() - at);
  }
  return text;
}

} // namespace

std::string source_of(const gpu::Launch& launch) {
  // "topk_split, order_float32" becomes "cuda_topk_split(NAME, order_float32)".
  auto comma = launch.instantiation.find(',');
  std::ostringstream source;
  source << without_threadgroup_attributes(gpu::kernel_text) << "cuda_"
         << launch.instantiation.substr(0, comma) << "(" << launch.kernel
         << launch.instantiation.substr(comma) << ")\n";
  return source.str();
}

std::string compile(
    const std::string& source,
    const std::string& name,
    const std::string& architecture,
    std::string* warnings /* = nullptr */) {
  Program program(source, name);
  if (int error = program.compile(architecture)) {
    std::ostringstream msg;
    msg << Nvrtc::get().get_error_string(error) << ": " << program.log();
    throw std::runtime_error(msg.str());
  }
  if (warnings) {
    *warnings = program.log();
  }
  return program.cubin();
}

std::string compiler_version() {
  int major = 0;
  int minor = 0;
  Nvrtc::get().check(Nvrtc::get().get_version(&major, &minor));
  std::ostringstream version;
  version << major << "." << minor;
  return version.str();
}

} // namespace mlx::core::cuda
