"""Checks, in each of several processes, what is divided against what is whole.

test_routing_sharded.py starts it. Each process makes the same whole arrays from the
same keys, so it can compute the result of one process itself.
"""

import faulthandler
import sys
import time

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.nn import routing
from mlx.utils import tree_flatten

TYPES = [
    "float32",
    "float16",
    "bfloat16",
    "int8",
    "int64",
    "uint32",
    "bool_",
    "float64",
]


def cuts(n, size, seed):
    """Returns sizes of shards: equal ones if possible, uneven ones, and empty ones."""
    rng = np.random.default_rng(seed)
    uneven = np.diff([0, *sorted(rng.integers(0, n + 1, size - 1)), n]).tolist()
    found = [uneven, [n] + [0] * (size - 1), [0] * (size - 1) + [n]]
    return found + ([[n // size] * size] if n % size == 0 else [])


def difficult(n, dtype, seed):
    """Returns rows with ties, both zeros, infinities and NaN."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (3, 2, n)).astype(np.float64)
    if mx.issubdtype(getattr(mx, dtype), mx.floating):
        special = [np.nan, -np.inf, np.inf, -0.0, 0.0]
        x = np.where(rng.random(x.shape) < 0.4, rng.choice(special, x.shape), x)
    else:
        x = np.abs(x)
    return mx.array(x, dtype=getattr(mx, dtype))


def bits(x):
    return mx.contiguous(x).view(mx.uint8)


def shard(x, sizes, rank, axis):
    begin = sum(sizes[:rank])
    index = [slice(None)] * x.ndim
    index[axis] = slice(begin, begin + sizes[rank])
    return x[tuple(index)]


def check_topk(group):
    """Compares values and indices bit for bit, for many ways of cutting the axis."""
    checked = 0
    for seed, dtype in enumerate(TYPES):
        for n in (1, 12):
            axis, ways = (seed + n) % 3, cuts(n, group.size(), seed)
            whole = mx.moveaxis(difficult(n, dtype, seed), -1, axis)
            for i, sizes in enumerate(ways):
                # Both directions, and k of 1, some and all, are drawn in turn.
                k, largest = min((1, 3, n, 5)[(i + seed) % 4], n), (i + seed) % 3 > 0
                mine = shard(whole, sizes, group.rank(), axis)
                options = {"largest": largest}
                got = routing.sharded_topk(
                    mine, k, axis, sizes=sizes, group=group, **options
                )
                options |= {"sorted": True, "return_indices": True}
                wanted = mx.topk(whole, k, axis, **options)
                assert got[0].dtype == whole.dtype and got[1].dtype == mx.uint32
                for a, b in zip(got, wanted, strict=True):
                    assert a.shape == b.shape
                    assert mx.array_equal(bits(a), bits(b)), (dtype, sizes, k)
                checked += 1
    return checked


def check_gradient(group):
    whole = mx.random.normal((5, 24), key=mx.random.key(1))
    c, sizes = mx.random.normal((5, 6), key=mx.random.key(2)), [0] * group.size()
    sizes[0], sizes[-1] = 7, 24 - 7

    def loss(x):
        return (c * mx.topk(x, 6, sorted=True) ** 2).sum()

    def divided(x):
        return (c * routing.sharded_topk(x, 6, sizes=sizes, group=group)[0] ** 2).sum()

    mine = shard(whole, sizes, group.rank(), 1)
    wanted = shard(mx.grad(loss)(whole), sizes, group.rank(), 1)
    assert mx.array_equal(mx.grad(divided)(mine), wanted)
    if group.size() == 2:
        assert mx.array_equal(mx.compile(mx.grad(divided))(mine), wanted)
    again = mx.grad(lambda x: (mx.grad(divided)(x) ** 2).sum())(mine)
    whole_again = mx.grad(lambda x: (mx.grad(loss)(x) ** 2).sum())(whole)
    assert mx.array_equal(again, shard(whole_again, sizes, group.rank(), 1))
    tangent = mx.random.normal(whole.shape, key=mx.random.key(3))
    _, (part,) = mx.jvp(divided, [mine], [shard(tangent, sizes, group.rank(), 1)])
    _, (along,) = mx.jvp(loss, [whole], [tangent])
    np.testing.assert_allclose(
        mx.distributed.all_sum(part, group=group).item(), along.item(), rtol=1e-5
    )


def check_balance(group):
    """Loads, both biases and the loss of all processes are those of all tokens."""
    router = routing.TopKRouter(8, 6, 2, score="sigmoid", balance=True)
    router.weight = mx.random.normal((6, 8), key=mx.random.key(1))
    x = mx.random.normal((group.size(), 40, 8), key=mx.random.key(2))
    mask = mx.random.uniform(shape=x.shape[:2], key=mx.random.key(3)) < 0.7
    whole, rank = router(x), group.rank()
    mine = routing.Routing(*(part[rank] for part in whole))
    loads = routing.expert_loads(mine.indices, 6, mask[rank], group)
    assert mx.array_equal(loads, routing.expert_loads(whole.indices, 6, mask))
    bias = router.expert_bias
    assert mx.array_equal(
        routing.update_expert_bias(bias, mine.indices, 0.1, mask[rank], group),
        routing.update_expert_bias(bias, whole.indices, 0.1, mask),
    )
    counts = routing.quantile_histogram(bias, whole.probs, 2, 100, mask)
    router.update_quantile_bias(mine, mask[rank], bins=100, group=group)
    wanted = routing.histogram_expert_bias(bias, counts, 2)
    assert mx.array_equal(router.expert_bias, wanted)
    loads = routing.expert_loads(mine.indices, 6, group=group)
    loss = routing.load_balance_loss(mine.probs, mine.indices, 1.0, loads=loads)
    mean = mx.distributed.all_sum(loss, group=group) / group.size()
    wanted = routing.load_balance_loss(whole.probs, whole.indices, 1.0)
    np.testing.assert_allclose(mean.item(), wanted.item(), rtol=1e-6)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        mx.random.seed(0)
        self.before = nn.Linear(6, 8)
        self.mixture = routing.MixtureOfExperts(8, 16, 5, 2)
        self.after = nn.Linear(8, 3)

    def __call__(self, x):
        h = nn.relu(self.before(x))
        return self.after(h + self.mixture(h))


def losses_of(model, xs, ys, average, steps=8):
    def loss(model, x, y):
        return nn.losses.cross_entropy(model(x), y, reduction="mean")

    optimizer, found = optim.SGD(learning_rate=0.2), []
    step = nn.value_and_grad(model, loss)
    for x, y in zip(xs[:steps], ys[:steps], strict=True):
        value, gradients = step(model, x, y)
        optimizer.update(model, average(gradients))
        mx.eval(model.parameters(), value)
        found.append(value)
    return mx.stack(found)


def check_training(group):
    """A mixture that is divided trains to the losses of one process."""
    size, rank = group.size(), group.rank()
    xs = mx.random.normal((8, size * 12, 6), key=mx.random.key(4))
    ys = mx.random.randint(0, 3, (8, size * 12), key=mx.random.key(5))
    one, many = Model(), Model()
    mixture = many.mixture
    many.mixture = routing.ShardedMixtureOfExperts(mixture, group)
    held = many.mixture.experts.up.shape[0]
    assert held in (5 // size, 5 // size + 1)
    wanted = losses_of(one, xs, ys, lambda g: g)
    rows = slice(rank * 12, (rank + 1) * 12)
    got = losses_of(
        many,
        xs[:, rows],
        ys[:, rows],
        lambda g: routing.average_gradients(many, g, group),
    )
    got = mx.distributed.all_sum(got, group=group) / size
    np.testing.assert_allclose(np.array(got), np.array(wanted), rtol=2e-5)
    assert abs(wanted[0] - wanted[-1]).item() > 1e-3
    first = rank * 5 // size
    theirs = dict(tree_flatten(one.mixture.experts.parameters()))
    for name, p in tree_flatten(many.mixture.experts.parameters()):
        part = theirs[name][first : first + held]
        np.testing.assert_allclose(np.array(p), np.array(part), rtol=1e-3, atol=1e-5)
    for name in ("before", "after"):
        a, b = (dict(tree_flatten(m[name].parameters())) for m in (one, many))
        for key in a:
            np.testing.assert_allclose(
                np.array(a[key]), np.array(b[key]), rtol=1e-3, atol=1e-5
            )
    check_mixture_inputs(group, mixture)


def check_mixture_inputs(group, mixture):
    """Masks, replay, and a rank whose experts nobody chose."""
    sharded = routing.ShardedMixtureOfExperts(mixture, group)
    x = mx.random.normal((2, 3, 8), key=mx.random.key(group.rank()))
    mask = mx.arange(3)[None, :, None] < mx.array([[[3]], [[1]]])
    given = mx.array([[[0, -1], [-1, -1], [0, 1]], [[1, 0], [0, -1], [1, 0]]])
    for options in ({}, {"mask": mask}, {"indices": given}):
        got, chosen = sharded(x, return_routing=True, **options)
        wanted, whole = mixture(x, return_routing=True, **options)
        np.testing.assert_allclose(np.array(got), np.array(wanted), atol=1e-5)
        assert mx.array_equal(chosen.indices, whole.indices)


def check_lost_peer(group):
    """The last rank ends: the others get an error, not a hang."""
    mx.eval(mx.distributed.all_sum(mx.ones(1), group=group))
    if group.rank() == group.size() - 1:
        sys.exit(3)
    begin = time.perf_counter()
    try:
        routing.eval_within(30, routing.sharded_topk(mx.arange(9.0), 3, group=group))
    except RuntimeError as error:
        print(f"RuntimeError after {time.perf_counter() - begin:.1f} s: {error}")


def check_late_peer(group):
    """The last rank is late: the others get a TimeoutError, and later the result."""
    if group.rank() == group.size() - 1:
        time.sleep(4)
    result = routing.sharded_topk(mx.arange(9.0), 3, group=group)
    try:
        routing.eval_within(1.0, result)
    except TimeoutError as error:
        print(f"TimeoutError: {error}")
    routing.eval_within(30, result)
    assert result[0].tolist() == [8.0] * min(3, group.size()) + [7.0] * (
        3 - min(3, group.size())
    )


def main():
    mx.set_default_device(mx.cpu)
    faulthandler.dump_traceback_later(240, exit=True)
    group = mx.distributed.init(backend="ring", strict=True)
    if sys.argv[1] == "all":
        print("cases", check_topk(group))
        check_gradient(group)
        check_balance(group)
        check_training(group)
    else:
        {"lost": check_lost_peer, "late": check_late_peer}[sys.argv[1]](group)
    print("done")


if __name__ == "__main__":
    main()
