// Copyright © 2026 the mlx-topk authors. MIT licence.

// The old name of overlay/index_output.h. The next version will not have this
// file.

#pragma once

#include "overlay/index_output.h"
