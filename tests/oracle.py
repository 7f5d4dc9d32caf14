"""The contract of docs/topk.md in NumPy. The wheel's selftest has the same oracle."""

from mlx.selftest.oracle import (
    best_first as best_first,
)
from mlx.selftest.oracle import (
    order as order,
)
from mlx.selftest.oracle import (
    topk as topk,
)
from mlx.selftest.oracle import (
    topk_gradient as topk_gradient,
)
from mlx.selftest.oracle import (
    topk_indices as topk_indices,
)
