# Copyright © 2026 the mlx-topk authors. MIT licence.

import os
import tempfile

import mlx.core as mx
import mlx_tests
import numpy as np


def reference(x, k, axis, largest):
    """Returns the indices that a stable sort of ranks gives. NaN is greatest."""
    x = np.moveaxis(np.asarray(x), axis, -1)
    order = np.empty((*x.shape[:-1], k), np.uint32)
    for place in np.ndindex(x.shape[:-1]):
        row = x[place]
        _, ranks = np.unique(row, return_inverse=True)
        ranks = ranks.reshape(-1).astype(np.int64)
        order[place] = np.argsort(-ranks if largest else ranks, kind="stable")[:k]
    return np.moveaxis(order, -1, axis)


def topk(a, k, **options):
    return mx.topk(a, k, sorted=True, return_indices=True, **options)


class TestTopK(mlx_tests.MLXTestCase):
    def check(self, x, k, axis=-1):
        a = mx.array(x)
        for largest in (True, False):
            want = reference(x, k, axis, largest)
            values, indices = topk(a, k, axis=axis, largest=largest)
            self.assertEqual(indices.dtype, mx.uint32)
            self.assertTrue(np.array_equal(indices, want))
            chosen = np.take_along_axis(x, want.astype(np.int64), axis)
            self.assertTrue(np.array_equal(np.array(values), chosen, equal_nan=True))
            values, indices = mx.topk(a, k, axis, largest=largest, return_indices=True)
            self.assertTrue(np.array_equal(np.sort(indices, axis), np.sort(want, axis)))
            again = mx.take_along_axis(a, indices, axis)
            self.assertTrue(mx.array_equal(values, again, equal_nan=True))

    def random(self, shape, dtype):
        generator = np.random.default_rng(sum(shape))
        return generator.integers(-5, 6, shape).astype(dtype)

    def test_sizes_and_types(self):
        for dtype in ("bool", "uint8", "int8", "int32", "uint64", "float16", "float32"):
            for size in (1, 2, 31, 256, 257, 1024, 1025, 3000):
                x = self.random((3, size), np.int64).astype(dtype)
                for k in {0, 1, min(16, size), min(65, size), size // 2, size}:
                    with self.subTest(dtype=dtype, size=size, k=k):
                        self.check(x, k)

    def test_axes_and_strides(self):
        x = self.random((6, 7, 8), np.float32)
        for axis in (0, 1, 2, -1, -3):
            self.check(x, 3, axis)
        a = mx.array(x)
        for view in (a.transpose(2, 0, 1), a[::-1, ::2], a[:, :, ::-2]):
            want = reference(np.array(view), 3, -1, True)
            self.assertTrue(np.array_equal(topk(view, 3)[1], want))

    def test_nan_and_zeros(self):
        a = mx.array([2.0, float("nan"), 3.0, -0.0, 3.0, 0.0, -float("inf")])
        self.assertEqual(topk(a, 3)[1].tolist(), [1, 2, 4])
        self.assertEqual(topk(a, 3, largest=False)[1].tolist(), [6, 3, 5])

    def test_existing_calls(self):
        a = mx.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
        self.assertEqual(mx.sort(mx.topk(a, 2)).tolist(), [[2, 3], [4, 5]])
        self.assertEqual(mx.topk(a, 1, axis=0).tolist(), [[3, 5, 4]])
        self.assertEqual(mx.topk(a, 1, axis=None).tolist(), [5])

    def test_the_worst_of_the_unsorted_is_first_and_the_best_last(self):
        a = mx.random.normal((4, 128), key=mx.random.key(0))
        for k in (1, 2, 8, 100, 128):
            values = mx.topk(a, k)
            kept = (a >= values[..., :1]).sum(-1)
            self.assertEqual(kept.tolist(), [k] * 4)
            self.assertTrue(mx.array_equal(values[..., -1], a.max(-1)))

    def test_bad_input(self):
        a = mx.zeros((2, 3))
        for k in (4, -1):
            with self.assertRaisesRegex(ValueError, r"\[topk\] k must be between"):
                mx.topk(a, k)
            with self.assertRaisesRegex(ValueError, r"\[topk\] k must be between"):
                topk(a, k)
        with self.assertRaises(TypeError):
            mx.topk(a, 1.0)
        with self.assertRaises((ValueError, IndexError)):
            topk(a, 1, axis=2)

    def test_gradients(self):
        def f(x):
            return (topk(x, 2)[0] ** 2).sum()

        a = mx.array([[0.0, 0.0, 1.0, 0.0], [2.0, 2.0, 2.0, 1.0]])
        want = [[0, 0, 2, 0], [4, 4, 0, 0]]
        self.assertEqual(mx.grad(f)(a).tolist(), want)
        self.assertEqual(mx.compile(mx.grad(f))(a).tolist(), want)
        second = mx.grad(lambda x: mx.grad(f)(x).sum())(a)
        self.assertEqual(second.tolist(), [[2, 0, 2, 0], [2, 2, 0, 0]])
        _, (tangent,) = mx.jvp(f, [a], [mx.ones_like(a)])
        self.assertEqual(tangent.item(), 10)

    def test_transforms(self):
        def f(x):
            return topk(x, 2)[1]

        a = mx.array(self.random((4, 5, 6), np.float32))
        self.assertTrue(mx.array_equal(mx.vmap(mx.vmap(f))(a), f(a)))
        if mx.default_device() != mx.cpu:
            return  # There topk is a slice of a sort, which needs fixed shapes.
        g = mx.compile(f, shapeless=True)
        for x in (a, a[..., :3]):
            self.assertTrue(mx.array_equal(g(x), f(x)))
        with self.assertRaises(ValueError):
            g(a[..., :1])

    def test_export(self):
        def f(x):
            return topk(x, 3, largest=False)

        a = mx.array(self.random((4, 9), np.float32))
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "topk.mlxfn")
            mx.export_function(path, f, a)
            got = mx.import_function(path)(a)
        for x, y in zip(got, f(a), strict=True):
            self.assertTrue(mx.array_equal(x, y))


if __name__ == "__main__":
    mlx_tests.MLXTestRunner()
