"""Eight threads calling everything at once, each on a stream of its own."""

import threading

import mlx.core as mx
import numpy as np

import oracle


def test_eight_threads_on_their_own_streams():
    failures = []
    start = threading.Barrier(8)

    def work(seed):
        try:
            start.wait()
            rng = np.random.default_rng(seed)
            mode = ["stop", "zero", "error"][seed % 3]
            with mx.stream(mx.new_stream(mx.cpu)), mx.index_gradient(mode):
                for _ in range(30):
                    check(rng, mode)
        except BaseException as error:
            failures.append(error)

    def check(rng, mode):
        x = rng.integers(0, 9, (rng.integers(1, 40), rng.integers(2, 300)))
        x = x.astype(np.float32)
        k = int(rng.integers(1, x.shape[1]))
        a = mx.array(x)
        values, indices = mx.topk(a, k, sorted=True, return_indices=True)
        wanted = oracle.topk(x, k)
        np.testing.assert_array_equal(np.array(values), wanted[0])
        np.testing.assert_array_equal(np.array(indices), wanted[1])
        gradient = mx.grad(lambda a: (mx.topk(a, k) * 2).sum())(a)
        weights = np.full(wanted[0].shape, 2, np.float32)
        np.testing.assert_array_equal(
            np.array(gradient), oracle.topk_gradient(x, k, weights)
        )
        part = mx.compile(lambda a: mx.partition(a, k - 1))(a)
        np.testing.assert_array_equal(np.array(part)[:, k - 1], np.sort(x)[:, k - 1])
        try:
            mx.grad(lambda a: mx.take_along_axis(a, mx.argsort(a), -1).sum())(a)
            assert mode == "stop"
        except ValueError:
            assert mode != "stop"

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
