"""What is measured, as data: shapes, types, distributions, and the goals."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One array and one op on its last axis."""

    op: str
    rows: int
    n: int
    k: int = 0
    dtype: str = "float32"
    data: str = "normal"

    def __str__(self):
        k = f" k={self.k}" if self.op in ("topk", "argpartition") else ""
        data = "" if self.data == "normal" else f" {self.data}"
        return f"({self.rows}, {self.n}){k} {self.dtype}{data}"


DATA = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "90% zeros": lambda rng, shape: (
        rng.standard_normal(shape) * (rng.random(shape) < 0.1)
    ),
    "all equal": lambda rng, shape: np.ones(shape),
    "narrow": lambda rng, shape: 1 + 3e-5 * rng.random(shape),
    "inf and nan": lambda rng, shape: np.where(
        rng.random(shape) < 0.2,
        rng.choice([np.inf, -np.inf, np.nan], shape),
        rng.standard_normal(shape),
    ),
    "ascending": lambda rng, shape: np.broadcast_to(np.arange(shape[1]), shape),
    "descending": lambda rng, shape: np.broadcast_to(-np.arange(shape[1]), shape),
}


def topk(rows, n, k, **rest):
    return Case("topk", rows, n, k, **rest)


TABLE = [
    topk(1, 151936, 50),
    topk(8, 151936, 50),
    topk(32, 50257, 50),
    topk(1, 1000000, 100),
    topk(256, 8192, 32),
    topk(4, 65536, 2048),
    topk(1024, 160, 8),
    topk(8192, 160, 8),
    topk(8192, 8, 2),
]
TWELVE = [
    topk(1, 151936, 50, dtype="bfloat16"),
    topk(1, 248320, 20),
    topk(32, 151936, 64),
    topk(16, 200000, 40),
    topk(16, 200000, 400),
    topk(1, 256, 8),
    topk(1, 160, 8),
    topk(8, 160, 8),
    topk(32768, 256, 8),
    topk(32768, 256, 8, dtype="bfloat16"),
    topk(1024, 896, 16),
    topk(2048, 8192, 32, dtype="bfloat16"),
    topk(1, 435000, 512),
    topk(32, 435000, 512),
    topk(64, 131072, 512),
    topk(64, 131072, 2048),
    topk(1024, 131072, 512),
    *(
        topk(256, 65536, 512, data=data)
        for data in ("90% zeros", "all equal", "narrow", "inf and nan")
    ),
]
MEMORY = [
    topk(64, 1000000, 50),
    topk(8192, 8192, 32),
    topk(2048, 32768, 64),
    topk(8192, 8192, 32, dtype="bfloat16"),
]
TYPES = [
    topk(rows, n, k, dtype=dtype)
    for rows, n, k in [(8, 151936, 50), (256, 8192, 32), (8192, 160, 8), (8192, 8, 2)]
    for dtype in ("float32", "bfloat16", "float16", "int8", "int32", "float64")
]
PARTITIONS = [
    Case("argpartition", case.rows, case.n, case.k)
    for case in TABLE
    if case.n != 1000000
]
SORTS = [
    Case(op, rows, n)
    for rows, n in [
        (8192, 8),
        (8192, 64),
        (8192, 160),
        (1024, 512),
        (1024, 1000),
        (256, 8192),
        (32, 50257),
        (1, 151936),
        (1, 1000000),
    ]
    for op in ("sort", "argsort")
]
ARGMAX = [
    Case("argmax", rows, n)
    for rows, n in [
        (1, 160),
        (8192, 8),
        (8192, 160),
        (256, 8192),
        (8, 151936),
        (1, 1000000),
        (64, 1000000),
    ]
]
SETS = {
    "table": TABLE,
    "twelve": TWELVE,
    "memory": MEMORY,
    "types": TYPES,
    "argpartition": PARTITIONS,
    "sorts": SORTS,
    "argmax": ARGMAX,
}


def sweep():
    """torch.topk or mx.topk, over sizes, k and rows, up to four million elements."""
    for n in (1, 8, 40, 160, 600, 1500, 8192, 60_000, 1_000_000):
        for rows in (1, 32, 1024, 32768):
            if rows * n <= 1 << 22:
                for k in sorted({1, 2, 8, 50, 300, n // 10, n // 2, n}):
                    if 1 <= k <= n:
                        yield topk(rows, n, k)


@dataclasses.dataclass(frozen=True)
class Goal:
    """``rival`` takes at least so many times as long as we do."""

    text: str
    cases: list
    rival: str
    times: float


GOALS = [
    Goal("10x stock's idiom on the table", TABLE, "stock idiom", 10),
    Goal("50x stock's idiom on (1, 151936)", TABLE[:1], "stock idiom", 50),
    Goal("8x torch on 160 experts", [TABLE[6], TABLE[7]], "torch", 8),
    Goal("15x torch on a vocabulary", [TABLE[0], TABLE[2]], "torch", 15),
    Goal("5x torch on (256, 8192)", [TABLE[4]], "torch", 5),
    Goal("no dearer than stock's argmax of (1, 160)", [TWELVE[6]], "stock argmax", 1),
    Goal("5x stock's sort and argsort", SORTS, "stock", 5),
    Goal("sorts not behind NumPy by 1.5x", SORTS, "numpy", 1 / 1.5),
    Goal("argmax within 1.3x of a max pass", ARGMAX, "max pass", 1 / 1.3),
    Goal("2x of a max pass, beyond the cache", MEMORY, "max pass", 1 / 2),
    Goal(
        "4x of a max pass, in the cache",
        [*TABLE[:5], TWELVE[2], TWELVE[3], TWELVE[13]],
        "max pass",
        1 / 4,
    ),
]
