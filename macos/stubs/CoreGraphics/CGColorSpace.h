// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares the part of Apple's CoreGraphics that metal-cpp's headers use. The
// macOS wheel is built without Apple's SDK.

#pragma once

typedef struct CGColorSpace* CGColorSpaceRef;
