# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Times mx.topk, mx.argpartition and mx.max of the same arrays, in microseconds."""

import argparse
import statistics
import time

import mlx.core as mx


def microseconds(function, *arguments, repeats):
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        mx.eval(function(*arguments))
        times.append(1e6 * (time.perf_counter() - start))
    return statistics.median(times[3:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    mx.set_default_device(mx.gpu if options.gpu else mx.cpu)
    print(f"{'rows':>6} {'size':>7} {'k':>5} {'topk':>9} {'partition':>9} {'max':>9}")
    for rows, size in ((1, 151936), (32, 32768), (1024, 1024), (4096, 64)):
        x = mx.random.normal((rows, size))
        mx.eval(x)
        for k in (1, 8, 50, 1000):
            if k > size:
                continue
            ops = (
                lambda x, k=k: mx.topk(x, k),
                lambda x, k=k: mx.argpartition(x, -k),
                lambda x: mx.max(x, -1),
            )
            times = [microseconds(op, x, repeats=options.repeats) for op in ops]
            columns = " ".join(f"{t:9.0f}" for t in times)
            print(f"{rows:6} {size:7} {k:5} {columns}")


if __name__ == "__main__":
    main()
