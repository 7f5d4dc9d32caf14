"""Counts the instructions of the NEON kernels and of stock MLX's, in an emulator.

    python benchmarks/neon_counts.py [--page docs/performance.md]

Needs x86-64 and Debian, from which it downloads a cross compiler and QEMU. ``--page``
writes the table into the page.
"""

import argparse
import pathlib
import re
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1]))

from mlx._version import STOCK_VERSION

import page
import report
from aarch64 import toolchain
from workloads import SORTS, TABLE, Case

# The number of rows does not change the count for each element. QEMU is slow, so only
# as many are run as fill some vectors.
ELEMENTS = 1 << 17
CASES = [
    *TABLE,
    Case("argpartition", 8192, 160, 8),
    Case("argpartition", 256, 8192, 4096),
    *(case for case in SORTS if case.n in (64, 160, 1000, 8192)),
    Case("argmax", 8192, 8),
    Case("argmax", 8192, 160),
    Case("argmax", 256, 8192),
]
KERNELS = [
    "mlx/backend/common/row_plan.cpp",
    "mlx/backend/common/topk_plan.cpp",
    "mlx/backend/cpu/selection/kernels.cpp",
    "mlx/backend/cpu/selection/scratch.cpp",
    "mlx/backend/cpu/selection/simd/baseline.cpp",
    "mlx/backend/cpu/selection/threads.cpp",
    "mlx/environment.cpp",
]


def compile_program(name, sources, *options):
    """Compiles a program for aarch64 at a fixed address. Returns its path."""
    program = toolchain.BUILD / name
    includes = ["-I", toolchain.ROOT, "-isystem", toolchain.MLX / "mlx/include"]
    command = [*toolchain.compiler(), "-std=c++20", "-O3", "-DNDEBUG", "-no-pie"]
    toolchain.run(
        *(*command, "-Wno-psabi", *includes),
        *(toolchain.ROOT / source for source in sources),
        *(*options, "-pthread", "-o", program),
        check=True,
    )
    return program


def compile_all():
    ours = compile_program("selection_work", ["tests/cpp/selection_work.cpp", *KERNELS])
    library = toolchain.MLX / "mlx/lib"
    stock = compile_program(
        *("stock_work", ["aarch64/stock_work.cpp"], f"-L{library}", "-lmlx"),
        *(f"-Wl,-rpath,{library}", "-Wl,--allow-shlib-undefined"),
    )
    plugin = toolchain.BUILD / "count.so"
    source = toolchain.ROOT / "aarch64/count.c"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", plugin, source]
    subprocess.run(command, check=True)
    return ours, stock


def address(program, function):
    """Returns the address of a function in hexadecimal, as the plugin wants it."""
    symbols = toolchain.SYSTEM / "usr/bin/aarch64-linux-gnu-nm"
    listed = toolchain.run(symbols, program, capture_output=True, check=True).stdout
    return re.search(rf"^([0-9a-f]+) T {function}$", listed, re.MULTILINE).group(1)


def count(program, *arguments):
    """Returns how many instructions are executed between the two marks."""
    marks = [f"{m}={address(program, f'count_{m}')}" for m in ("begin", "end")]
    plugin = ",".join([str(toolchain.BUILD / "count.so"), *marks])
    done = toolchain.run(
        *toolchain.emulator("-plugin", plugin),
        *(program, *map(str, arguments)),
        capture_output=True,
        check=True,
    )
    return int(re.search(r"instructions: (\d+)", done.stderr).group(1))


def measure(ours, stock, case):
    """Returns how many instructions each takes for one element."""
    rows = max(1, min(case.rows, ELEMENTS // case.n))
    elements = rows * case.n
    mine = count(ours, "baseline", case.op, "random", case.n, case.k, rows)
    theirs = count(stock, case.op, case.n, case.k, rows)
    return mine / elements, theirs / elements


def table(results):
    rows = [["op and input", "ours", "stock", "stock / ours"]]
    for case, (mine, theirs) in results:
        rows.append(
            [page.label(case), f"{mine:.1f}", f"{theirs:.1f}", f"{theirs / mine:.1f}"]
        )
    return report.markdown_table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=pathlib.Path, help="a page with the marks")
    arguments = parser.parse_args()
    toolchain.prepare(STOCK_VERSION)
    programs = compile_all()
    results = []
    for case in CASES:
        results.append((case, measure(*programs, case)))
        print(table(results[-1:]).splitlines()[-1], flush=True)
    if arguments.page:
        report.update(arguments.page, "neon-counts", table(results))


if __name__ == "__main__":
    main()
