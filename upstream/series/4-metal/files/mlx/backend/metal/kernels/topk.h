// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/metal/kernels/topk/register.h"
