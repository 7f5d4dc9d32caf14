"""The errors of an installation that cannot work say what is wrong, and only that.

The tests need no network: they make each wrong installation from files.
"""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from test_wheel import STOCK, STOCK_VERSION, WHEEL

VERSION = f"{STOCK_VERSION}+topk.1"
OTHER_VERSION = "0.32.3"
IMPORT = "import mlx.core"
PIP = f'pip install "mlx-cpu=={STOCK_VERSION}'

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="makes a broken libmlx for Linux's loader"
)


def extract_wheel(folder):
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(folder)
    return folder


def link(target, name):
    target.mkdir(parents=True, exist_ok=True)
    (target / name.name).symlink_to(name)


def add_back_end(folder, version=STOCK_VERSION, library=None):
    """Puts stock's ``mlx-cpu`` into a folder, with another version or library."""
    link(folder, STOCK / "mlx_cpu.libs")
    original = STOCK / f"mlx_cpu-{STOCK_VERSION}.dist-info"
    metadata = (original / "METADATA").read_text()
    info = folder / f"mlx_cpu-{version}.dist-info"
    info.mkdir()
    line = f"\nVersion: {STOCK_VERSION}\n"
    assert line in metadata
    (info / "METADATA").write_text(metadata.replace(line, f"\nVersion: {version}\n"))
    if library is None:
        link(folder / "mlx" / "lib", STOCK / "mlx/lib/libmlx.so")
    else:
        (folder / "mlx" / "lib").mkdir(parents=True, exist_ok=True)
        (folder / "mlx" / "lib" / "libmlx.so").write_bytes(library)
    return folder


def add_stock(folder):
    """Puts stock's ``mlx`` and ``mlx-cpu`` into a folder."""
    add_back_end(folder)
    for file in (STOCK / "mlx").iterdir():
        if file.name != "lib":
            link(folder / "mlx", file)
    shutil.copytree(
        STOCK / f"mlx-{STOCK_VERSION}.dist-info",
        folder / f"mlx-{STOCK_VERSION}.dist-info",
    )
    return folder


def python(*folders, arguments):
    """Runs Python where only these folders have packages."""
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        env={"PYTHONPATH": os.pathsep.join(map(str, folders))},
        cwd="/",
        capture_output=True,
        text=True,
    )


def import_error(*folders, code=IMPORT):
    """Returns the last line of the error that some code raises."""
    done = python(*folders, arguments=["-c", code])
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: [mlx] "), done.stderr
    return last


def head(folder):
    return (
        f"ImportError: [mlx] mlx {VERSION} needs a back end of exactly version "
        f"{STOCK_VERSION} in its own folder, {folder}. Installed: "
    )


# ---- the back end ------------------------------------------------------------


def test_without_a_back_end(tmp_path):
    message = import_error(extract_wheel(tmp_path))
    assert message.startswith(f"{head(tmp_path)}none. ")
    assert message.endswith(f'Install one, for example: {PIP}"')


def test_a_back_end_in_another_folder(tmp_path):
    ours, other = extract_wheel(tmp_path / "a"), add_back_end(tmp_path / "b")
    for folders in ((ours, other), (other, ours)):
        message = import_error(*folders)
        state = f"mlx-cpu {STOCK_VERSION}, but in another folder: {other}. "
        assert message.startswith(head(ours) + state)
        assert "Install a back end into the first folder" in message
        assert "another version" not in message


EMPTY_LIBRARY = ["-shared", "-nostdlib", "-x", "c", "/dev/null", "-o"]


def test_a_back_end_of_another_version(tmp_path):
    compiler = os.environ.get("CC", "cc")
    library = tmp_path / "libmlx.so"
    subprocess.run([compiler, *EMPTY_LIBRARY, library], check=True)
    ours = extract_wheel(tmp_path / "a")
    add_back_end(ours, OTHER_VERSION, library.read_bytes())
    message = import_error(ours)
    state = f"mlx-cpu {OTHER_VERSION}, another version. The error was: "
    assert message.startswith(head(ours) + state)
    assert "undefined symbol" in message
    assert message.endswith(f'Replace it, for example: {PIP}"')
    assert "another folder" not in message


def test_a_libmlx_of_another_version_that_has_every_symbol(tmp_path):
    library = (STOCK / "mlx/lib/libmlx.so").read_bytes()
    old, new = f"\0{STOCK_VERSION}\0".encode(), f"\0{OTHER_VERSION}\0".encode()
    assert library.count(old) == 1
    ours = extract_wheel(tmp_path / "a")
    add_back_end(ours, OTHER_VERSION, library.replace(old, new))
    message = import_error(ours)
    assert message.startswith(f"{head(ours)}mlx-cpu {OTHER_VERSION}, another version")
    assert f"the libmlx that was loaded is {OTHER_VERSION}" in message


def test_a_damaged_back_end(tmp_path):
    ours = add_back_end(extract_wheel(tmp_path / "a"), library=b"")
    message = import_error(ours)
    state = f"mlx-cpu {STOCK_VERSION}, but it cannot be loaded. The error was: "
    assert message.startswith(head(ours) + state)
    assert "file too short" in message and "--force-reinstall" in message
    assert "another" not in message


def test_the_back_end_beside_mlx_counts_also_if_another_folder_has_one(tmp_path):
    ours = add_back_end(extract_wheel(tmp_path / "a"))
    other = add_back_end(tmp_path / "b", OTHER_VERSION, b"")
    for folders in ((ours, other), (other, ours)):
        done = python(*folders, arguments=["-c", f"{IMPORT}; print('imported')"])
        assert done.stdout == "imported\n", done.stderr


# ---- another mlx -------------------------------------------------------------


@pytest.fixture
def hidden(tmp_path):
    """A folder with stock MLX, and one with the wheel, in the order of sys.path."""
    ours = add_back_end(extract_wheel(tmp_path / "ours"))
    return add_stock(tmp_path / "stock"), ours


def hidden_message(stock, ours):
    return (
        f"[mlx] mlx {VERSION} is installed in {ours}, but Python takes mlx.core from "
        f"{stock}, where stock MLX or another build is. Uninstall that one, or "
        f"let {ours} come first on Python's path (sys.path)."
    )


def test_stock_mlx_in_a_folder_that_comes_first(hidden):
    for code in (f"{IMPORT}, mlx._selection", "import mlx._selection"):
        message = import_error(*hidden, code=code)
        assert message == "ImportError: " + hidden_message(*hidden)


@pytest.mark.parametrize("task", ["test", "perf", "support"])
def test_the_selftest_tests_no_other_mlx(hidden, task):
    done = python(*hidden, arguments=["-m", "mlx.selftest", task])
    assert (done.returncode, done.stdout) == (2, hidden_message(*hidden) + "\n")


def test_the_selftest_prints_the_error_of_the_import(tmp_path):
    ours = extract_wheel(tmp_path)
    done = python(ours, arguments=["-m", "mlx.selftest", "support"])
    assert done.returncode == 2 and "Installed: none" in done.stdout


def test_stock_mlx_in_a_folder_that_comes_later_is_not_used(hidden):
    code = "import mlx.core as mx; print(mx.selection_info()['folder'])"
    done = python(*reversed(hidden), arguments=["-c", code])
    assert done.stdout.strip() == str(hidden[1]), done.stderr


def test_the_extension_cannot_be_imported_before_mlx_core(hidden):
    _, ours = hidden
    message = import_error(ours, code="import mlx._selection")
    assert message.endswith("cannot be imported on its own. Import mlx.core.")
    code = "import mlx.core, mlx._selection; print('imported')"
    done = python(ours, arguments=["-c", code])
    assert done.stdout == "imported\n", done.stderr
