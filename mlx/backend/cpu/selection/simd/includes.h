// Copyright © 2026 the mlx-topk authors. MIT licence.

// Everything that the *-inl.h headers use from elsewhere. Included before the
// compiler is switched to an instruction set (see kernels-inl.h).

#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>

#include "mlx/backend/common/ordered_key.h"
#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/cpu/selection/float_mode.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/selection/scratch.h"
#include "mlx/backend/cpu/selection/threads.h"
#include "mlx/dtype_utils.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
