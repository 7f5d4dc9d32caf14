"""Layers: a router, experts, and a mixture of both."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.routing._checks import checked_choice, checked_k, checked_positive
from mlx.nn.routing._chosen import chosen_matmul
from mlx.nn.routing.balance import update_expert_bias
from mlx.nn.routing.estimators import (
    dense_router,
    straight_through,
    update_expert_mean,
)
from mlx.nn.routing.relaxation import soft_topk

Gradient = Literal["chosen", "dense", "mean", "soft"]


class Routing(NamedTuple):
    """Where a :class:`TopKRouter` sends its inputs, and with what weight."""

    indices: mx.array
    weights: mx.array
    probs: mx.array
    logits: mx.array


class _WithState(nn.Module):
    """A module some of whose arrays are saved but never trained."""

    _state_keys: tuple[str, ...] = ()

    def unfreeze(self, *args, **kwargs):
        super().unfreeze(*args, **kwargs)
        self._freeze_state()
        return self

    def _freeze_state(self):
        kept = [key for key in self._state_keys if key in self]
        if kept:
            self.freeze(keys=kept, recurse=False)


class TopKRouter(_WithState):
    r"""Chooses ``k`` of ``num_experts`` for each input, and weighs them.

    The logits are a linear function of the input. The choice is :func:`mx.topk`'s:
    of equal experts the lower index wins. What the gate learns by is the gradient of
    the weights, exact for what is computed, and none through the choice itself; see
    :func:`dense_router` and :func:`soft_topk` for more.

    With ``renormalize`` the weights are a softmax over the chosen logits, as in
    Mixtral and Qwen; experts that were not chosen then get no gradient, and at
    ``k = 1`` the weight is 1 and the gate's gradient exactly zero.

    No expert runs here.

    Args:
        input_dims (int): The size of an input.
        num_experts (int): How many experts there are.
        k (int): How many are chosen, from 1 to ``num_experts``.
        score (str, optional): ``"softmax"`` over all experts, or a ``"sigmoid"`` for
            each. Default: ``"softmax"``.
        renormalize (bool, optional): Whether the weights sum to 1. Default: ``True``.
        balance (bool, optional): Whether to choose by score plus a bias for each
            expert, ``expert_bias``, which :meth:`update_bias` moves and which is
            saved but not trained. Default: ``False``.

    Raises:
        ValueError: ``k`` or ``score`` is not as above.
        TypeError: ``k`` is no integer.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> router = routing.TopKRouter(16, num_experts=8, k=2)
        >>> chosen = router(mx.zeros((3, 16)))
        >>> chosen.indices.tolist(), chosen.weights.tolist()
        ([[0, 1], [0, 1], [0, 1]], [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    """

    _state_keys = ("expert_bias",)

    def __init__(
        self,
        input_dims: int,
        num_experts: int,
        k: int,
        score: Literal["softmax", "sigmoid"] = "softmax",
        renormalize: bool = True,
        balance: bool = False,
    ):
        super().__init__()
        self.k = _checked_experts("TopKRouter", k, num_experts)
        self.score = checked_choice(
            "TopKRouter", "score", score, ("softmax", "sigmoid")
        )
        self.renormalize = renormalize
        scale = input_dims**-0.5
        self.weight = mx.random.uniform(-scale, scale, (num_experts, input_dims))
        if balance:
            self.expert_bias = mx.zeros(num_experts)
            self._freeze_state()

    def _extra_repr(self) -> str:
        experts, dims = self.weight.shape
        return (
            f"input_dims={dims}, num_experts={experts}, k={self.k}, "
            f"score={self.score}, renormalize={self.renormalize}, "
            f"balance={'expert_bias' in self}"
        )

    def __call__(self, x: mx.array, mask: mx.array | None = None) -> Routing:
        """Routes each input.

        Args:
            x (array): Shape ``(..., input_dims)``.
            mask (array, optional): bool, of a shape that broadcasts to
                ``(..., num_experts)``; experts at False are not chosen as long as
                ``k`` others are there, and have no weight.

        Returns:
            Routing: ``indices``, uint32 of shape ``(..., k)``, best first; ``weights``
            of that shape in the type of ``x``; ``probs`` (the scores) and ``logits``,
            of shape ``(..., num_experts)`` in float32, in which softmax and sigmoid
            are computed for half types too.
        """
        logits = (x @ self.weight.T).astype(mx.float32)
        if mask is not None:
            logits = mx.where(mask, logits, -mx.inf)
        if self.score == "softmax":
            log_scores = logits
            probs = mx.softmax(logits, axis=-1)
        else:
            log_scores = -mx.logaddexp(-logits, 0.0)
            probs = mx.sigmoid(logits)
        preference = logits
        if "expert_bias" in self:
            # A masked expert stays masked, whatever its bias.
            biased = probs + self.expert_bias
            preference = mx.where(logits == -mx.inf, -mx.inf, biased)
        indices = mx.topk(
            mx.stop_gradient(preference), self.k, sorted=True, return_indices=True
        ).indices
        if self.renormalize:
            # A softmax and no quotient: with one expert its gradient is exactly 0.
            chosen = mx.take_along_axis(log_scores, indices, axis=-1)
            weights = mx.softmax(chosen, axis=-1)
        else:
            weights = mx.take_along_axis(probs, indices, axis=-1)
        return Routing(indices, weights.astype(x.dtype), probs, logits)

    def update_bias(self, indices: mx.array, rate: float = 1e-3) -> None:
        """Moves ``expert_bias`` against the load of a step; see
        :func:`update_expert_bias`."""
        if "expert_bias" not in self:
            raise ValueError("[TopKRouter] update_bias needs balance=True.")
        self.expert_bias = update_expert_bias(self.expert_bias, indices, rate)


class Experts(nn.Module):
    """Two-layer perceptrons, of which each input is given to those it names.

    Args:
        input_dims (int): The size of an input and of an output.
        hidden_dims (int): The size in between.
        num_experts (int): How many there are.
        activation (callable, optional): Default: ``nn.silu``.
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
        """What the experts ``indices`` of shape ``(..., k)`` answer: ``(..., k, D)``.

        Only these run, except under ``mx.vmap``, where all do. On the CPU half types
        are computed in float32.
        """
        rows = mx.broadcast_to(x[..., None, :], (*indices.shape, x.shape[-1]))
        flat = mx.flatten(indices)
        hidden = self.activation(
            chosen_matmul(mx.flatten(rows, 0, -2), mx.swapaxes(self.up, 1, 2), flat)
        )
        out = chosen_matmul(hidden, mx.swapaxes(self.down, 1, 2), flat)
        return out.reshape(rows.shape)

    def all(self, x: mx.array) -> mx.array:
        """What every expert answers: ``(..., num_experts, D)``."""
        rows = mx.flatten(x[None], 0, -2)
        hidden = self.activation(rows @ mx.swapaxes(self.up, 1, 2))
        out = mx.swapaxes(hidden @ mx.swapaxes(self.down, 1, 2), 0, 1)
        return out.reshape(*x.shape[:-1], *out.shape[1:])


class MixtureOfExperts(_WithState):
    r"""Sends each input to ``k`` experts and adds up what they answer, weighted.

    ``gradient`` says how the gate learns. The forward is the same for all, up to
    rounding, and in evaluation mode only the chosen experts run.

    | ``gradient`` | what the gate's gradient is of | experts run in training |
    |---|---|---|
    | ``"chosen"`` | the weights of the chosen, exactly | ``k`` |
    | ``"dense"`` | the mixture of all by ``probs``: :func:`dense_router` | all |
    | ``"mean"`` | that, others standing for their running mean | ``k`` |
    | ``"soft"`` | the weights with the choice relaxed by :func:`soft_topk` | all |

    All but the first are biased estimates. None moves the parameters of an expert
    that nobody chose: their gradient is exactly zero.

    Args:
        input_dims (int): The size of an input and of the output.
        hidden_dims (int): The hidden size of an expert.
        num_experts (int): How many experts there are.
        k (int): How many are chosen for an input.
        gradient (str, optional): As above. Default: ``"chosen"``.
        tau (float, optional): The temperature of ``"soft"``. Default: ``1.0``.
        mean_decay (float, optional): How much of ``expert_mean`` stays at each call
            in training mode, for ``"mean"``. It is saved but not trained.
            Default: ``0.99``.
        activation (callable, optional): Of the experts. Default: ``nn.silu``.
        score, renormalize, balance: As :class:`TopKRouter` has them.

    Raises:
        ValueError: an argument is not as above.
        TypeError: ``k`` is no integer.

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
        score: Literal["softmax", "sigmoid"] = "softmax",
        renormalize: bool = True,
        balance: bool = False,
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
            input_dims, num_experts, k, score, renormalize, balance
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
    ) -> mx.array | tuple[mx.array, Routing]:
        """The mixture, of the shape ``(..., input_dims)`` and type of ``x``.

        Args:
            x (array): Shape ``(..., input_dims)``.
            mask (array, optional): As :class:`TopKRouter` takes it.
            return_routing (bool, optional): Whether to return the router's
                :class:`Routing` too, for a balance. Default: ``False``.
        """
        chosen = self.router(x, mask)
        y = self._mixed(x, chosen)
        return (y, chosen) if return_routing else y

    def _mixed(self, x, chosen):
        indices, weights, probs, _ = chosen
        if not self.training or self.gradient == "chosen":
            answers = self.experts(x, indices)
            return (weights[..., None, :] @ answers).squeeze(-2)
        if self.gradient == "mean":
            answers = self.experts(x, indices)
            y = dense_router(probs, indices, answers, weights, self.expert_mean)
            self.expert_mean = update_expert_mean(
                self.expert_mean, answers, indices, self.mean_decay
            )
            return y
        if self.gradient == "soft":
            probs = self._relaxed_weights(chosen)
        return dense_router(probs, indices, self.experts.all(x), weights)

    def _relaxed_weights(self, chosen):
        """Weights for all experts: as chosen going forward, relaxed going back."""
        indices, _, probs, logits = chosen
        experts = mx.arange(probs.shape[-1])
        hard = mx.any(indices[..., None] == experts, axis=-2)
        soft = soft_topk(logits, self.router.k, self.tau)
        weights = probs * straight_through(hard, soft)
        if self.router.renormalize:
            total = weights.sum(axis=-1, keepdims=True)
            weights = weights / mx.maximum(total, 1e-30)
        return weights


def _checked_experts(op, k, num_experts):
    if num_experts < 1:
        raise ValueError(f"[{op}] num_experts must be positive, got {num_experts}.")
    k = checked_k(op, k, mx.zeros(num_experts), 0)
    if k == 0:
        raise ValueError(f"[{op}] k must be between 1 and {num_experts}, got 0.")
    return k
