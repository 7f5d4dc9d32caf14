# CMake's toolchain file: Zig as the compiler for macOS on arm64. cross.py passes
# two paths: ZIG is the compiler, MACOS_STUBS the folder with the text stubs of
# macOS's system libraries.

set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG MACOS_STUBS)
set(CMAKE_USER_MAKE_RULES_OVERRIDE ${CMAKE_CURRENT_LIST_DIR}/rules.cmake)

set(MACOS_TARGET "-target aarch64-macos.14.0")
set(CMAKE_CXX_COMPILER ${ZIG} c++)

# Zig's libc++ is newer than that of macOS 14. The macro makes its headers use
# only what the older library exports; -fno-sized-deallocation avoids a delete
# operator that the older library lacks.
string(
  JOIN
  " "
  CMAKE_CXX_FLAGS_INIT
  ${MACOS_TARGET}
  -U_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS
  -D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=1
  -fno-sized-deallocation
  -isystem
  ${CMAKE_CURRENT_LIST_DIR}/stubs)

# When installing, CMake would change rpaths with Apple's install_name_tool,
# which Linux does not have. The linker already writes the final rpaths.
set(CMAKE_INSTALL_NAME_TOOL "install-name-tool-is-not-needed")
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
