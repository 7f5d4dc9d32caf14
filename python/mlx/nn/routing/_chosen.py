"""A matrix product in which each row chooses its matrix, under every transform.

``mx.gather_mm`` computes it. MLX gives that no ``jvp`` and no ``vmap``, and on the
CPU only float32, which is made up for here.
"""

import mlx.core as mx
from mlx._overlay import under_vmap


def chosen_matmul(x: mx.array, weight: mx.array, indices: mx.array) -> mx.array:
    """``x[i] @ weight[indices[i]]``: ``(N, D), (E, D, H), (N,)`` give ``(N, H)``.

    Under ``mx.vmap`` all ``E`` products are computed and the right ones picked.
    """
    if under_vmap():
        every = x @ weight
        return mx.take_along_axis(every, indices[None, :, None], axis=0).squeeze(0)
    return _product(x, weight, indices)


@mx.custom_function
def _product(x, weight, indices):
    # The rules below say what the derivatives are; and jvp would look inside.
    x, weight = mx.stop_gradient(x), mx.stop_gradient(weight)
    rows, matrices = _native(x)[:, None], _native(weight)
    product = mx.gather_mm(rows, matrices, rhs_indices=indices)
    return product.squeeze(1).astype(x.dtype)


@_product.vjp
def _product_vjp(inputs, cotangent, _):
    x, weight, indices = inputs
    to_x = _product(cotangent, mx.swapaxes(weight, 1, 2), indices)
    to_weight = _outer_sums(weight.shape[0])(x, cotangent, indices)
    return to_x, to_weight, mx.zeros_like(indices)


@_product.jvp
def _product_jvp(inputs, tangents):
    return _bilinear(_product, inputs, tangents)


def _outer_sums(experts):
    """Sums ``outer(x[i], y[i])`` over the rows of each expert: ``(E, D, H)``."""

    @mx.custom_function
    def outer_sums(x, y, indices):
        x, y = mx.stop_gradient(x), mx.stop_gradient(y)
        rows, columns = _native(x)[:, None], _native(y)[:, None]

        def product(weight):
            return mx.gather_mm(rows, weight, rhs_indices=indices)

        zeros = mx.zeros((experts, x.shape[1], y.shape[1]), rows.dtype)
        _, (sums,) = mx.vjp(product, [zeros], [columns])
        return mx.stop_gradient(sums.astype(x.dtype))

    @outer_sums.vjp
    def vjp(inputs, cotangent, _):
        x, y, indices = inputs
        to_x = _product(y, mx.swapaxes(cotangent, 1, 2), indices)
        return to_x, _product(x, cotangent, indices), mx.zeros_like(indices)

    @outer_sums.jvp
    def jvp(inputs, tangents):
        return _bilinear(outer_sums, inputs, tangents)

    return outer_sums


def _bilinear(function, inputs, tangents):
    """The tangent of a function that is linear in each of two inputs."""
    (x, y, indices), (d_x, d_y, _) = inputs, tangents
    parts = []
    if d_x is not None:
        parts.append(function(d_x, y, indices))
    if d_y is not None:
        parts.append(function(x, d_y, indices))
    return sum(parts[1:], parts[0])


def _native(x):
    return x.astype(mx.float32) if mx.default_device() == mx.cpu else x
