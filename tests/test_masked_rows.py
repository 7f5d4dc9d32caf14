"""What estimators give for rows whose entries are all masked."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn import routing
from transforms_of import close, normal


def finite(x):
    return mx.all(mx.isfinite(x)).item()


@pytest.mark.parametrize("kind", ["sigmoid", "laplace"])
def test_soft_topk_of_masked_rows_is_zero_with_derivatives_of_zero(kind):
    x = mx.array(
        [[-np.inf] * 4, [1.0, -np.inf, -np.inf, -np.inf], [1.0, 2, -np.inf, 0]]
    )
    for k in (1, 2, 4):

        def loss(x, k=k):
            return (mx.arange(1.0, 5) * routing.soft_topk(x, k, kind=kind)).sum()

        assert routing.soft_topk(x, k, kind=kind)[:2].tolist() == [
            [0.0] * 4,
            [1.0, 0.0, 0.0, 0.0],
        ]
        gradient = mx.grad(loss)(x)
        assert not mx.any(gradient[:2]).item() and finite(gradient)
        assert gradient[2, 2].item() == 0
        second = mx.grad(lambda x, f=loss: (mx.grad(f)(x) ** 2).sum())(x)
        assert finite(second) and not mx.any(second[:2]).item()
        _, (along,) = mx.jvp(loss, [x], [mx.ones_like(x)])
        assert finite(along)


def test_sample_topk_of_a_masked_row_draws_the_lowest_indices_without_a_gradient():
    z = mx.array([[-np.inf] * 4, [1.0, 2.0, -np.inf, 0.0]])
    for k in (1, 2, 4):
        key = mx.random.key(k)
        indices, log_prob = routing.sample_topk(z, k, key)
        assert indices[0].tolist() == list(range(k))
        assert log_prob[0].item() == -mx.inf

        def total(z, k=k, key=key):
            return mx.maximum(routing.sample_topk(z, k, key)[1], -1e9).sum()

        assert not mx.any(mx.grad(total)(z)[0]).item()
        gradient = mx.grad(lambda z, f=total: (mx.grad(f)(z) ** 2).sum())(z)
        assert finite(gradient) and not mx.any(gradient[0]).item()
        _, (along,) = mx.jvp(total, [z], [mx.ones_like(z)])
        assert finite(along)


@pytest.mark.parametrize("mean", [False, True])
def test_dense_router_of_a_row_of_zeros_is_zero_and_trains_no_expert(mean):
    probs = mx.array([[0.5, 0.3, 0.2], [0.0, 0.0, 0.0]])
    indices = mx.array([[0, 1], [0, 1]])
    outputs, c = normal(1, 2, 2 if mean else 3, 4), normal(2, 4)
    means = normal(3, 3, 4) if mean else None

    def loss(probs, outputs):
        y = routing.dense_router(probs, indices, outputs, mean=means)
        return (y * c).sum(), y

    (_, y), (to_probs, to_outputs) = mx.value_and_grad(loss, (0, 1))(probs, outputs)
    assert y[1].tolist() == [0.0] * 4 and mx.any(y[0]).item()
    assert not mx.any(to_outputs[1]).item() and mx.any(to_outputs[0]).item()
    # The row of zeros in probs gets the gradient of the dense mixture, which is not
    # zero. TopKRouter stops this gradient.
    answers = mx.concatenate([outputs[1], means[2:]]) if mean else outputs[1]
    close(to_probs[1], answers @ c, rtol=1e-4)
