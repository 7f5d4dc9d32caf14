// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares the part of Apple's CoreFoundation that metal-cpp's headers use. The
// macOS wheel is built without Apple's SDK.

#pragma once

#include <MacTypes.h>
#include <stdbool.h>
#include <stdint.h>

typedef const void* CFTypeRef;
typedef double CFTimeInterval;
typedef long CFIndex;
typedef const struct __CFString* CFStringRef;
typedef const struct __CFDictionary* CFDictionaryRef;

#ifdef __cplusplus
extern "C" {
#endif

CFTypeRef CFRetain(CFTypeRef object);
void CFRelease(CFTypeRef object);

#ifdef __cplusplus
}
#endif
