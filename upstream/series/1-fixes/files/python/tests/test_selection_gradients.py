# Copyright © 2026 the mlx-topk authors. MIT licence.

import mlx.core as mx
import mlx_tests
import numpy as np


class TestSelectionGradients(mlx_tests.MLXTestCase):
    def check_euler(self, select, a):
        """Asserts that ``f(a)`` is the inner product of ``a`` and its gradient."""

        def f(x):
            y = select(x)
            return (y * mx.arange(1, 1 + y.shape[-1])).sum()

        # Integers in float32: the sums are exact.
        self.assertEqual((a * mx.grad(f)(a)).sum().item(), f(a).item())

    def with_ties(self, shape, dtype):
        values = np.random.default_rng(0).integers(-3, 4, shape)
        return mx.array(values.astype(np.float32)).astype(dtype)

    def test_partition_under_ties(self):
        for shape in [(7,), (300,), (4, 513)]:
            a = self.with_ties(shape, mx.float32)
            for kth in (0, 3, shape[-1] // 2, -1):
                self.check_euler(lambda x, kth=kth: mx.partition(x, kth), a)

    def test_topk_under_ties(self):
        for shape in [(7,), (300,), (4, 513)]:
            a = self.with_ties(shape, mx.float32)
            for k in (1, 3, shape[-1] // 2):
                self.check_euler(lambda x, k=k: mx.topk(x, k), a)

    def test_the_gradient_of_topk_goes_to_the_chosen_value(self):
        a = mx.array([0.0, 0.0, 1.0, 0.0])
        grad = mx.grad(lambda x: mx.topk(x, 3).square().sum())(a)
        self.assertEqual(grad.tolist(), [0, 0, 2, 0])

    def test_half_precision(self):
        # More than 50 elements of each row are 3, the greatest. Any 50 may be chosen.
        a = self.with_ties((8, 4096), mx.bfloat16)
        grad = mx.grad(lambda x: mx.topk(x, 50).sum())(a)
        self.assertEqual(mx.sum(grad, -1).tolist(), [50] * 8)
        self.assertTrue(mx.all((grad == 0) | (a == 3)).item())

    def test_forward_mode(self):
        a = self.with_ties((4, 513), mx.float32)
        (out,), (tangent,) = mx.jvp(lambda x: mx.partition(x, 200), [a], [a])
        self.assertTrue(mx.array_equal(out, tangent))

    def test_second_order(self):
        a = self.with_ties((64,), mx.float32) + 0.5

        def f(x):
            return (mx.partition(x, 20) ** 3).sum()

        hessian = mx.grad(lambda x: mx.grad(f)(x).sum())(a)
        self.assertTrue(mx.allclose(hessian, 6 * a))

    def test_vmap(self):
        a = self.with_ties((5, 40), mx.float32)
        f = mx.grad(lambda x: (mx.partition(x, 9) * mx.arange(40)).sum())
        rows = mx.stack([f(row) for row in a])
        self.assertTrue(mx.array_equal(mx.vmap(f)(a), rows))

    def test_tangent_of_argpartition(self):
        a = mx.array([3.0, 1.0, 2.0])
        for dtype in (mx.float32, mx.float16):
            x = a.astype(dtype)
            ones = [mx.ones_like(x)]
            _, (tangent,) = mx.jvp(lambda x: mx.argpartition(x, 1), [x], ones)
            self.assertEqual(tangent.dtype, mx.uint32)
            self.assertEqual(tangent.tolist(), [0, 0, 0])


if __name__ == "__main__":
    mlx_tests.MLXTestRunner()
