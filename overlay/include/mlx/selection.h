// Copyright © 2026 the mlx-topk authors. MIT licence.

// The old name of overlay/selection.h. The next version will not have this
// file.

#pragma once

#include "overlay/selection.h"
