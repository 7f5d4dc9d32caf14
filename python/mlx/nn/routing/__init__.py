"""Routers that learn from their choice.

``mx.topk`` chooses, and its indices have no gradient. What is here gives a router
one all the same, each with its assumption stated: functions that compose with
``mx.topk``, tools that keep experts evenly loaded, and two layers made of them.

MLX's ``mlx.nn`` does not import this module: write ``from mlx.nn import routing``.
"""

from mlx.nn.routing.balance import (
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
from mlx.nn.routing.layers import Experts, MixtureOfExperts, Routing, TopKRouter
from mlx.nn.routing.relaxation import soft_topk

__all__ = [
    "Experts",
    "MixtureOfExperts",
    "Routing",
    "TopKRouter",
    "dense_router",
    "load_balance_loss",
    "router_z_loss",
    "sample_topk",
    "soft_topk",
    "straight_through",
    "update_expert_bias",
    "update_expert_mean",
]
