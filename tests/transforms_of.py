"""Computes one gradient by many combinations of transforms, which must agree."""

import mlx.core as mx
import numpy as np


def normal(seed, *shape):
    return mx.random.normal(shape, key=mx.random.key(seed))


def close(got, wanted, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(np.array(got), np.array(wanted), rtol, atol)


def gradient_paths(loss):
    """Returns functions that all compute the gradient of ``loss`` at each row."""

    def total(x):
        return mx.vmap(loss)(x).sum()

    def by_rows(f):
        return lambda x: mx.stack([f(row) for row in x])

    def forward(x):
        basis = mx.eye(x.size, dtype=x.dtype)
        rows = [mx.jvp(loss, [x], [e.reshape(x.shape)])[1][0] for e in basis]
        return mx.stack(rows).reshape(x.shape)

    return {
        "grad": by_rows(mx.grad(loss)),
        "vmap of grad": mx.vmap(mx.grad(loss)),
        "grad of vmap": mx.grad(total),
        "jvp": by_rows(forward),
        "vmap of jvp": mx.vmap(forward),
        "compile of grad": by_rows(mx.compile(mx.grad(loss))),
        "grad of compile": by_rows(mx.grad(mx.compile(loss))),
        "compile of grad of vmap": mx.compile(mx.grad(total)),
        "grad of checkpoint": by_rows(mx.grad(mx.checkpoint(loss))),
    }


def scaled_gradient(f):
    """Returns a scalar function of f's gradient, to be differentiated again."""

    def loss(x):
        gradient = mx.grad(f)(x)
        weights = mx.arange(1.0, 1 + x.size).reshape(x.shape)
        return (weights * gradient * gradient).sum()

    return loss


def assert_all_paths_agree(loss, batch, rtol=1e-4, atol=1e-6):
    paths = gradient_paths(loss)
    wanted = np.array(paths.pop("grad")(batch))
    assert np.isfinite(wanted).all() and np.abs(wanted).max() > 100 * atol
    for name, path in paths.items():
        got = np.array(path(batch))
        np.testing.assert_allclose(got, wanted, rtol, atol, err_msg=name)
