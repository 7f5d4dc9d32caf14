// Copyright © 2026 the mlx-topk authors. MIT licence.

// The bindings for macOS are compiled with the headers of a Python for Linux.
// This refuses to compile where those would describe another ABI.

#include <Python.h>
#include <time.h>
#include <wchar.h>

static_assert(SIZEOF_SHORT == sizeof(short));
static_assert(SIZEOF_INT == sizeof(int));
static_assert(SIZEOF_LONG == sizeof(long));
static_assert(SIZEOF_LONG_LONG == sizeof(long long));
static_assert(SIZEOF_SIZE_T == sizeof(size_t));
static_assert(SIZEOF_VOID_P == sizeof(void*));
static_assert(SIZEOF_DOUBLE == sizeof(double));
static_assert(SIZEOF_WCHAR_T == sizeof(wchar_t));
static_assert(SIZEOF_TIME_T == sizeof(time_t));
static_assert(SIZEOF_OFF_T == sizeof(off_t));
static_assert(ALIGNOF_LONG == alignof(long));
static_assert(sizeof(Py_ssize_t) == 8 && sizeof(Py_UCS4) == 4);

#if defined(Py_DEBUG) || defined(Py_TRACE_REFS) || defined(Py_GIL_DISABLED)
#error "These headers are those of a Python whose objects differ from macOS's."
#endif
#if defined(WORDS_BIGENDIAN)
#error "These headers are those of a big-endian machine."
#endif
