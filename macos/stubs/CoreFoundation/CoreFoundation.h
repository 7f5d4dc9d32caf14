// Copyright © 2026 the mlx-topk authors. MIT licence.

// What metal-cpp's headers use of Apple's CoreFoundation: declarations only.

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
