// Copyright © 2026 the mlx-topk authors. MIT licence.

// The old name of overlay/portable_graph.h. It goes with the next version.

#pragma once

#include "overlay/portable_graph.h"
