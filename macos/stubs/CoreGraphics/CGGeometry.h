// Copyright © 2026 the mlx-topk authors. MIT licence.

// What metal-cpp's headers use of Apple's CoreGraphics: declarations only.

#pragma once

typedef double CGFloat;

typedef struct CGPoint {
  CGFloat x, y;
} CGPoint;

typedef struct CGSize {
  CGFloat width, height;
} CGSize;

typedef struct CGRect {
  CGPoint origin;
  CGSize size;
} CGRect;
