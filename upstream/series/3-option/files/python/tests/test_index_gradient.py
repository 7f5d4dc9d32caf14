# Copyright © 2026 the mlx-topk authors. MIT licence.

import asyncio
import os
import tempfile
import threading

import mlx.core as mx
import mlx_tests


def index_ops():
    return {
        "ArgSort": lambda a: mx.argsort(a),
        "ArgPartition": lambda a: mx.argpartition(a, 1),
        "ArgReduce": lambda a: mx.argmax(a, axis=-1, keepdims=True),
        "SearchSorted": lambda a: mx.searchsorted(mx.sort(a), a),
    }


def sum_of_chosen(choose):
    return lambda a: mx.take_along_axis(a.square(), choose(a), axis=-1).sum()


class TestIndexGradient(mlx_tests.MLXTestCase):
    def setUp(self):
        super().setUp()
        self.a = mx.array([3.0, 1.0, 2.0])

    def stopped(self, choose):
        return sum_of_chosen(lambda a: mx.stop_gradient(choose(a)))

    def test_stop(self):
        for choose in index_ops().values():
            f, g = sum_of_chosen(choose), self.stopped(choose)
            for transform in (mx.grad, lambda f: mx.compile(mx.grad(f))):
                got, want = transform(f)(self.a), transform(g)(self.a)
                self.assertTrue(mx.array_equal(got, want))
            tangents = [mx.ones(3)]
            got = mx.jvp(f, [self.a], tangents)[1]
            self.assertTrue(mx.array_equal(got[0], mx.jvp(g, [self.a], tangents)[1][0]))

    def test_a_router_needs_no_stop_gradient(self):
        def loss(gate, x):
            p = mx.softmax(x @ gate, axis=-1)
            chosen = mx.argpartition(-p, kth=1, axis=-1)[..., :2]
            return mx.take_along_axis(p, chosen, axis=-1).square().sum()

        x, gate = mx.random.normal((4, 8)), mx.random.normal((8, 6))
        grad = mx.grad(loss)(gate, x)
        self.assertEqual(grad.shape, gate.shape)
        self.assertTrue(mx.any(grad != 0).item())

    def test_indices_of_topk(self):
        def f(x):
            indices = mx.topk(x, 2, sorted=True, return_indices=True)[1]
            return (mx.take_along_axis(x, indices, axis=-1) ** 2).sum()

        a = mx.array([[0.0, 0.0, 1.0, 0.0], [2.0, 2.0, 2.0, 1.0]])
        self.assertEqual(mx.grad(f)(a).tolist(), [[0, 0, 2, 0], [4, 4, 0, 0]])
        _, (tangent,) = mx.jvp(f, [a], [mx.ones_like(a)])
        self.assertEqual(tangent.item(), 10)

    def test_second_derivatives_and_nested_transforms(self):
        f = sum_of_chosen(mx.argsort)
        second = mx.grad(lambda a: mx.grad(f)(a).sum())
        self.assertEqual(second(self.a).tolist(), [2, 2, 2])
        _, (tangent,) = mx.jvp(mx.grad(f), [self.a], [mx.ones(3)])
        self.assertEqual(tangent.tolist(), [2, 2, 2])
        rows = mx.vmap(mx.grad(f))(mx.stack([self.a, -self.a]))
        self.assertEqual(rows.tolist(), [[6, 2, 4], [-6, -2, -4]])

    def test_vjp_of_an_index_is_zero(self):
        (out,), (grad,) = mx.vjp(mx.argsort, [self.a], [mx.zeros(3, mx.uint32)])
        self.assertEqual(out.tolist(), [1, 2, 0])
        self.assertEqual(grad.tolist(), [0, 0, 0])
        _, (tangent,) = mx.jvp(mx.argsort, [self.a], [mx.ones(3)])
        self.assertEqual(tangent.dtype, mx.uint32)

    def test_checkpoint(self):
        choose = mx.checkpoint(lambda a: (mx.argsort(a)[:2], a.square()))

        def f(a):
            chosen, values = choose(a)
            return mx.take(values, chosen).sum()

        self.assertEqual(mx.grad(f)(self.a).tolist(), [0, 2, 4])

    def test_custom_gradients_of_choices_are_kept(self):
        @mx.custom_function
        def hard(a):
            return (mx.arange(3) == mx.argmax(a)).astype(mx.float32)

        @hard.vjp
        def straight_through(primals, cotangent, output):
            return cotangent

        grad = mx.grad(lambda a: (hard(a) * mx.array([1.0, 2.0, 3.0])).sum())
        self.assertEqual(grad(self.a).tolist(), [1, 2, 3])

    def test_imported_functions(self):
        # An exported function has lost its stop_gradients. Indices need none.
        def f(a):
            return mx.take_along_axis(a.square(), mx.argsort(a), axis=-1)

        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "f.mlxfn")
            mx.export_function(path, f, self.a)
            imported = mx.import_function(path)
            grad = mx.grad(lambda a: imported(a)[0][:2].sum())(self.a)
        self.assertEqual(grad.tolist(), [0, 2, 4])

    def test_zero(self):
        with mx.index_gradient("zero"):
            f = sum_of_chosen(mx.argsort)
            with self.assertRaisesRegex(ValueError, "stop_gradient"):
                mx.grad(f)(self.a)
            grad = mx.grad(lambda a: mx.argsort(a).astype(mx.float32).sum())
            self.assertEqual(grad(self.a).tolist(), [0, 0, 0])

    def test_error_names_the_op(self):
        for name, choose in index_ops().items():
            f = sum_of_chosen(lambda a, choose=choose: choose(a) % 3)
            with mx.index_gradient("error"):
                with self.assertRaisesRegex(ValueError, rf"\[{name}\]"):
                    mx.grad(f)(self.a)
                with self.assertRaisesRegex(ValueError, rf"\[{name}\]"):
                    mx.jvp(f, [self.a], [mx.ones(3)])
                mx.grad(self.stopped(choose))(self.a)

    def test_error_accepts_stopped_indices_in_forward_mode(self):
        tangents = [mx.ones(3)]
        for choose in index_ops().values():
            f = self.stopped(lambda a, choose=choose: choose(a) % 3)
            for g in (f, mx.grad(f)):
                _, (want,) = mx.jvp(g, [self.a], tangents)
                with mx.index_gradient("error"):
                    _, (tangent,) = mx.jvp(g, [self.a], tangents)
                self.assertEqual(tangent.tolist(), want.tolist())

    def test_error_is_raised_for_the_indices_of_topk_only(self):
        def f(x):
            values, indices = mx.topk(x, 2, return_indices=True)
            indices = mx.stop_gradient(indices)
            return mx.put_along_axis(mx.zeros(3), indices, values, axis=0).sum()

        def through_indices(x):
            return mx.take(x, mx.topk(x, 2, return_indices=True)[1]).sum()

        cubes = mx.grad(lambda x: (mx.topk(x, 2) ** 3).sum())
        with mx.index_gradient("error"):
            self.assertEqual(mx.grad(f)(self.a).tolist(), [1, 0, 1])
            second = mx.grad(lambda x: cubes(x).sum())(self.a)
            self.assertEqual(second.tolist(), [18, 0, 12])
            with self.assertRaisesRegex(ValueError, r"\[TopK\]"):
                mx.grad(through_indices)(self.a)

    def test_error_accepts_an_index_that_is_only_returned(self):
        def loss_and_metric(a):
            return a.square().sum(), mx.argmax(a)

        with mx.index_gradient("error"):
            _, grad = mx.value_and_grad(loss_and_metric)(self.a)
        self.assertEqual(grad.tolist(), [6, 2, 4])

    def test_error_is_raised_for_a_checkpoint_only_if_its_index_is_used(self):
        both = mx.checkpoint(lambda a: (mx.argsort(a), a.square()))
        with mx.index_gradient("error"):
            grad = mx.grad(lambda a: both(a)[1].sum())(self.a)
            with self.assertRaises(ValueError):
                mx.grad(lambda a: mx.take(*both(a)[::-1]).sum())(self.a)
        self.assertEqual(grad.tolist(), [6, 2, 4])

    def test_scopes_and_the_default(self):
        before = mx.default_index_gradient()
        self.addCleanup(mx.set_default_index_gradient, before)
        mx.set_default_index_gradient("error")
        self.assertEqual(mx.default_index_gradient(), "error")
        f = mx.grad(sum_of_chosen(mx.argsort))
        with mx.index_gradient("stop"):
            with mx.index_gradient("error"), self.assertRaises(ValueError):
                f(self.a)
            f(self.a)
        with self.assertRaises(ValueError):
            f(self.a)

    def test_a_scope_applies_to_its_thread_only(self):
        errors = []

        def work():
            try:
                # A thread needs a stream of its own.
                with mx.stream(mx.new_stream(mx.cpu)):
                    mx.eval(mx.grad(sum_of_chosen(mx.argsort))(self.a))
            except ValueError as error:
                errors.append(error)

        with mx.index_gradient("error"):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        self.assertEqual(errors, [])

    def test_a_scope_applies_to_its_task_only(self):
        errors = []

        async def task(name, entered, other):
            with mx.index_gradient(name):
                entered.set()
                await other.wait()
                try:
                    mx.grad(sum_of_chosen(mx.argsort))(self.a)
                except ValueError:
                    errors.append(name)

        async def main():
            one, two = asyncio.Event(), asyncio.Event()
            await asyncio.gather(task("error", one, two), task("stop", two, one))

        asyncio.run(main())
        self.assertEqual(errors, ["error"])

    def test_scopes_are_left_in_reverse_order(self):
        outer, inner = mx.index_gradient("error"), mx.index_gradient("zero")
        with outer, inner, self.assertRaises(RuntimeError):
            outer.__exit__(None, None, None)

    def test_bad_modes(self):
        for call in (mx.index_gradient, mx.set_default_index_gradient):
            with self.assertRaisesRegex(ValueError, "'stop', 'zero' or 'error'"):
                call("other")


if __name__ == "__main__":
    mlx_tests.MLXTestRunner()
