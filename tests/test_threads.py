"""Threads: many that call ops at once, and many that share one selection."""

import os
import subprocess
import sys
import threading

import mlx.core as mx
import numpy as np
import pytest

from cases import bits


@pytest.fixture
def three_threads():
    before = mx.selection_threads()
    mx.set_selection_threads(3)
    yield
    mx.set_selection_threads(before)


def everything(a, k, axis):
    return [
        *mx.topk(a, k, axis, return_indices=True),
        mx.topk(a, k, axis, largest=False, sorted=True),
        mx.argpartition(a, k, axis),
        mx.partition(a, -k, axis),
        mx.argpartition(a, a.shape[axis] // 2, axis),
        mx.partition(a, a.shape[axis] // 3, axis, descending=True),
        mx.argsort(a, axis),
        mx.sort(a, axis),
        mx.sort(a, axis, descending=True),
        mx.argsort(a, axis, descending=True),
        mx.argpartition(a, [k, -k], axis, descending=True),
        mx.partition(a, -k, axis, descending=True),
        mx.searchsorted(mx.sort(a, axis), a, axis=axis),
        mx.argmax(a, axis),
        mx.argmin(a, axis),
    ]


# Many rows and few long rows, both divided among threads, and rows along axis 0. Each
# way to sort or to partition a long row has a type here.
@pytest.mark.parametrize(
    "shape, k, axis, dtype",
    [
        ((3000, 200), 8, 1, np.float32),
        ((1, 900_000), 70, 1, np.float32),
        ((1, 300_000), 70, 1, np.float64),
        ((1, 300_000), 70, 1, np.float16),
        ((1, 300_000), 3000, 1, np.uint8),
        ((300_000, 1), 300, 0, np.int32),
        ((2, 600_000), 5, 1, np.float32),
        ((900, 700), 9, 0, np.float32),
    ],
)
def test_results_do_not_depend_on_the_number_of_threads(
    shape, k, axis, dtype, three_threads
):
    values = np.random.default_rng(k).integers(0, 5000, shape).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        values.flat[:: shape[-1] // 3] = np.nan
        values.flat[1 :: shape[-1] // 5] = -0.0
    a = mx.array(values)
    many = [bits(x) for x in everything(a, k, axis)]
    mx.set_selection_threads(1)
    for got, wanted in zip(many, everything(a, k, axis), strict=True):
        np.testing.assert_array_equal(got, bits(wanted))


def test_helper_threads_start_when_they_are_first_needed():
    code = """
import mlx.core as mx, os
mx.set_default_device(mx.cpu)
def threads(): return len(os.listdir("/proc/self/task"))
a = mx.random.normal((64, 40_000)); mx.eval(a)
mx.eval(mx.argsort(a)); alone = threads()
mx.set_selection_threads(4)
mx.eval(mx.topk(a[:1], 3)); print(threads() - alone)
mx.eval(mx.argsort(a)); print(threads() - alone)
"""
    if not os.path.exists("/proc/self/task"):
        pytest.skip("needs /proc to count threads")
    assert run(code, MLX_SELECTION_THREADS="1").stdout.split() == ["0", "3"]


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_the_environment_sets_the_number_of_threads():
    code = "import mlx.core as mx; print(mx.selection_threads())"
    assert run(code, MLX_SELECTION_THREADS="7").stdout.strip() == "7"
    for bad in ("0", "-2", "many", "3x", "", "5000"):
        done = run(code, MLX_SELECTION_THREADS=bad)
        wanted = "[MLX_SELECTION_THREADS] the number of threads must be between 1 and"
        assert done.returncode != 0 and wanted in done.stderr, bad
        assert f'got "{bad}"' in done.stderr


def test_a_bad_number_of_threads_is_refused():
    before = mx.selection_threads()
    for bad in (0, -1, 1025):
        with pytest.raises(ValueError, match=f"between 1 and 1024, got {bad}"):
            mx.set_selection_threads(bad)
    with pytest.raises(TypeError):
        mx.set_selection_threads(2.5)
    assert mx.selection_threads() == before


def test_eight_threads_on_their_own_streams(three_threads):
    failures = []
    start = threading.Barrier(8)

    def work(seed):
        try:
            start.wait()
            rng = np.random.default_rng(seed)
            mode = ["stop", "zero", "error"][seed % 3]
            with mx.stream(mx.new_stream(mx.cpu)), mx.index_gradient(mode):
                for _ in range(20):
                    check(rng, mode)
        except BaseException as error:
            failures.append(error)

    def check(rng, mode):
        # Arrays with 900 rows are large enough to be divided among threads.
        rows = rng.choice([rng.integers(1, 40), 900])
        x = rng.integers(0, 9, (rows, rng.integers(2, 300)))
        x = x.astype(np.float32)
        k = int(rng.integers(1, x.shape[1]))
        a = mx.array(x)
        values, indices = mx.topk(a, k, sorted=True, return_indices=True)
        wanted = np.argsort(-x, -1, kind="stable")[:, :k]
        np.testing.assert_array_equal(np.array(indices), wanted)
        np.testing.assert_array_equal(
            np.array(values), np.take_along_axis(x, wanted, -1)
        )
        gradient = mx.grad(lambda a: (mx.topk(a, k) * 2).sum())(a)
        expected = np.zeros_like(x)
        np.put_along_axis(expected, wanted, 2, -1)
        np.testing.assert_array_equal(np.array(gradient), expected)
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
