// Copyright © 2026 the mlx-topk authors. MIT licence.

// Everything that the *-inl.h headers use from elsewhere. Included before the
// compiler is switched to an instruction set (see
// mlx/backend/cpu/selection/simd/kernels-inl.h).

#pragma once

#include <cmath>

#include "mlx/backend/cpu/selection/simd/includes.h"
#include "overlay/backend/cpu/route/kernels.h"
