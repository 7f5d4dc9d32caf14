// Copyright © 2026 the mlx-topk authors. MIT licence.

// A cross build compiles the bindings with the headers of a Python for Linux on
// x86-64. This file compiles only if those headers describe the ABI of Python
// on the other platform.

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
#error "Python's headers are of a debug, traced or free-threaded build."
#endif
#if defined(WORDS_BIGENDIAN)
#error "Python's headers are for a big-endian machine."
#endif
