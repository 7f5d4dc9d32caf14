"""Some environment variables have two names.

Both are read, and an error has the name that was set.
"""

import os
import subprocess
import sys

import pytest

THREADS = "import mlx.core as mx; print(mx.selection_threads())"
MODE = "import mlx.core as mx; print(mx.default_index_gradient())"


def run(code, **variables):
    names = ("MLX_TOPK_", "MLX_SELECTION_", "MLX_INDEX_")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "code, name, old, value, other",
    [
        (THREADS, "MLX_TOPK_THREADS", "MLX_SELECTION_THREADS", "3", "5"),
        (MODE, "MLX_INDEX_GRADIENT", "MLX_TOPK_INDEX_GRADIENT", "zero", "error"),
    ],
)
def test_either_name_is_read_and_the_documented_one_wins(code, name, old, value, other):
    assert run(code, **{name: value}).stdout.strip() == value
    assert run(code, **{old: value}).stdout.strip() == value
    assert run(code, **{name: value, old: other}).stdout.strip() == value


@pytest.mark.parametrize(
    "name", ["MLX_TOPK_THREADS", "MLX_SELECTION_THREADS", "MLX_TOPK_GPU"]
)
def test_an_error_names_the_variable_that_was_set(name):
    done = run("import mlx.core", **{name: "many"})
    assert done.returncode != 0
    assert name in done.stderr and "many" in done.stderr


def test_the_instruction_set_of_the_cpu_kernels_can_be_chosen():
    code = "import mlx.core as mx; print(*mx.selection_info()['instruction_sets'])"
    names = run(code).stdout.split()
    assert names[-1] == "baseline"
    assert run(code, MLX_TOPK_CPU="baseline").stdout.split()[0] == "baseline"
    assert sorted(run(code, MLX_TOPK_CPU="baseline").stdout.split()) == sorted(names)
    done = run(code, MLX_TOPK_CPU="mmx")
    expected = f"[MLX_TOPK_CPU] this processor has the kernels {', '.join(names)}"
    assert f'{expected}, got "mmx".' in done.stderr


def test_a_kernel_can_be_selected_by_name_on_machines_without_a_gpu():
    for kernel in ("in_registers", "bound", "bound_split", "resident", "split"):
        assert run("import mlx.core", MLX_TOPK_GPU=f"only={kernel}").returncode == 0
    done = run("import mlx.core", MLX_TOPK_GPU="only=none")
    assert "only=KERNEL" in done.stderr
