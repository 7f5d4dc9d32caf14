"""The router: chooses experts for each input and weighs them."""

from typing import Literal, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.routing._checks import (
    check_indices,
    check_shape,
    checked_choice,
    checked_integer,
    checked_mask,
)
from mlx.nn.routing._choice import checked_groups, choose
from mlx.nn.routing.balance import update_expert_bias
from mlx.nn.routing.quantile import (
    histogram_expert_bias,
    quantile_expert_bias,
    quantile_histogram,
)


class Routing(NamedTuple):
    """What a :class:`TopKRouter` returns.

    Attributes:
        indices (array): The chosen experts, best first: uint32 of shape ``(..., k)``.
            If they were given to the router, they are as given.
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

    The logits are a linear function of the input. :func:`route` chooses by score, so
    the lower index wins among experts with equal scores. The parameter ``weight`` gets
    the exact gradient through the weights of the chosen experts, and none through the
    choice.
    :func:`dense_router` and :func:`soft_topk` estimate a gradient for the choice.

    With ``groups`` the experts form groups of neighbours of equal size, and an input
    uses only its best ``topk_groups`` groups. A group is as good as the sum of its two
    best experts (``"top2"``, DeepSeek-V3, arXiv 2412.19437) or as its best one
    (``"max"``, DeepSeek-V2, arXiv 2405.04434). Their scores are taken with
    ``expert_bias``. Masked experts do not count. Groups limit how many devices an
    input is sent to; a choice without them is never worse by score.

    With ``renormalize`` the weights are the chosen scores divided by their sum. For
    softmax scores that is the softmax of the chosen logits, as in Mixtral and Qwen.
    The logits of experts that were not chosen then get no gradient. If ``k`` is 1 as
    well, the weight is 1, and the gradient of ``weight`` is exactly zero.

    No expert runs here.

    Args:
        input_dims (int): The size of an input.
        num_experts (int): The number of experts.
        k (int): The number of experts chosen for an input, from 1 to ``num_experts``.
        score (str, optional): ``"softmax"`` over all experts, or ``"sigmoid"`` or
            ``"sqrtsoftplus"`` of each logit. Default: ``"softmax"``.
        renormalize (bool, optional): Whether the weights sum to 1, before ``scale``.
            Default: ``True``.
        balance (bool, optional): Whether to choose by score plus ``expert_bias``, a
            bias for each expert. :meth:`update_bias` changes it; it is saved with the
            parameters but not trained. Default: ``False``.
        groups (int, optional): The number of groups, which divides ``num_experts``.
            Default: ``1``.
        topk_groups (int, optional): The number of groups that an input uses, from 1
            to ``groups``. They must have ``k`` experts. Default: ``1``.
        group_score (str, optional): ``"top2"`` or ``"max"``. Default: ``"top2"``.
        scale (float, optional): Multiplies the weights. Default: ``1.0``.

    Raises:
        ValueError: ``num_experts``, ``k``, ``score`` or a setting of groups is not as
            above.
        TypeError: ``k``, ``groups`` or ``topk_groups`` is not an integer.

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
        score: Literal["softmax", "sigmoid", "sqrtsoftplus"] = "softmax",
        renormalize: bool = True,
        balance: bool = False,
        groups: int = 1,
        topk_groups: int = 1,
        group_score: Literal["top2", "max"] = "top2",
        scale: float = 1.0,
    ):
        super().__init__()
        self.k = _checked_experts("TopKRouter", k, num_experts)
        self.score = checked_choice(
            "TopKRouter", "score", score, ("softmax", "sigmoid", "sqrtsoftplus")
        )
        self.groups, self.topk_groups = checked_groups(
            "TopKRouter", num_experts, self.k, groups, topk_groups, group_score
        )
        self.group_score = group_score
        self.renormalize = renormalize
        self.scale = scale
        bound = input_dims**-0.5
        self.weight = mx.random.uniform(-bound, bound, (num_experts, input_dims))
        if balance:
            self.expert_bias = mx.zeros(num_experts)
            self._freeze_state()

    def _extra_repr(self) -> str:
        experts, dims = self.weight.shape
        text = (
            f"input_dims={dims}, num_experts={experts}, k={self.k}, "
            f"score={self.score}, renormalize={self.renormalize}, "
            f"balance={'expert_bias' in self}"
        )
        if self.groups > 1:
            text += (
                f", groups={self.groups}, topk_groups={self.topk_groups}, "
                f"group_score={self.group_score}"
            )
        if self.scale != 1:
            text += f", scale={self.scale}"
        return text

    def __call__(
        self,
        x: mx.array,
        mask: mx.array | None = None,
        indices: mx.array | None = None,
    ) -> Routing:
        """Routes each input.

        With ``indices`` the router replays a choice that was made before, for example
        by another engine that sampled the tokens (arXiv 2510.11370). It chooses
        nothing, and groups and ``expert_bias`` have no effect. The weights, and their
        gradient, are those of its own logits. Bias: none for the gradient of what is
        computed; the choice is that of another policy than the router's, and whether
        that helps reinforcement learning is still debated.

        Args:
            x (array): Shape ``(..., input_dims)``, floating.
            mask (array, optional): bool, of a shape that broadcasts to
                ``(..., num_experts)``. Experts at ``False`` are masked for the input.
                An input with all experts masked gets no gradient and has no effect,
                even if it is NaN.
            indices (array, optional): Shape ``(..., k)``, integers: the experts of
                each input, all different. ``-1`` is padding, with weight 0. An input
                with nothing but ``-1`` counts as one with all experts masked. Other
                values out of range give undefined results.

        Returns:
            Routing: The choice, its weights, the scores and the logits. Softmax and
            sigmoid are computed in float32 for half types too.

        Raises:
            ValueError: ``mask`` is not bool or does not broadcast, or ``indices`` are
                not integers of the shape above.
        """
        shape = (*x.shape[:-1], len(self.weight))
        if indices is not None:
            check_indices("TopKRouter", indices)
            check_shape("TopKRouter", "indices", indices, (*x.shape[:-1], self.k))
        mask = replay_mask("TopKRouter", shape, mask, indices)
        if mask is not None:
            x = mx.where(mx.any(mask, axis=-1, keepdims=True), x, 0)
        logits = (x @ self.weight.T).astype(mx.float32)
        if mask is not None:
            logits = mx.where(mask, logits, -mx.inf)
        weights, chosen, probs = choose(
            logits,
            self.k,
            score=self.score,
            bias=self.get("expert_bias"),
            groups=self.groups,
            topk_groups=self.topk_groups,
            group_score=self.group_score,
            renormalize=self.renormalize,
            scale=self.scale,
            indices=indices,
        )
        return Routing(chosen, weights.astype(x.dtype), probs, logits)

    def update_bias(
        self,
        indices: mx.array,
        rate: float = 1e-3,
        mask: mx.array | None = None,
        group: mx.distributed.Group | None = None,
    ) -> None:
        """Updates ``expert_bias`` as :func:`update_expert_bias` does.

        In evaluation mode the bias stays as it is.

        Args:
            indices (array): The experts chosen in a training step, integers of any
                shape.
            rate (float, optional): The size of the change. Default: ``1e-3``.
            mask (array, optional): The tokens that count: bool, of a shape that
                broadcasts to that of ``indices`` without its last axis. Default: all
                tokens count.
            group (Group, optional): The processes whose tokens count too. Default:
                this process only.

        Raises:
            ValueError: the router was made without ``balance=True``, or an argument
                is not as above.
        """
        if "expert_bias" not in self:
            raise ValueError("[TopKRouter] update_bias needs balance=True.")
        bias = update_expert_bias(self.expert_bias, indices, rate, mask, group)
        if self.training:
            self.expert_bias = bias

    def update_quantile_bias(
        self,
        chosen: Routing,
        mask: mx.array | None = None,
        bins: int | None = None,
        group: mx.distributed.Group | None = None,
        iterations: int = 1,
    ) -> None:
        """Updates ``expert_bias`` as :func:`quantile_expert_bias` does.

        In evaluation mode the bias stays as it is.

        Args:
            chosen (Routing): What the router returned in a training step, before the
                bias was changed.
            mask (array, optional): The tokens that count: bool, of a shape that
                broadcasts to that of the tokens. Default: all tokens count.
            bins (int, optional): If given, the quantiles are estimated by histograms
                with so many bins, as :func:`histogram_expert_bias` does.
            group (Group, optional): The processes whose tokens count too. It needs
                ``bins``. Default: this process only.
            iterations (int, optional): How many times the update is repeated with the
                same scores. More need fewer training steps to even out a skewed load.
                Default: ``1``.

        Raises:
            ValueError: the router was made without ``balance=True`` or has groups,
                ``group`` is given without ``bins``, or an argument is not as above.
            TypeError: ``bins`` or ``iterations`` is not an integer.
        """
        if "expert_bias" not in self:
            raise ValueError("[TopKRouter] update_quantile_bias needs balance=True.")
        if self.topk_groups < self.groups:
            # The formula has one threshold per token, and groups add another choice.
            raise ValueError(
                "[TopKRouter] update_quantile_bias does not support groups."
            )
        if bins is None and group is not None:
            raise ValueError("[TopKRouter] update_quantile_bias with group needs bins.")
        masked = chosen.logits == -mx.inf
        scores = mx.where(masked, -mx.inf, chosen.probs)
        bias = self.expert_bias
        for _ in range(checked_integer("TopKRouter", "iterations", iterations)):
            if bins is None:
                bias = quantile_expert_bias(bias, scores, self.k, mask)
            else:
                counts = quantile_histogram(bias, scores, self.k, bins, mask, group)
                bias = histogram_expert_bias(bias, counts, self.k)
        if self.training:
            self.expert_bias = bias


def replay_mask(op, shape, mask, indices):
    """Returns a mask of experts of this shape, or ``None`` if none is masked.

    All experts are masked for an input whose replayed ``indices`` are all ``-1``.
    """
    if mask is not None:
        mask = checked_mask(op, mask, shape)
    if indices is None or mx.issubdtype(indices.dtype, mx.unsignedinteger):
        return mask
    some = mx.any(indices >= 0, axis=-1, keepdims=True)
    # MLX's & is wrong under vmap if only one side is mapped over.
    return mx.broadcast_to(some if mask is None else mx.where(some, mask, False), shape)


def _checked_experts(op, k, num_experts):
    if num_experts < 1:
        raise ValueError(f"[{op}] num_experts must be positive, got {num_experts}.")
    k = checked_integer(op, "k", k)
    if not 1 <= k <= num_experts:
        raise ValueError(f"[{op}] k must be between 1 and {num_experts}, got {k}.")
    return k
