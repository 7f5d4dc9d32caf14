"""A mixture whose experts are divided among processes."""

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.routing._checks import check_indices
from mlx.nn.routing.layers import Experts, MixtureOfExperts, routed
from mlx.nn.routing.router import Routing
from mlx.utils import tree_flatten, tree_unflatten


class ShardedMixtureOfExperts(nn.Module):
    r"""A :class:`MixtureOfExperts` of which each process has some of the experts.

    Each process has tokens of its own and all of the router. The tokens of all
    processes travel by an all-gather; each process computes what its experts add to
    them; a sum over the processes returns the mixtures. MLX has no all-to-all, and its
    ring no reduce-scatter, so each process receives all tokens.

    The values are those of one process with all tokens, up to the order of the sum. The
    gradient is that of the sum of the losses of all processes: experts get it for all
    tokens, the router and ``x`` for the process's own. :func:`average_gradients` turns
    it into the gradient of the mean loss.

    Source: GShard (arXiv 2006.16668) divides experts like this, with an all-to-all.
    Cost for ``N`` tokens of ``D`` numbers in each of ``P`` processes: a process
    computes the rows of its own experts only. The ring sends ``(P - 1) N (D + 2 k)``
    numbers from each process for the all-gather and ``2 (P - 1) N D`` for the sum, and
    about as much again for the gradient. The number of rows depends on the choice, so a
    call evaluates the choice, and cannot be compiled or vectorised.

    Args:
        layer (MixtureOfExperts): The layer to divide, equal in all processes. Its
            router is used, not copied. ``gradient`` must be ``"chosen"``.
        group (Group, optional): The processes. Rank ``r`` of ``P`` gets the experts
            from ``r E // P`` to ``(r + 1) E // P - 1``. Default: all processes of
            ``mx.distributed``.

    Raises:
        ValueError: ``gradient`` is another, or there are fewer experts than processes.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> layer = routing.MixtureOfExperts(16, 32, num_experts=8, k=2)
        >>> sharded = routing.ShardedMixtureOfExperts(layer)
        >>> x = mx.random.normal((5, 16), key=mx.random.key(0))
        >>> mx.allclose(sharded(x), layer(x), atol=1e-6)
        array(True, dtype=bool)
    """

    def __init__(
        self, layer: MixtureOfExperts, group: mx.distributed.Group | None = None
    ):
        super().__init__()
        if layer.gradient != "chosen":
            raise ValueError(
                "[ShardedMixtureOfExperts] gradient must be 'chosen', got "
                f"'{layer.gradient}'."
            )
        self._group = mx.distributed.init() if group is None else group
        count, size = len(layer.router.weight), self._group.size()
        if count < size:
            raise ValueError(
                f"[ShardedMixtureOfExperts] {count} experts are fewer than {size} "
                "processes."
            )
        rank = self._group.rank()
        self._first, end = rank * count // size, (rank + 1) * count // size
        self.router, whole = layer.router, layer.experts
        _, hidden, dims = whole.up.shape
        self.experts = Experts(dims, hidden, end - self._first, whole.activation)
        self.experts.up = whole.up[self._first : end]
        self.experts.down = whole.down[self._first : end]

    def __call__(
        self,
        x: mx.array,
        mask: mx.array | None = None,
        return_routing: bool = False,
        indices: mx.array | None = None,
    ) -> mx.array | tuple[mx.array, Routing]:
        """Returns the mixture of each of this process's inputs.

        Args:
            x (array): Shape ``(..., input_dims)``, floating: this process's inputs.
                All processes must have the same shape.
            mask, return_routing, indices: As in :class:`MixtureOfExperts`.

        Returns:
            array or tuple(array, Routing): As :class:`MixtureOfExperts` does.
        """
        op = "ShardedMixtureOfExperts"
        if indices is not None:
            check_indices(op, indices)
        x, mask, chosen = routed(op, self.router, x, mask, indices)
        where = chosen.indices.astype(mx.int32)
        if mask is not None:
            allowed = mx.take_along_axis(mask, mx.maximum(where, 0), axis=-1)
            where = mx.where(allowed, where, -1)
        k = where.shape[-1]
        y = self._mixture(
            x.reshape(-1, x.shape[-1]), where.reshape(-1, k), chosen.weights
        ).reshape(x.shape)
        return (y, chosen) if return_routing else y

    def _mixture(self, x, indices, weights):
        k = indices.shape[-1]
        gather, scatter = _gather(self._group), _scatter_sum(self._group)
        rows, weights = gather(x), gather(weights.reshape(-1, k)).flatten()
        indices = mx.distributed.all_gather(indices, group=self._group).flatten()
        local = indices - self._first
        mine = mx.logical_and(local >= 0, local < len(self.experts.up))
        # The choices of this process's experts come first. One choice is always
        # computed, with weight 0 if it is another's, since MLX has no empty products.
        count = max(mine.sum().item(), 1)
        choices = mx.argsort(mx.logical_not(mine))[:count]
        used, tokens = mine[choices], choices // k
        outputs = self.experts(rows[tokens], mx.where(used, local[choices], 0)[:, None])
        outputs = mx.where(used[:, None], outputs.squeeze(1), 0)
        outputs = outputs * mx.where(used, weights[choices], 0)[:, None]
        return scatter(mx.zeros_like(rows).at[tokens].add(outputs))


def average_gradients(
    model: nn.Module, gradients: dict, group: mx.distributed.Group | None = None
) -> dict:
    """Averages gradients over processes, but for divided experts.

    The gradient of the parameters of a :class:`ShardedMixtureOfExperts`'s experts is
    already the sum over all processes, so it is only divided by their number. All
    others are averaged by ``mlx.nn.average_gradients``. If each process has the mean
    loss of equally many tokens, the result is the gradient of the mean over all tokens.

    Args:
        model (Module): The model that was differentiated.
        gradients (dict): The gradients, as ``nn.value_and_grad(model, ...)`` returns
            them.
        group (Group, optional): The processes. Default: all of ``mx.distributed``.

    Returns:
        dict: The averaged gradients, in the same form.

    Example:
        >>> import mlx.core as mx, mlx.nn as nn
        >>> from mlx.nn import routing
        >>> layer = routing.MixtureOfExperts(16, 32, num_experts=8, k=2)
        >>> layer = routing.ShardedMixtureOfExperts(layer)
        >>> step = nn.value_and_grad(layer, lambda layer, x: (layer(x) ** 2).mean())
        >>> value, gradients = step(layer, mx.ones((5, 16)))
        >>> gradients = routing.average_gradients(layer, gradients)
        >>> sorted(gradients["experts"])
        ['down', 'up']
    """
    group = mx.distributed.init() if group is None else group
    divided = tuple(
        f"{name}.experts." if name else "experts."
        for name, module in model.named_modules()
        if isinstance(module, ShardedMixtureOfExperts)
    )
    flat = tree_flatten(gradients)
    ours = [(name, g / group.size()) for name, g in flat if name.startswith(divided)]
    rest = [(name, g) for name, g in flat if not name.startswith(divided)]
    if rest:
        rest = tree_flatten(nn.average_gradients(tree_unflatten(rest), group))
    return tree_unflatten(ours + rest)


def _gather(group):
    """Returns a function that puts the rows of all processes below each other.

    Its transpose sums the rows over the processes, and keeps this process's. MLX's
    own gradient of all_gather does not sum.
    """

    @mx.custom_function
    def gather(rows):
        return mx.distributed.all_gather(mx.stop_gradient(rows), group=group)

    @gather.vjp
    def vjp(rows, cotangent, _):
        return _scatter_sum(group)(cotangent)

    @gather.jvp
    def jvp(rows, tangent):
        return _gather(group)(tangent)

    return gather


def _scatter_sum(group):
    """Returns a function that sums rows over the processes and keeps this one's."""

    @mx.custom_function
    def scatter_sum(rows):
        total = mx.distributed.all_sum(mx.stop_gradient(rows), group=group)
        return mx.split(total, group.size())[group.rank()]

    @scatter_sum.vjp
    def vjp(rows, cotangent, _):
        return _gather(group)(cotangent)

    @scatter_sum.jvp
    def jvp(rows, tangent):
        return _scatter_sum(group)(tangent)

    return scatter_sum
