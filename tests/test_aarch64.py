"""The wheel for Linux on aarch64: its content, and its results in QEMU.

The tests that run in QEMU are those of x86-64, in processes of their own.
`make test-aarch64` runs more of them.
"""

import re
import subprocess
import sys
import zipfile

import pytest

from test_wheel import ADDITIONS, ROOT, STOCK_VERSION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

sys.path.append(str(ROOT))

from aarch64 import guest, run_tests, toolchain  # noqa: E402

# make test-all prepares what can be had here before it runs the tests.
if reason := run_tests.missing():
    pytest.skip(f"aarch64: {reason}", allow_module_level=True)

DIGITS = guest.version().replace(".", "")
SOABI = f"cpython-{DIGITS}-aarch64-linux-gnu.so"
(WHEEL,) = (ROOT / "dist/aarch64").glob(f"mlx-*-cp{DIGITS}-*.whl")
STOCK = ROOT / "build/wheels/linux-aarch64" / f"stock-{guest.version()}"
BINARIES = [f"mlx/_selection.{SOABI}", "mlx/lib/libmlx_topk.so"]
FORCED = ["bounded", "lanes", "select", "short_row"]


def passed(done):
    """Returns how many tests pytest ran, all of which must have passed."""
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return int(re.search(r"^(\d+) passed", done.stdout, re.MULTILINE).group(1))


def pytest_in_qemu(*arguments):
    """Runs pytest in QEMU. As QEMU is slow, it draws as few examples as make test."""
    return run_tests.pytest(
        *("-q", "--color=no", *arguments),
        env={"HYPOTHESIS_PROFILE": "quick"},
        capture_output=True,
    )


# ---- the wheel ---------------------------------------------------------------


def test_the_files_are_those_of_stock_for_aarch64_and_the_listed_additions():
    with zipfile.ZipFile(WHEEL) as wheel:
        names = {n for n in wheel.namelist() if n.startswith("mlx/") and n[-1] != "/"}
    expected = {n.format(soabi=SOABI, library="so") for n in ADDITIONS}
    record = STOCK / f"mlx-{STOCK_VERSION}.dist-info" / "RECORD"
    stock = {line.split(",")[0] for line in record.read_text().splitlines()}
    stock = {n for n in stock if n.startswith("mlx/") and not n.endswith(".pyc")}
    assert names == stock | expected


def test_its_tag_is_for_one_python_on_aarch64():
    assert WHEEL.name == (
        f"mlx-{STOCK_VERSION}+topk.1-cp{DIGITS}-cp{DIGITS}-manylinux_2_35_aarch64.whl"
    )
    with zipfile.ZipFile(WHEEL) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/WHEEL"))
        text = wheel.read(name).decode()
    assert f"Tag: cp{DIGITS}-cp{DIGITS}-manylinux_2_35_aarch64\n" in text


def test_its_python_files_equal_those_of_the_repository():
    """A wheel of an earlier build could have other files."""
    with zipfile.ZipFile(WHEEL) as wheel:
        for file in (ROOT / "python" / "mlx").rglob("*.py"):
            name = f"mlx/{file.relative_to(ROOT / 'python' / 'mlx').as_posix()}"
            assert wheel.read(name) == file.read_bytes(), name


@pytest.mark.parametrize("name", BINARIES)
def test_a_binary_is_for_aarch64_and_finds_its_libraries_by_its_own_place(
    name, tmp_path
):
    with zipfile.ZipFile(WHEEL) as wheel:
        binary = wheel.extract(name, tmp_path)
    readelf = toolchain.SYSTEM / "usr/bin/aarch64-linux-gnu-readelf"
    done = toolchain.run(
        readelf, "--file-header", "--dynamic", binary, capture_output=True, check=True
    )
    assert re.search(r"Machine: +AArch64", done.stdout)
    paths = re.findall(r"\(RUNPATH\).*\[(.*)\]", done.stdout)
    assert paths == ["$ORIGIN/lib" if "_selection" in name else "$ORIGIN"]
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout))
    assert "libmlx.so" in needed
    # auditwheel accepts these others.
    system = {"libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6"}
    assert needed <= {"libmlx.so", "libmlx_topk.so"} | system


# ---- its results -------------------------------------------------------------


def test_the_selftest_passes_and_names_the_processor():
    done = run_tests.python("-m", "mlx.selftest", "test", capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run_tests.python("-m", "mlx.selftest", "support", capture_output=True)
    assert re.search(r"^platform .*\baarch64\b", done.stdout, re.MULTILINE)
    assert re.search(r"^instructions +baseline$", done.stdout, re.MULTILINE)


def test_the_cpp_tests_pass():
    done = run_tests.cpp_tests(capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = int(re.search(r"^(\d+) checks, 0 failures$", done.stdout, re.M).group(1))
    assert checks > 1000


def test_the_contract_holds_with_each_algorithm():
    done = pytest_in_qemu("tests/test_topk.py")
    assert passed(done) > 300
    engines = dict(re.findall(r"(\w+) (\d+)[,\n]", done.stdout.split("by engine:")[1]))
    counts = {int(engines[name]) for name in ("kernel", *FORCED)}
    assert len(counts) == 1 and min(counts) > 40


def test_gradients_transforms_and_errors_are_right():
    files = [f"tests/{name}" for name in run_tests.QUICK if name != "test_topk.py"]
    assert passed(pytest_in_qemu(*files)) > 500


def test_a_failing_test_is_noticed(tmp_path):
    (tmp_path / "test_planted.py").write_text("""
import platform
def test_fails():
    assert platform.machine() != "aarch64"
""")
    done = pytest_in_qemu("-c", "/dev/null", tmp_path / "test_planted.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout


# ---- where it cannot be tested -----------------------------------------------


def test_the_reason_is_given_where_debian_packages_cannot_be_had(tmp_path):
    """Without apt-get on PATH, in a copy without what was unpacked before."""
    (tmp_path / "aarch64").mkdir()
    for file in (ROOT / "aarch64").glob("*.py"):
        (tmp_path / "aarch64" / file.name).write_bytes(file.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "aarch64.guest", sys.executable],
        cwd=tmp_path,
        env={"PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "aarch64: this needs Debian" in done.stderr
    assert (tmp_path / "build/aarch64/unavailable").read_text() == (
        "this needs Debian for x86-64\n"
    )
