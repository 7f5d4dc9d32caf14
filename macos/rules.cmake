# CMake's rules for archiving and linking, with Zig's commands instead of
# Apple's. toolchain.cmake has CMake read this file after its own rules.

# Link with "zig cc". "zig c++" would link in a second libc++ beside the system's.
# -S keeps paths of the build machine out of the symbol table.
string(JOIN " " link
       "${ZIG} cc ${MACOS_TARGET} -shared -Wl,-dead_strip -Wl,-S <LINK_FLAGS>"
       "-o <TARGET> <OBJECTS> <LINK_LIBRARIES>"
       "-L${MACOS_STUBS} ${MACOS_STUBS}/libc++.tbd")

set(CMAKE_CXX_CREATE_SHARED_LIBRARY
    "${link} <SONAME_FLAG> <TARGET_INSTALLNAME_DIR><TARGET_SONAME>")
# Python's symbols are undefined when the module is linked. check.py checks that
# no other symbols are undefined.
set(CMAKE_CXX_CREATE_SHARED_MODULE "${link} -Wl,-undefined,dynamic_lookup")
set(CMAKE_CXX_ARCHIVE_CREATE "${ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "")
