"""Layers: experts, and a mixture of experts made of a router and experts."""

from collections.abc import Callable
from typing import Literal

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.routing._checks import checked_choice, checked_mask, checked_positive
from mlx.nn.routing._chosen import chosen_matmul
from mlx.nn.routing.estimators import (
    dense_router,
    straight_through,
    updated_mean,
)
from mlx.nn.routing.relaxation import soft_topk
from mlx.nn.routing.router import Routing, TopKRouter, WithState, replay_mask

Gradient = Literal["chosen", "dense", "mean", "soft"]


class Experts(nn.Module):
    """Perceptrons with one hidden layer each. An input runs through a few of them.

    Args:
        input_dims (int): The size of an input and of an output.
        hidden_dims (int): The size of the hidden layer.
        num_experts (int): The number of perceptrons.
        activation (callable, optional): The activation of the hidden layer.
            Default: ``nn.silu``.
    """

    def __init__(
        self,
        input_dims: int,
        hidden_dims: int,
        num_experts: int,
        activation: Callable[[mx.array], mx.array] = nn.silu,
    ):
        super().__init__()
        self.activation = activation
        up, down = input_dims**-0.5, hidden_dims**-0.5
        self.up = mx.random.uniform(-up, up, (num_experts, hidden_dims, input_dims))
        self.down = mx.random.uniform(
            -down, down, (num_experts, input_dims, hidden_dims)
        )

    def _extra_repr(self) -> str:
        experts, hidden, dims = self.up.shape
        return f"input_dims={dims}, hidden_dims={hidden}, num_experts={experts}"

    def __call__(self, x: mx.array, indices: mx.array) -> mx.array:
        """Returns the outputs of the chosen experts.

        Only these experts run, except under ``mx.vmap``, where all do. On the CPU
        half types are computed in float32.

        Args:
            x (array): Shape ``(..., input_dims)``, floating.
            indices (array): Shape ``(..., k)``, integers: the experts of each input.

        Returns:
            array: Shape ``(..., k, input_dims)``, of the type of ``x``.
        """
        rows = mx.broadcast_to(x[..., None, :], (*indices.shape, x.shape[-1]))
        flat = mx.flatten(indices)
        hidden = self.activation(
            chosen_matmul(mx.flatten(rows, 0, -2), mx.swapaxes(self.up, 1, 2), flat)
        )
        out = chosen_matmul(hidden, mx.swapaxes(self.down, 1, 2), flat)
        return out.reshape(rows.shape)

    def all(self, x: mx.array) -> mx.array:
        """Returns the outputs of all experts.

        Args:
            x (array): Shape ``(..., input_dims)``, floating.

        Returns:
            array: Shape ``(..., num_experts, input_dims)``.
        """
        rows = mx.flatten(x[None], 0, -2)
        hidden = self.activation(rows @ mx.swapaxes(self.up, 1, 2))
        out = mx.swapaxes(hidden @ mx.swapaxes(self.down, 1, 2), 0, 1)
        return out.reshape(*x.shape[:-1], *out.shape[1:])


class MixtureOfExperts(WithState):
    r"""Sends each input to ``k`` experts and returns their weighted sum.

    ``gradient`` selects the gradient of the router. The value is the same for all,
    up to rounding. In evaluation mode only the chosen experts run.

    | ``gradient`` | the router gets the gradient of | experts run in training |
    |---|---|---|
    | ``"chosen"`` | the weights of the chosen experts | ``k`` |
    | ``"dense"`` | the mixture of all experts: :func:`dense_router` | all |
    | ``"mean"`` | the same, with mean outputs for experts not chosen | ``k`` |
    | ``"soft"`` | the weights, the choice being smoothed by :func:`soft_topk` | all |

    ``"chosen"`` is the exact gradient of what is computed; the others are biased
    estimates. In all modes the parameters of an expert that no input chose have a
    gradient of exactly zero. An input for which all experts are masked has an output
    of exactly 0, gets a gradient of zero, and adds nothing to the gradient of any
    parameter or to ``expert_mean``.

    Args:
        input_dims (int): The size of an input and of the output.
        hidden_dims (int): The size of an expert's hidden layer.
        num_experts (int): The number of experts.
        k (int): The number of experts chosen for an input, from 1 to ``num_experts``.
        gradient (str, optional): As above. Default: ``"chosen"``.
        tau (float, optional): The temperature of ``"soft"``. Default: ``1.0``.
        mean_decay (float, optional): For ``"mean"``: the weight of the old
            ``expert_mean`` in its update, which each call in training mode makes.
            ``expert_mean`` is saved but not trained. Default: ``0.99``.
        activation (callable, optional): The activation of the experts.
            Default: ``nn.silu``.
        score (str, optional): See :class:`TopKRouter`. Default: ``"softmax"``.
        renormalize (bool, optional): See :class:`TopKRouter`. Default: ``True``.
        balance (bool, optional): See :class:`TopKRouter`. Default: ``False``.
        groups, topk_groups, group_score: See :class:`TopKRouter`. Default: no groups.

    Raises:
        ValueError: an argument is not as above.
        TypeError: ``k`` is not an integer.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> layer = routing.MixtureOfExperts(16, 32, num_experts=8, k=2)
        >>> y, chosen = layer(mx.zeros((4, 5, 16)), return_routing=True)
        >>> y.shape, chosen.indices.shape
        ((4, 5, 16), (4, 5, 2))
    """

    _state_keys = ("expert_mean",)

    def __init__(
        self,
        input_dims: int,
        hidden_dims: int,
        num_experts: int,
        k: int,
        gradient: Gradient = "chosen",
        tau: float = 1.0,
        mean_decay: float = 0.99,
        activation: Callable[[mx.array], mx.array] = nn.silu,
        score: Literal["softmax", "sigmoid", "sqrtsoftplus"] = "softmax",
        renormalize: bool = True,
        balance: bool = False,
        groups: int = 1,
        topk_groups: int = 1,
        group_score: Literal["top2", "max"] = "top2",
    ):
        super().__init__()
        self.gradient = checked_choice(
            "MixtureOfExperts",
            "gradient",
            gradient,
            ("chosen", "dense", "mean", "soft"),
        )
        self.tau = checked_positive("MixtureOfExperts", "tau", tau)
        self.mean_decay = mean_decay
        self.router = TopKRouter(
            input_dims,
            num_experts,
            k,
            score,
            renormalize,
            balance,
            groups,
            topk_groups,
            group_score,
        )
        self.experts = Experts(input_dims, hidden_dims, num_experts, activation)
        if gradient == "mean":
            self.expert_mean = mx.zeros((num_experts, input_dims))
            self._freeze_state()

    def _extra_repr(self) -> str:
        return f"gradient={self.gradient}"

    def __call__(
        self,
        x: mx.array,
        mask: mx.array | None = None,
        return_routing: bool = False,
        indices: mx.array | None = None,
    ) -> mx.array | tuple[mx.array, Routing]:
        """Returns the mixture of each input's experts.

        Args:
            x (array): Shape ``(..., input_dims)``, floating.
            mask (array, optional): The experts that may be chosen, see
                :class:`TopKRouter`. The others add nothing to the output, even if
                their outputs are infinite or NaN.
            return_routing (bool, optional): Whether to return the router's
                :class:`Routing` too, which balancing losses need. Default: ``False``.
            indices (array, optional): The experts to use instead of choosing, see
                :class:`TopKRouter`. ``-1`` is padding and adds nothing.

        Returns:
            array or tuple(array, Routing): The mixture, of the shape and type of
            ``x``, with the :class:`Routing` if asked for.
        """
        x, mask, chosen = routed("MixtureOfExperts", self.router, x, mask, indices)
        y = self._mixture(x, chosen, mask)
        return (y, chosen) if return_routing else y

    def _mixture(self, x, chosen, mask):
        indices, weights, probs, _ = chosen
        used = None
        if not mx.issubdtype(indices.dtype, mx.unsignedinteger):
            # Expert 0 takes the place of padding, which has weight 0.
            used, indices = indices >= 0, mx.maximum(indices, 0)
        if self.training and self.gradient in ("dense", "soft"):
            if self.gradient == "soft":
                probs = self._relaxed_weights(chosen)
            outputs = _kept(self.experts.all(x), mask)
            return dense_router(probs, indices, outputs, weights)
        if mask is not None:
            allowed = mx.take_along_axis(mask, indices, axis=-1)
            used = allowed if used is None else mx.where(used, allowed, False)
        outputs = _kept(self.experts(x, indices), used)
        if not self.training or self.gradient == "chosen":
            return (weights[..., None, :] @ outputs).squeeze(-2)
        if chosen.indices is not indices:
            # With its mean as output, padding adds nothing to the dense mixture.
            mean = mx.take(self.expert_mean, indices, axis=0).astype(outputs.dtype)
            outputs = mx.where(chosen.indices[..., None] < 0, mean, outputs)
        y = dense_router(probs, indices, outputs, weights, self.expert_mean)
        self.expert_mean = updated_mean(
            self.expert_mean, outputs, indices, self.mean_decay, used
        )
        return y

    def _relaxed_weights(self, chosen):
        """Returns a weight for each expert. It is 0 if the expert was not chosen.

        The weights have the gradient that they would have with a smoothed choice.
        """
        indices, _, probs, logits = chosen
        experts = mx.arange(probs.shape[-1])
        hard = mx.any(indices[..., None] == experts, axis=-2)
        soft = soft_topk(logits, self.router.k, self.tau)
        weights = probs * straight_through(hard, soft)
        if self.router.renormalize:
            total = weights.sum(axis=-1, keepdims=True)
            # The total is 0 if all experts are masked.
            weights = weights / mx.where(total > 0, total, 1)
        return weights


def routed(op, router, x, mask, indices):
    """Returns ``x`` with 0 for tokens that use no expert, the mask, and the choice.

    The mask is that of the experts and of the padding in ``indices``, or ``None``.
    """
    shape = (*x.shape[:-1], len(router.weight))
    if mask is not None:
        mask = checked_mask(op, mask, shape)
    chosen = router(x, mask, indices)
    mask = replay_mask(op, shape, mask, indices)
    if mask is not None:
        x = mx.where(mx.any(mask, axis=-1, keepdims=True), x, 0)
    return x, mask, chosen


def _kept(outputs, allowed):
    """Returns the outputs, with 0 for those of masked experts."""
    return outputs if allowed is None else mx.where(allowed[..., None], outputs, 0)
