"""Compares the losses and the bias that balance experts with cases done by hand."""

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx.nn import routing
from transforms_of import assert_all_paths_agree, close, normal


def test_load_balance_loss_by_hand():
    probs = mx.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]])
    indices = mx.array([[0, 1], [1, 2]])
    by_hand = 0.3 * 3 * (1 / 4 * 0.375 + 1 / 2 * 0.375 + 1 / 4 * 0.25)
    close(routing.load_balance_loss(probs, indices, 0.3), by_hand)
    even = mx.full((4, 4), 0.25)
    close(routing.load_balance_loss(even, mx.array([[0], [1], [2], [3]]), 0.3), 0.3)
    shares = mx.array([1 / 4, 1 / 2, 1 / 4])
    gradient = mx.grad(lambda p: routing.load_balance_loss(p, indices, 0.3))(probs)
    close(gradient, mx.broadcast_to(0.3 * 3 * shares / 2, (2, 3)))


def test_router_z_loss_by_hand():
    logits = mx.array([[0.0, np.log(3.0)], [-mx.inf, 2.0]])
    close(routing.router_z_loss(logits, 0.5), 0.5 * (np.log(4) ** 2 + 4) / 2)
    gradient = mx.grad(lambda z: routing.router_z_loss(z, 0.5))(logits)
    close(gradient, 0.5 * np.array([[np.log(4) / 4, np.log(4) * 3 / 4], [0, 2]]))


def test_update_expert_bias_by_hand():
    bias = mx.array([0.5, 0.0, 0.0, 0.25])
    got = routing.update_expert_bias(bias, mx.array([[0, 1], [0, 3]]), 0.125)
    assert got.tolist() == [0.375, 0.0, 0.125, 0.25]
    assert not mx.any(
        mx.grad(lambda b: routing.update_expert_bias(b, mx.array([0, 1])).sum())(bias)
    ).item()


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_balance_in_half_types_is_computed_in_float32(dtype):
    z = normal(0, 3000, 4).astype(dtype)
    probs = mx.softmax(z, -1)
    indices = mx.topk(probs, 2, return_indices=True).indices
    wide = [a.astype(mx.float32) for a in (probs, z)]
    got = routing.load_balance_loss(probs, indices), routing.router_z_loss(z)
    assert [g.dtype for g in got] == [mx.float32] * 2
    assert got[0].item() == routing.load_balance_loss(wide[0], indices).item()
    assert got[1].item() == routing.router_z_loss(wide[1]).item()
    bias = mx.zeros(4, dtype)
    assert routing.update_expert_bias(bias, indices).dtype == dtype


@pytest.mark.parametrize("loss", [routing.load_balance_loss, routing.router_z_loss])
def test_balance_losses_under_every_transform(loss):
    def f(z):
        if loss is routing.router_z_loss:
            return loss(z, 1.0)
        probs = mx.softmax(z, -1)
        return loss(probs, mx.topk(probs, 2, return_indices=True).indices, 1.0)

    assert_all_paths_agree(f, normal(1, 3, 4, 5))


def test_an_empty_batch_has_a_loss_of_zero():
    none = mx.zeros((0, 2), mx.uint32)
    assert routing.load_balance_loss(mx.zeros((0, 4)), none).item() == 0
    assert routing.router_z_loss(mx.zeros((0, 4))).item() == 0


def imbalance(indices, experts):
    """Returns the largest load of an expert divided by the mean load."""
    loads = np.bincount(np.array(indices).ravel(), minlength=experts)
    return loads.max() / loads.mean()


@pytest.mark.parametrize("tool", ["loss", "bias"])
def test_each_tool_evens_out_a_skewed_router(tool):
    mx.random.seed(1)
    router = routing.TopKRouter(8, 8, 2, score="sigmoid", balance=tool == "bias")
    x = normal(2, 512, 8) + 1.0
    router.weight = router.weight + 0.12 * mx.arange(8.0)[:, None]
    before = imbalance(router(x).indices, 8)
    optimizer = optim.SGD(learning_rate=1.0)

    def loss(router):
        chosen = router(x)
        return routing.load_balance_loss(chosen.probs, chosen.indices, 1.0)

    for _ in range(400):
        if tool == "bias":
            router.update_bias(router(x).indices, 0.002)
        else:
            optimizer.update(router, nn.value_and_grad(router, loss)(router)[1])
        mx.eval(router.parameters())
    after = imbalance(router(x).indices, 8)
    assert before > 3 and after < 1.3


# ---- loads of sequences and of several batches ---------------------------------


def test_a_loss_per_sequence_is_the_mean_of_the_losses_of_the_sequences():
    probs = mx.softmax(normal(0, 3, 7, 5), axis=-1)
    indices = mx.topk(probs, 2, return_indices=True).indices
    mask = mx.arange(7) < mx.array([[7], [4], [0]])

    def per_sequence(probs, mask=None):
        return routing.load_balance_loss(probs, indices, 0.3, mask, per_sequence=True)

    def one_by_one(probs, lengths):
        rows = [
            routing.load_balance_loss(probs[i, :n], indices[i, :n], 0.3)
            for i, n in enumerate(lengths)
            if n > 0
        ]
        return mx.stack(rows).mean()

    for got, wanted in [
        (mx.value_and_grad(per_sequence)(probs), (7, 7, 7)),
        (mx.value_and_grad(lambda p: per_sequence(p, mask))(probs), (7, 4, 0)),
    ]:
        value, gradient = mx.value_and_grad(lambda p, n=wanted: one_by_one(p, n))(probs)
        close(got[0], value)
        close(got[1], gradient)
    assert abs(per_sequence(probs).item() - one_by_one(probs, (7, 7, 7)).item()) < 1e-6
    whole = routing.load_balance_loss(probs, indices, 0.3)
    assert abs(per_sequence(probs) - whole).item() > 1e-4
    deep = per_sequence(probs, mask).item()
    shaped = routing.load_balance_loss(
        probs[None], indices[None], 0.3, mask[None], per_sequence=True
    )
    assert shaped.item() == deep


def test_with_the_loads_of_all_parts_the_mean_loss_is_that_of_the_whole_batch():
    probs = mx.softmax(normal(0, 12, 5), axis=-1)
    indices = mx.topk(probs, 2, return_indices=True).indices
    value, gradient = mx.value_and_grad(
        lambda p: routing.load_balance_loss(p, indices, 0.3)
    )(probs)
    loads = sum(routing.expert_loads(part, 5) for part in mx.split(indices, 3))
    assert loads.tolist() == routing.expert_loads(indices, 5).tolist()

    def parts(probs):
        losses = [
            routing.load_balance_loss(p, i, 0.3, loads=loads)
            for p, i in zip(mx.split(probs, 3), mx.split(indices, 3), strict=True)
        ]
        return mx.stack(losses).mean()

    got, to_probs = mx.value_and_grad(parts)(probs)
    close(got, value)
    close(to_probs, gradient)


def test_expert_loads_by_hand():
    indices = mx.array([[0, 1], [1, 3], [1, 0]])
    assert routing.expert_loads(indices, 5).tolist() == [2, 3, 0, 1, 0]
    mask = mx.array([True, False, True])
    assert routing.expert_loads(indices, 5, mask).tolist() == [2, 2, 0, 0, 0]
    assert routing.expert_loads(mx.zeros((0, 2), mx.uint32), 3).tolist() == [0, 0, 0]


def test_loads_of_a_wrong_shape_or_per_sequence_are_refused():
    probs, indices = mx.zeros((2, 3)), mx.zeros((2, 1), mx.uint32)
    with pytest.raises(ValueError, match=r"loads must have shape \(3\), got \(2\)"):
        routing.load_balance_loss(probs, indices, loads=mx.zeros(2))
    with pytest.raises(ValueError, match="per_sequence takes no loads"):
        routing.load_balance_loss(probs, indices, loads=mx.zeros(3), per_sequence=True)
    with pytest.raises(IndexError, match="no axis -2"):
        routing.load_balance_loss(probs[0], indices[0], per_sequence=True)
