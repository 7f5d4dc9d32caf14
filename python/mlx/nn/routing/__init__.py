"""Mixture-of-experts layers, and gradient estimators for training their routers.

A router chooses experts with ``mx.topk``, and the chosen indices have no gradient.
This module has estimators that give the router a gradient in spite of that, losses
and a bias that keep experts evenly loaded, and layers made of them. Each docstring
states what the estimator assumes.

``mlx.nn`` does not import this module: write ``from mlx.nn import routing``.
"""

from mlx.nn.routing._route import route
from mlx.nn.routing.balance import (
    expert_loads,
    load_balance_loss,
    router_z_loss,
    update_expert_bias,
)
from mlx.nn.routing.estimators import (
    dense_router,
    sample_topk,
    straight_through,
    update_expert_mean,
)
from mlx.nn.routing.expert_parallel import (
    ShardedMixtureOfExperts,
    average_gradients,
)
from mlx.nn.routing.gates import PatchedGates, patch_gates, unpatch_gates
from mlx.nn.routing.layers import Experts, MixtureOfExperts
from mlx.nn.routing.quantile import (
    histogram_expert_bias,
    quantile_expert_bias,
    quantile_histogram,
)
from mlx.nn.routing.relaxation import soft_topk
from mlx.nn.routing.router import Routing, TopKRouter
from mlx.nn.routing.sharded import eval_within, sharded_topk

__all__ = [
    "Experts",
    "MixtureOfExperts",
    "PatchedGates",
    "Routing",
    "ShardedMixtureOfExperts",
    "TopKRouter",
    "average_gradients",
    "dense_router",
    "eval_within",
    "expert_loads",
    "histogram_expert_bias",
    "load_balance_loss",
    "patch_gates",
    "quantile_expert_bias",
    "quantile_histogram",
    "route",
    "router_z_loss",
    "sample_topk",
    "sharded_topk",
    "soft_topk",
    "straight_through",
    "unpatch_gates",
    "update_expert_bias",
    "update_expert_mean",
]
