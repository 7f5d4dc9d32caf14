// Copyright © 2026 the mlx-topk authors. MIT licence.

// What instructions.h needs, compiled for the baseline.

#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "mlx/backend/common/ordered_key.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/selection/scratch.h"
#include "mlx/backend/cpu/selection/threads.h"
#include "mlx/dtype_utils.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
