"""What is measured: the cases in named sets, the goals, and the rows of the page."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One op along the last axis of an array of shape ``(rows, n)``."""

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


# The distributions that ``Case.data`` names.
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
    # Integers take all values of their type.
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
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
# Shapes of vocabularies, routers and sparse attention, then four distributions.
MODELS = [
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
# Larger than any cache of the processors that were measured.
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
SORT_TYPES = [
    Case("sort", rows, n, dtype=dtype, data="uniform")
    for dtype in ("int16", "float16", "int32", "int64", "float64")
    for rows, n in [(8192, 32), (8192, 100), (1024, 256), (512, 512), (256, 8192)]
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
# A case may be in several sets, and is then measured once in each.
SETS = {
    "table": TABLE,
    "models": MODELS,
    "memory": MEMORY,
    "types": TYPES,
    "argpartition": PARTITIONS,
    "sorts": SORTS,
    "sort_types": SORT_TYPES,
    "argmax": ARGMAX,
}


def sweep():
    """Many sizes, k and rows, up to four million elements, against torch alone."""
    for n in (1, 8, 40, 160, 600, 1500, 8192, 60_000, 1_000_000):
        for rows in (1, 32, 1024, 32768):
            if rows * n <= 1 << 22:
                for k in sorted({1, 2, 8, 50, 300, n // 10, n // 2, n}):
                    if 1 <= k <= n:
                        yield topk(rows, n, k)


def of(name, *cases):
    """Returns a pair (``name``, case) for each case.

    Without ``cases``, takes all cases of the set that is called ``name``.
    """
    return [(name, case) for case in cases or SETS[name]]


# The rows of the short table and of the plot in docs/performance.md.
PAGE = [
    *of("table"),
    *of("models", topk(1, 160, 8)),
    *of("argpartition", *PARTITIONS[:1], *PARTITIONS[-2:-1]),
    *of("sorts", *(case for case in SORTS if case.n in (64, 8192, 1000000))),
    *of("argmax", *(case for case in ARGMAX if case.n in (160, 1000000))),
]


@dataclasses.dataclass(frozen=True)
class Goal:
    """In each case ``rival`` takes at least ``times`` times as long as this build."""

    text: str
    cases: list[tuple[str, Case]]
    rival: str
    times: float


def sorts(op):
    return of("sorts", *(case for case in SORTS if case.op == op))


GOALS = [
    Goal("10 times as fast as the stock idiom", of("table"), "stock idiom", 10),
    Goal(
        "8 times as fast as torch, 160 experts",
        of("table", TABLE[6], TABLE[7]),
        "torch",
        8,
    ),
    Goal(
        "15 times as fast as torch, a vocabulary",
        of("table", TABLE[0], TABLE[2]),
        "torch",
        15,
    ),
    Goal(
        "6 times as fast as torch, (256, 8192) and (4, 65536)",
        of("table", TABLE[4], TABLE[5]),
        "torch",
        6,
    ),
    Goal(
        "5 times as fast as the stock idiom, (8192, 8) float64",
        of("types", *(c for c in TYPES if c.n == 8 and c.dtype == "float64")),
        "stock idiom",
        5,
    ),
    Goal(
        "no slower than stock's argmax, one row of 160",
        of("models", MODELS[6]),
        "stock argmax",
        1,
    ),
    Goal("sort 8 times as fast as stock's", sorts("sort"), "stock", 8),
    Goal("argsort 8 times as fast as stock's", sorts("argsort"), "stock", 8),
    Goal("sort no slower than NumPy's", sorts("sort"), "numpy", 1),
    Goal("sort of other types no slower than NumPy's", of("sort_types"), "numpy", 1),
    Goal("argsort 3 times as fast as NumPy's", sorts("argsort"), "numpy", 3),
    Goal(
        "argpartition 8 times as fast as stock's, rows of 64 or more",
        of("argpartition", *(case for case in PARTITIONS if case.n >= 64)),
        "stock",
        8,
    ),
    Goal(
        "argpartition 3 times as fast as NumPy's",
        of("argpartition"),
        "numpy",
        3,
    ),
    Goal(
        "argmax takes at most 1.3 times as long as a max pass",
        of("argmax"),
        "max pass",
        1 / 1.3,
    ),
    Goal(
        "topk takes at most 2 times as long as a max pass, rows beyond 8192, k <= 64",
        [
            *of("table", *TABLE[:3]),
            *of("models", *MODELS[1:4]),
            *of("memory", MEMORY[0], MEMORY[2]),
        ],
        "max pass",
        1 / 2,
    ),
]
