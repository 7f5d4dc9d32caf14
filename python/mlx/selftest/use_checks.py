# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Checks selection as programs use it: in transforms, long chains and threads."""

import threading
import traceback

import mlx.core as mx

CHAIN = 300
THREADS = 8


def rows(seed, shape=(4, 300)):
    with mx.stream(mx.cpu):
        a = mx.random.normal(shape, key=mx.random.key(seed))
        mx.eval(a)
    return a


def expect(found, wanted):
    assert found == wanted, f"{found} instead of {wanted}"


def check_gradient(device):
    """Checks a gradient through values and indices of a row with equal elements."""

    def loss(x):
        values, indices = mx.topk(
            x, 2, sorted=True, return_indices=True, stream=device.stream
        )
        gathered = mx.take_along_axis(x, indices, -1)
        return (values * mx.array([1.0, 10.0])).sum() + gathered.sum()

    gradient = mx.grad(loss)(mx.array([0.0, 3.0, 1.0, 3.0]))
    expect(gradient.tolist(), [0.0, 2.0, 0.0, 11.0])


def check_jvp(device):
    def top(x):
        return mx.topk(x, 2, sorted=True, stream=device.stream)

    x, tangent = mx.array([0.0, 3.0, 1.0, 3.0]), mx.array([1.0, 2.0, 3.0, 4.0])
    _, (found,) = mx.jvp(top, [x], [tangent])
    expect(found.tolist(), [2.0, 4.0])


def top_indices(a, stream):
    top = mx.topk(a, 7, sorted=True, return_indices=True, stream=stream)
    return top.indices


def check_vmap(device):
    a = rows(1)
    for axis in (0, 1):
        moved = mx.moveaxis(a, 0, axis)
        found = mx.vmap(lambda x: top_indices(x, device.stream), in_axes=axis)(moved)
        expect(found.tolist(), top_indices(a, mx.cpu).tolist())


def check_compile(device):
    compiled = mx.compile(lambda x: 2 * mx.topk(x + 1, 7, sorted=True))
    with mx.stream(device.stream):
        for seed in (2, 3):
            a = rows(seed)
            found = compiled(a).tolist()
            with mx.stream(mx.cpu):
                wanted = (2 * mx.topk(a + 1, 7, sorted=True)).tolist()
            expect(found, wanted)


def chain(a, stream):
    """Selects ``CHAIN`` times, each time from the previous result.

    Uses integers, and of a partition only the k-th element, since the order of the
    others is not specified. So all devices give the same result.
    """
    with mx.stream(stream):
        for _ in range(CHAIN):
            indices = mx.argpartition(a, 150, axis=-1)
            middle = mx.take_along_axis(a, indices[:, 150:151], axis=-1)
            best = mx.topk(a, 3, sorted=True)
            a = 5 * a - 3 * middle + best[:, 1:2] // 7
        return a


def check_chain(device):
    """Checks that long chains are right, and that their memory is freed."""
    with mx.stream(mx.cpu):
        a = (1000 * rows(4)).astype(mx.int32)
        mx.eval(a)
    wanted = chain(a, mx.cpu).tolist()
    used = []
    for _ in range(3):
        expect(chain(a, device.stream).tolist(), wanted)
        mx.synchronize(device.stream if isinstance(device.stream, mx.Stream) else None)
        used.append(mx.get_active_memory())
    # The first chain may leave memory that is kept for the next.
    growth = used[2] - used[1]
    assert growth <= a.nbytes, f"{growth} bytes more in use after another chain"


def check_threads(device):
    """Checks threads that select at the same time, each on a stream of its own."""
    errors = []

    def work(seed):
        try:
            stream = device.new_stream()
            for i in range(20):
                a = rows(100 * seed + i, (2, 2000))
                found = top_indices(a, stream).tolist()
                with mx.stream(mx.cpu):
                    order = mx.argsort(-a, axis=-1)[:, :7].tolist()
                expect(found, order)
        except Exception:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]


CHECKS = {
    "gradient under ties": check_gradient,
    "jvp under ties": check_jvp,
    "vmap": check_vmap,
    "compile": check_compile,
    f"chains of {CHAIN} selections, memory": check_chain,
    f"{THREADS} threads, a stream each": check_threads,
}


def check_use(device, failures):
    """Runs ``CHECKS``, prints a line for each, and returns how many there are."""
    for name, check in CHECKS.items():
        try:
            with device.active():
                check(device)
            word = "ok"
        except Exception:
            failures.append(f"{name}: {traceback.format_exc()}")
            word = "WRONG"
        print(f"{name:36} {word}", flush=True)
    return len(CHECKS)
