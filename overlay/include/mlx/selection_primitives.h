// Copyright © 2026 the mlx-topk authors. MIT licence.

// Includes the headers that have replaced this one. The next version will not
// have this file.

#pragma once

#include "mlx/topk_primitive.h"
#include "overlay/index_output.h"
#include "overlay/stable_arg_reduce.h"
#include "overlay/stable_sort.h"
