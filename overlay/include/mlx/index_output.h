// Copyright © 2026 the mlx-topk authors. MIT licence.

// The old name of overlay/index_output.h. It goes with the next version.

#pragma once

#include "overlay/index_output.h"
