# CMake's toolchain file: Debian's GCC for Linux on aarch64. cross.py passes
# AARCH64_PROGRAMS, the folder with the compiler and the linker's tools.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES AARCH64_PROGRAMS)
# CMake finds the other programs by the prefix of the compiler's name.
set(CMAKE_CXX_COMPILER ${AARCH64_PROGRAMS}/aarch64-linux-gnu-g++)
# GCC 10 changed how a std::pair<float, float> is passed, and notes this for functions
# of MLX's headers.
set(CMAKE_CXX_FLAGS_INIT -Wno-psabi)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
