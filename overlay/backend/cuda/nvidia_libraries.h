// Copyright © 2026 the mlx-topk authors. MIT licence.

// The functions of CUDA's driver and of its run-time compiler NVRTC that this
// library calls. They are looked up when first used, in the libraries that
// libmlx has loaded, or else in those that the dynamic linker finds. So nothing
// of CUDA is needed to build or to link.

#pragma once

#include <cstddef>
#include <string>

struct CUctx_st;
struct CUfunc_st;
struct CUmod_st;
struct _nvrtcProgram;

namespace mlx::core::cuda {

/** The driver, libcuda. Its functions return 0 or the number of an error. */
struct Driver {
  int (*get_attribute)(int* value, int attribute, int device);
  int (*get_context)(CUctx_st** context);
  int (*set_context)(CUctx_st* context);
  int (*get_context_device)(int* device);
  int (*retain_primary_context)(CUctx_st** context, int device);
  int (*load_module)(CUmod_st** module, const void* code);
  int (*get_function)(CUfunc_st** function, CUmod_st* module, const char* name);
  int (*set_function_attribute)(CUfunc_st* function, int attribute, int value);
  int (*get_error_name)(int error, const char** name);

  /** Throws std::runtime_error if the driver cannot be loaded. */
  static const Driver& get();

  /** Throws std::runtime_error with the error's name unless ``error`` is 0. */
  void check(int error, const char* call) const;
};

/** The compiler, libnvrtc. Its functions return 0 or the number of an error. */
struct Nvrtc {
  int (*get_version)(int* major, int* minor);
  int (*create_program)(
      _nvrtcProgram** program,
      const char* source,
      const char* name,
      int header_count,
      const char* const* headers,
      const char* const* header_names);
  int (*destroy_program)(_nvrtcProgram** program);
  int (*compile_program)(
      _nvrtcProgram* program,
      int option_count,
      const char* const* options);
  int (*get_log_size)(_nvrtcProgram* program, size_t* size);
  int (*get_log)(_nvrtcProgram* program, char* log);
  int (*get_cubin_size)(_nvrtcProgram* program, size_t* size);
  int (*get_cubin)(_nvrtcProgram* program, char* cubin);
  const char* (*get_error_string)(int error);

  /** Throws std::runtime_error if the compiler cannot be loaded. */
  static const Nvrtc& get();

  /** Throws std::runtime_error with the error's text unless ``error`` is 0. */
  void check(int error) const;
};

} // namespace mlx::core::cuda
