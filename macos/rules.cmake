# How Zig archives and links for macOS. Read after CMake's own rules for Apple's
# tools.

# "zig c++" would link a libc++ of its own, a second one in the process; "zig cc"
# takes the system's.
# -S: no paths of this machine in the symbol table.
string(JOIN " " link
       "${ZIG} cc ${MACOS_TARGET} -shared -Wl,-dead_strip -Wl,-S <LINK_FLAGS>"
       "-o <TARGET> <OBJECTS> <LINK_LIBRARIES>"
       "-L${MACOS_STUBS} ${MACOS_STUBS}/libc++.tbd")

set(CMAKE_CXX_CREATE_SHARED_LIBRARY
    "${link} <SONAME_FLAG> <TARGET_INSTALLNAME_DIR><TARGET_SONAME>")
# What is missing then is Python's, and check.py sees to it that nothing else is.
set(CMAKE_CXX_CREATE_SHARED_MODULE "${link} -Wl,-undefined,dynamic_lookup")
set(CMAKE_CXX_ARCHIVE_CREATE "${ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "")
