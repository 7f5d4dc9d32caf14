"""How a gate computes its choice by :func:`route`: the forms that gates share.

A *gate* is a module that chooses experts. mlx-lm has two kinds. A gate of the first
kind returns the indices and the weights of the chosen experts, and another module runs
the experts. A gate of the second kind is the whole mixture: it chooses, runs the
experts, and adds up their outputs. :class:`Gate` and :class:`Mixture` describe classes
of these kinds. Calling them does the work of the class's own ``__call__``.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx.nn.layers.distributed import sum_gradients
from mlx.nn.routing._route import route

# The arguments of route that a class of mlx-lm determines.
_SETTINGS = (
    *("k", "score", "bias", "groups", "topk_groups", "group_score", "excluded_score"),
    *("renormalize", "eps", "scale"),
)


class NotExact(Exception):
    """The form cannot give the bits of the class's own ``__call__`` for this input."""


def reader(value: Any) -> Callable[[Any], Any] | None:
    """Returns a function that reads a setting from a module, ``None`` for a constant.

    A string that starts with a dot is the path of an attribute. A function is called
    with the module. Any other value is a constant.
    """
    if isinstance(value, str) and value.startswith("."):
        return operator.attrgetter(value[1:])
    return value if callable(value) else None


@dataclasses.dataclass(frozen=True)
class Choice:
    """The settings of :func:`route` for the modules of a class.

    Those without a type are constants, or are read from a module: see :func:`reader`.

    Attributes:
        k: The number of experts to choose.
        score: As for :func:`route`.
        bias: As for :func:`route`, ``None`` for no bias.
        groups: As for :func:`route`.
        topk_groups: As for :func:`route`.
        group_score: As for :func:`route`.
        excluded_score: As for :func:`route`.
        renormalize: As for :func:`route`.
        renormalize_one: Whether a single weight is divided by itself too.
        eps: As for :func:`route`.
        scale: As for :func:`route`.
        ascending: Whether the class sorts in ascending order and takes the last ones.
        cast: Whether logits are cast to float32 first. Otherwise the scores have the
            type of the logits, and what is computed of them too.
        scores_of: For logits of a half type that are not cast: computes the scores as
            the class does. ``None`` if :func:`route` cannot give the bits of the class
            then, unless the score is ``"logits"``.
    """

    k: Any
    score: Any = "softmax"
    bias: Any = None
    groups: Any = 1
    topk_groups: Any = 1
    group_score: str = "top2"
    excluded_score: float = 0.0
    renormalize: Any = False
    renormalize_one: bool = True
    eps: float = 0.0
    scale: Any = 1.0
    ascending: bool = False
    cast: bool = True
    scores_of: Callable[[mx.array], mx.array] | None = None

    def __call__(self, module: Any, logits: mx.array) -> tuple[mx.array, mx.array]:
        """Returns the indices of the chosen experts and their weights."""
        settings = self._constants.copy()
        for name, read in self._readers:
            settings[name] = read(module)
        k = settings.pop("k")
        if k == 1 and not self.renormalize_one:
            settings["renormalize"] = False
        if self.cast:
            logits = logits.astype(mx.float32)
        if logits.dtype == mx.float32:
            weights, indices = route(logits, k, **settings)
        else:
            weights, indices = self._of_half(logits, k, settings)
        return mx.stop_gradient(indices), weights

    @functools.cached_property
    def _readers(self):
        """The settings that have to be read, with their functions."""
        pairs = [(name, reader(getattr(self, name))) for name in _SETTINGS]
        return [(name, read) for name, read in pairs if read is not None]

    @functools.cached_property
    def _constants(self):
        read = {name for name, _ in self._readers}
        return {
            **{name: getattr(self, name) for name in _SETTINGS if name not in read},
            # mlx-lm finds the groups to exclude with argpartition, which takes the
            # lower of equal ones.
            "group_ties": "higher",
            "sorted": not self.ascending,
            "ties": "higher" if self.ascending else "lower",
        }

    def _of_half(self, logits, k, settings):
        """Chooses by scores that were rounded to the type of the logits.

        The weights are computed in that type too, and so is their gradient.
        """
        is_logit = settings["score"] == "logits"
        if not is_logit and self.scores_of is None:
            raise NotExact
        scores = logits if is_logit else self.scores_of(logits)
        renormalize, scale = settings["renormalize"], settings.pop("scale")
        settings |= {"score": "logits", "renormalize": False}
        weights, indices = route(scores, k, **settings)
        if renormalize and is_logit:
            weights = mx.softmax(weights, axis=-1, precise=True)
        elif renormalize:
            total = weights.sum(axis=-1, keepdims=True)
            weights = weights / (total + self.eps if self.eps else total)
        return (weights if scale == 1 else weights * scale), indices


def layer(name: str) -> Callable[[Any, mx.array], mx.array]:
    """Returns a function that computes the logits by calling a layer of the gate."""
    return lambda module, x: getattr(module, name)(x)


def matrix(module: Any, x: mx.array) -> mx.array:
    """Computes the logits by the matrix ``weight`` of the gate."""
    return x @ module.weight.T


def float_matrix(module: Any, x: mx.array) -> mx.array:
    """Computes the logits by the matrix ``weight``, in float32."""
    return x.astype(mx.float32) @ module.weight.astype(mx.float32).T


@dataclasses.dataclass(frozen=True)
class Gate:
    """A gate that returns the indices and the weights of the chosen experts.

    Attributes:
        logits: Computes the logits from the gate and its input.
        choice: The settings of the choice.
        weights_like: ``"logits"`` or ``"input"``: the weights are rounded to its type.
        finish: Computes the weights that the gate returns from the gate, the indices
            and the weights of :func:`route`.
    """

    logits: Callable[[Any, mx.array], mx.array]
    choice: Choice
    weights_like: str | None = None
    finish: Callable[[Any, mx.array, mx.array], mx.array] | None = None

    def __call__(self, module: Any, x: mx.array) -> tuple[mx.array, mx.array]:
        logits = self.logits(module, x)
        indices, weights = self.choice(module, logits)
        if self.finish is not None:
            weights = self.finish(module, indices, weights)
        if self.weights_like is not None:
            like = logits if self.weights_like == "logits" else x
            weights = weights.astype(like.dtype)
        return indices, weights


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A mixture that computes the choice itself and runs the experts.

    Attributes:
        gate: Computes the choice.
        experts: The name of the layer with the experts.
        like_experts: Whether the sum over experts is rounded to the type of their
            outputs.
        shared: Computes the output of the experts that every token uses, from the
            mixture and its input, or returns ``None`` if there are none.
        flat: Whether all axes but the last of the input are merged.
        combine: Computes the output from the mixture, its input, the indices and the
            weights, in place of the sum over experts. For classes that do this in
            another way.
    """

    gate: Gate
    experts: str = "switch_mlp"
    like_experts: bool = False
    shared: Callable[[Any, mx.array], mx.array | None] | None = None
    flat: bool = False
    combine: Callable[[Any, mx.array, mx.array, mx.array], mx.array] | None = None

    def __call__(self, module: Any, x: mx.array) -> mx.array:
        group = getattr(module, "sharding_group", None)
        if group is not None:
            x = sum_gradients(group)(x)
        shape = x.shape
        if self.flat:
            x = x.reshape(-1, shape[-1])
        indices, weights = self.gate(module, x)
        if self.combine is not None:
            return self.combine(module, x, indices, weights)
        y = self._sum(module, x, indices, weights)
        if group is not None:
            y = mx.distributed.all_sum(y, group=group)
        return y.reshape(*shape[:-1], -1) if self.flat else y

    def _sum(self, module, x, indices, weights):
        """Adds up the weighted outputs of the experts."""
        outputs = getattr(module, self.experts)(x, indices)
        y = (outputs * weights[..., None]).sum(axis=-2)
        if self.like_experts:
            y = y.astype(outputs.dtype)
        shared = None if self.shared is None else self.shared(module, x)
        return y if shared is None else y + shared


def shared_layer(name: str) -> Callable[[Any, mx.array], mx.array | None]:
    """Returns a function that runs a layer of the mixture if it has the layer."""

    def shared(module, x):
        found = getattr(module, name, None)
        return None if found is None else found(x)

    return shared


def gated_shared_expert(module: Any, x: mx.array) -> mx.array:
    """Runs the shared expert and scales its output by a sigmoid gate."""
    return mx.sigmoid(module.shared_expert_gate(x)) * module.shared_expert(x)
