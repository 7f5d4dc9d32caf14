"""The series of changes to MLX's tree: sizes, copies, anchors, and its Metal kernel."""

import functools
import os
import pathlib
import re
import struct
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from metal import emulator  # noqa: E402
from upstream import apply, duplicates, manifest  # noqa: E402
from upstream.edits import made  # noqa: E402

HEADER = ROOT / "build" / "stock" / "mlx" / "include"


@pytest.fixture(scope="module")
def series():
    return manifest.read()


def test_the_first_capabilities_are_small_and_need_no_later_ones(series):
    first = ["fixes", "topk", "option", "metal"]
    offers = ["row-plan", "metal-long", "cpu-simd"]
    assert list(series) == first + offers
    for name in first:
        assert series[name].sizes()[0] <= 500
        assert not set(series[name].needs) & set(offers)


def test_the_page_has_the_table_of_sizes(series):
    page = (ROOT / "docs" / "upstream.md").read_text()
    assert "\n".join(apply.sizes(series)) in page


def test_copies_are_identical_to_their_sources(series):
    for capability in series.values():
        for path in capability.copies:
            assert capability.files[path].encode() == (ROOT / path).read_bytes()


def test_files_have_a_licence_line_and_end_with_one_newline(series):
    for capability in series.values():
        for content in capability.files.values():
            assert content.startswith(("// Copyright", "# Copyright"))
            assert content.endswith("\n") and not content.endswith("\n\n")


def test_includes_are_there_when_they_are_needed(series):
    """Each prefix of the series has the files of ours that it includes."""
    ours = {path for capability in series.values() for path in capability.files}
    ours |= {str(p.relative_to(ROOT)) for p in ROOT.glob("overlay/**/*.h")}
    have = set()
    for capability in series.values():
        have |= set(capability.files)
        for path, text in capability.texts():
            included = set(re.findall(r'^#include "([^"]+)"', text, re.MULTILINE))
            assert included & ours <= have, path


def test_inserted_lists_of_sources_name_the_files_that_exist(series):
    """After each capability, the lists name every .cpp file and no missing file.

    They also name every header of the folder kernels/topk.
    """
    have, named = set(), set()
    for capability in series.values():
        have |= {name for name in capability.files if name.endswith((".cpp", ".h"))}
        for edit in capability.edits:
            if edit.file.endswith("CMakeLists.txt"):
                folder = os.path.dirname(edit.file)
                text = edit.text.replace("${CMAKE_CURRENT_SOURCE_DIR}/", "")
                for name in re.findall(r"[\w./-]+\.(?:cpp|h)\b", text):
                    named.add(os.path.normpath(os.path.join(folder, name)))
        assert named <= have, capability.name
        kernels = "mlx/backend/metal/kernels/topk/"
        for name in have - named:
            assert name.endswith(".h") and not name.startswith(kernels), name


def test_anchors_are_found_in_the_headers_of_stock(series):
    contents = {}
    for capability in series.values():
        for change in capability.edits:
            path = HEADER / change.file
            if path.exists() and change.file not in capability.files:
                content = contents.get(change.file, path.read_text())
                contents[change.file] = made(content, change)
    assert set(contents) >= {"mlx/ops.h"}
    for file, content in contents.items():
        assert content != (HEADER / file).read_text()


# ---- the kernel of the capability `metal` -------------------------------------------


@pytest.fixture(scope="module")
def short_rows(series, tmp_path_factory):
    folder = tmp_path_factory.mktemp("metal")
    for name, text in series["metal"].files.items():
        write(folder / name, text)
    name = "topk_register_float32_4"
    source = folder / "one.metal"
    source.write_text(
        '#include "mlx/backend/metal/kernels/topk.h"\n'
        f'instantiate_kernel("{name}", topk_register, order_float32, 4)\n'
    )
    library = emulator.build(source, include_dirs=[folder])
    return functools.partial(library.launch, name)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("in_order", [True, False])
def test_the_kernel_of_the_capability_metal(short_rows, largest, in_order):
    """Selects along the first axis, so that rows and results are strided."""
    size, rows, k = 100, 3, 5
    rng = np.random.default_rng(0)
    a = rng.integers(0, 20, (size, rows)).astype(np.float32)
    values = np.empty((k, rows), np.float32)
    indices = np.empty((k, rows), np.uint32)
    # TopKArguments. Results that are not in order are written from the end.
    out = (0, rows) if in_order else ((k - 1) * rows, -rows)
    arguments = struct.pack(
        "<Q4I4q8I",
        *(rows, size, k, 0, 0),
        *(0, rows, *out),
        *(0, not largest, 0, True, True, False, 1, 0),
    )
    axes = np.array([rows, 1, 1], np.int64)
    short_rows(
        {0: a, 1: values, 2: indices, 3: arguments, 4: axes},
        threadgroups=(1, rows, 1),
        threads=32,
        outputs=(1, 2),
    )
    want = np.argsort(-a if largest else a, axis=0, kind="stable")[:k]
    np.testing.assert_array_equal(indices, want if in_order else want[::-1])
    np.testing.assert_array_equal(values, np.take_along_axis(a, indices, 0))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# ---- duplicated code ----------------------------------------------------------------


def test_nothing_in_upstream_is_duplicated_elsewhere():
    assert duplicates.found(ROOT) == []


def test_six_equal_lines_are_found(tmp_path):
    lines = [f"  call({i});" for i in range(6)]
    write(tmp_path / "upstream" / "a.cpp", "\n".join(["// Ours", *lines, "}"]))
    write(tmp_path / "mlx" / "b.cpp", "\n\n".join(["int f() {", *lines]))
    (found,) = duplicates.found(tmp_path)
    assert found == "upstream/a.cpp:2 and mlx/b.cpp:3: call(0);"
    write(tmp_path / "mlx" / "b.cpp", "\n".join(lines[:5]))
    assert duplicates.found(tmp_path) == []
