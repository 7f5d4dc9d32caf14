// Copyright © 2026 the mlx-topk authors. MIT licence.

// The old name of the headers below. It goes with the next version.

#pragma once

#include "mlx/topk_primitive.h"
#include "overlay/index_output.h"
#include "overlay/stable_arg_reduce.h"
#include "overlay/stable_sort.h"
