// Copyright © 2026 the mlx-topk authors. MIT licence.

// What metal-cpp's headers use of Apple's IOSurface: declarations only.

#pragma once

typedef struct __IOSurface* IOSurfaceRef;
