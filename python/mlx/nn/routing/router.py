"""The router: chooses experts for each input and weighs them."""

from typing import Literal, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.routing._checks import checked_choice, checked_integer, checked_mask
from mlx.nn.routing.balance import update_expert_bias


class Routing(NamedTuple):
    """What a :class:`TopKRouter` returns.

    Attributes:
        indices (array): The chosen experts, best first: uint32 of shape ``(..., k)``.
        weights (array): Their weights: shape ``(..., k)``, of the type of the input.
        probs (array): The scores of all experts: float32 of shape
            ``(..., num_experts)``.
        logits (array): The logits of all experts: float32 of shape
            ``(..., num_experts)``; ``-inf`` for an expert that is masked.
    """

    indices: mx.array
    weights: mx.array
    probs: mx.array
    logits: mx.array


class WithState(nn.Module):
    """A module that keeps the arrays in ``_state_keys`` frozen: saved, not trained."""

    _state_keys: tuple[str, ...] = ()

    def unfreeze(self, *args, **kwargs):
        super().unfreeze(*args, **kwargs)
        self._freeze_state()
        return self

    def _freeze_state(self):
        kept = [key for key in self._state_keys if key in self]
        if kept:
            self.freeze(keys=kept, recurse=False)


class TopKRouter(WithState):
    r"""Chooses ``k`` of ``num_experts`` experts for each input, and weighs them.

    An expert that is masked for an input, by ``mask`` or by a logit of ``-inf``, has
    weight and score 0 and gets no gradient from it. It is chosen only if fewer than
    ``k`` others are left, the lowest index first, and then ``renormalize`` divides by
    the scores of the others alone. If all experts are masked, all weights are 0.

    The logits are a linear function of the input. :func:`mx.topk` chooses, so the
    lower index wins among equal experts. The parameter ``weight`` gets the exact
    gradient through the weights of the chosen experts, and none through the choice.
    :func:`dense_router` and :func:`soft_topk` estimate a gradient for the choice.

    With ``renormalize`` the weights are the chosen scores divided by their sum. For
    softmax scores that is the softmax of the chosen logits, as in Mixtral and Qwen.
    The logits of experts that were not chosen then get no gradient. If ``k`` is 1 as
    well, the weight is 1, and the gradient of ``weight`` is exactly zero.

    No expert runs here.

    Args:
        input_dims (int): The size of an input.
        num_experts (int): The number of experts.
        k (int): The number of experts chosen for an input, from 1 to ``num_experts``.
        score (str, optional): ``"softmax"`` over all experts, or ``"sigmoid"`` of each
            logit. Default: ``"softmax"``.
        renormalize (bool, optional): Whether the weights sum to 1. Default: ``True``.
        balance (bool, optional): Whether to choose by score plus ``expert_bias``, a
            bias for each expert. :meth:`update_bias` changes it; it is saved with the
            parameters but not trained. Default: ``False``.

    Raises:
        ValueError: ``num_experts``, ``k`` or ``score`` is not as above.
        TypeError: ``k`` is not an integer.

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
            x (array): Shape ``(..., input_dims)``, floating.
            mask (array, optional): bool, of a shape that broadcasts to
                ``(..., num_experts)``. Experts at ``False`` are masked for the input.
                An input with all experts masked gets no gradient and has no effect,
                even if it is NaN.

        Returns:
            Routing: The choice, its weights, the scores and the logits. Softmax and
            sigmoid are computed in float32 for half types too.

        Raises:
            ValueError: ``mask`` is not bool or does not broadcast.
        """
        if mask is not None:
            shape = (*x.shape[:-1], len(self.weight))
            mask = checked_mask("TopKRouter", mask, shape)
            x = mx.where(mx.any(mask, axis=-1, keepdims=True), x, 0)
        logits = (x @ self.weight.T).astype(mx.float32)
        if mask is not None:
            logits = mx.where(mask, logits, -mx.inf)
        allowed = logits != -mx.inf
        log_scores, probs = self._scores(logits, allowed)
        preference = logits
        if "expert_bias" in self:
            # A masked expert stays masked, whatever its bias.
            preference = mx.where(allowed, probs + self.expert_bias, -mx.inf)
        indices = mx.topk(
            mx.stop_gradient(preference), self.k, sorted=True, return_indices=True
        ).indices
        if self.renormalize:
            # The softmax of the log-scores is the chosen scores divided by their sum.
            # With one expert its gradient is exactly 0. The gradient of a quotient
            # would have rounding errors.
            chosen = mx.take_along_axis(log_scores, indices, axis=-1)
            chosen_allowed = mx.take_along_axis(allowed, indices, axis=-1)
            weights = _masked_softmax(chosen, chosen_allowed)
        else:
            weights = mx.take_along_axis(probs, indices, axis=-1)
        return Routing(indices, weights.astype(x.dtype), probs, logits)

    def _scores(self, logits, allowed):
        """Returns the logarithms of the scores up to a term per row, and the scores."""
        if self.score == "softmax":
            return logits, _masked_softmax(logits, allowed)
        return -mx.logaddexp(-logits, 0.0), mx.sigmoid(logits)

    def update_bias(
        self, indices: mx.array, rate: float = 1e-3, mask: mx.array | None = None
    ) -> None:
        """Updates ``expert_bias`` as :func:`update_expert_bias` does.

        Args:
            indices (array): The experts chosen in a training step, integers of any
                shape.
            rate (float, optional): The size of the change. Default: ``1e-3``.
            mask (array, optional): The tokens that count: bool, of a shape that
                broadcasts to that of ``indices`` without its last axis. Default: all
                tokens count.

        Raises:
            ValueError: the router was made without ``balance=True``, or an argument
                is not as above.
        """
        if "expert_bias" not in self:
            raise ValueError("[TopKRouter] update_bias needs balance=True.")
        self.expert_bias = update_expert_bias(self.expert_bias, indices, rate, mask)


def _masked_softmax(logits, allowed):
    """Returns the softmax of the allowed entries of a row, and 0 for the others.

    A row without allowed entries gives zeros, with derivatives of 0.
    """
    some = mx.any(allowed, axis=-1, keepdims=True)
    # The softmax of nothing but -inf would be NaN.
    return mx.where(some, mx.softmax(mx.where(some, logits, 0), axis=-1), 0)


def _checked_experts(op, k, num_experts):
    if num_experts < 1:
        raise ValueError(f"[{op}] num_experts must be positive, got {num_experts}.")
    k = checked_integer(op, "k", k)
    if not 1 <= k <= num_experts:
        raise ValueError(f"[{op}] k must be between 1 and {num_experts}, got {k}.")
    return k
