"""make wheels: which Pythons it builds for, the package index, two equal builds."""

import functools
import http.server
import json
import os
import pathlib
import platform
import subprocess
import sys
import threading
import zipfile

import pytest

from test_wheel import ADDITIONS, EXTRA, ROOT, STOCK_VERSION, run, stock_distribution

sys.path.append(str(ROOT))

from tools import compare_wheels, pythons, wheel_index, wheels
from tools import target as targets

VERSION = f"{STOCK_VERSION}+topk.1"
BUILT = sorted((ROOT / "dist" / "wheelhouse").glob("mlx-*.whl"))
MACHINE = f"{platform.system()} {platform.machine()}"
NATIVE = {
    "Linux x86_64": "linux-x86_64",
    "Linux aarch64": "linux-aarch64",
    "Darwin arm64": "macos-arm64",
}

needs_wheels = pytest.mark.skipif(not BUILT, reason="make wheels has not been run")


# ---- Pythons -----------------------------------------------------------------


def fake_python(folder, **answers):
    """Writes a program that answers as the interpreter that ``answers`` describes."""
    path = folder / f"python{len(list(folder.iterdir()))}"
    default = {
        "executable": str(path),
        "implementation": "cpython",
        "version": [3, 12],
        "headers": True,
        "special": False,
    }
    path.write_text(f"#!/bin/sh\necho '{json.dumps(default | answers)}'\n")
    path.chmod(0o755)
    return str(path)


def test_every_version_without_a_usable_python_is_named(tmp_path):
    good = fake_python(tmp_path, version=[3, 12])
    newest = fake_python(tmp_path, version=[3, 77])
    bare = fake_python(tmp_path, version=[3, 11], headers=False)
    threaded = fake_python(tmp_path, version=[3, 14], special=True)
    other = fake_python(tmp_path, version=[3, 10], implementation="pypy")
    old = fake_python(tmp_path, version=[3, 9])
    paths = [good, newest, bare, threaded, other, old, str(tmp_path / "none")]
    found, missing = pythons.choose(paths)
    assert [python.executable for python in found] == [good, newest]
    assert missing == [
        f"CPython 3.10: {other} is pypy",
        f"CPython 3.11: {bare} has no headers (Python.h)",
        "CPython 3.13: no interpreter found",
        f"CPython 3.14: {threaded} is a debug or free-threaded build",
        "CPython 3.15: no interpreter found",
    ]


def test_the_first_usable_python_of_a_version_is_chosen(tmp_path):
    bare = fake_python(tmp_path, headers=False)
    good, later = fake_python(tmp_path), fake_python(tmp_path)
    found, _ = pythons.choose([bare, good, later])
    assert [python.executable for python in found] == [good]


def test_this_python_is_found_on_path(monkeypatch):
    if not pythons.query(sys.executable) or pythons.query(sys.executable).fault:
        pytest.skip("this Python cannot build extensions")
    name = "python{}.{}".format(*sys.version_info)
    base = pathlib.Path(sys.base_prefix, "bin")
    if not (base / name).exists():
        pytest.skip(f"{base} has no {name}")
    monkeypatch.setenv("PATH", str(base))
    found, _ = pythons.choose(pythons.candidates())
    assert sys.version_info[:2] in [python.version for python in found]


@pytest.mark.parametrize(
    "tag, expected",
    [
        ("cp312-cp312-manylinux_2_35_x86_64", ("cp312", "cp312", "linux_x86_64")),
        ("cp310-cp310-manylinux_2_35_aarch64", ("cp310", "cp310", "linux_aarch64")),
        ("cp313-cp313-macosx_26_0_arm64", ("cp313", "cp313", "macosx_26_0_arm64")),
    ],
)
def test_the_wheel_is_for_the_platform_of_the_mlx_that_it_is_built_from(tag, expected):
    target = targets.Target.__new__(targets.Target)
    target.tags = tag.split("-")
    assert target.wheel_tags == expected


def test_a_python_of_another_version_than_mlx_is_refused(tmp_path):
    answers = {"cache_tag": "cpython-399", "include": "/", "multiarch": ""}
    with pytest.raises(SystemExit, match="is cpython-399, and "):
        targets.Target(stock_distribution(), fake_python(tmp_path, **answers))


# ---- the package index -------------------------------------------------------


def fake_wheel(folder, name, requires_python=">=3.10", text="x = 1\n"):
    """Writes a wheel of ``mlx`` that pip installs, with one module."""
    version = name.split("-")[1]
    info = f"mlx-{version}.dist-info"
    python, abi, tag = name.removesuffix(".whl").split("-")[2:]
    files = {
        "mlx_fake.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: mlx\nVersion: {version}\n"
        f"Requires-Python: {requires_python}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        f"Tag: {python}-{abi}-{tag}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return folder / name


@pytest.fixture
def serve():
    """Serves a folder. Returns the address and the list of the paths asked for."""
    servers = []

    def start(folder):
        asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments):
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def pip(*arguments):
    """Runs pip without the settings of this machine."""
    command = [sys.executable, "-m", "pip", "--isolated", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
        cwd="/",
    )


def test_pip_installs_the_wheel_that_fits_from_the_index(tmp_path, serve):
    fake_wheel(tmp_path, f"mlx-{VERSION}-cp27-cp27m-win32.whl")
    fake_wheel(tmp_path, "mlx-9.0-py3-none-any.whl", requires_python=">=3.99")
    fake_wheel(tmp_path, f"mlx-{VERSION}-py3-none-any.whl")
    wheel_index.write(tmp_path)
    address, asked = serve(tmp_path)
    options = ["--index-url", f"{address}/simple", "--no-cache-dir"]
    done = pip("install", *options, "--dry-run", "--ignore-installed", "mlx")
    assert f"Would install mlx-{VERSION}" in done.stdout, done.stderr
    # pip read the metadata before any wheel, and of the wheel that fits only.
    kinds = [path.rsplit(".", 1)[-1] for path in asked[1:]]
    assert kinds[0] == "metadata" and kinds.count("metadata") == 1, asked
    done = pip("install", *options, "--target", tmp_path / "site", f"mlx=={VERSION}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "mlx_fake.py").exists()


def test_pip_refuses_a_wheel_that_is_not_the_one_of_the_index(tmp_path, serve):
    name = f"mlx-{VERSION}-py3-none-any.whl"
    fake_wheel(tmp_path, name)
    wheel_index.write(tmp_path)
    fake_wheel(tmp_path, name, text="x = 2\n")
    options = ["--index-url", f"{serve(tmp_path)[0]}/simple", "--no-cache-dir"]
    done = pip("install", *options, "--target", tmp_path / "site", "mlx")
    assert done.returncode != 0 and "DO NOT MATCH THE HASHES" in done.stderr


def test_the_sums_are_what_sha256sum_expects(tmp_path):
    wheel = fake_wheel(tmp_path, f"mlx-{VERSION}-py3-none-any.whl")
    wheel_index.write(tmp_path)
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    if sys.platform == "darwin":
        check[:1] = ["shasum", "-a", "256"]
    assert run(*check, cwd=tmp_path) == f"{wheel.name}: OK"
    wheel.write_bytes(b"other")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode != 0


# ---- two builds --------------------------------------------------------------


def wheels_of(folder, **entries):
    """Writes a folder with one wheel. entries: {file's name: (bytes, mode, year)}."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "mlx-1-py3-none-any.whl", "w") as archive:
        for name, (data, mode, year) in entries.items():
            info = zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0))
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return folder


def test_what_differs_between_two_builds_is_named(tmp_path):
    same = {"a": (b"abc", 0o644, 2000), "b": (b"", 0o644, 2000)}
    first = wheels_of(tmp_path / "first", **same)
    assert compare_wheels.differences(first, wheels_of(tmp_path / "same", **same)) == []
    changes = {
        "a: 1 bytes differ, the first at offset 2": same | {"a": (b"abd", 0o644, 2000)},
        "a: 3 and 4 bytes": same | {"a": (b"abcd", 0o644, 2000)},
        "a: date_time (2000, 1, 1, 0, 0, 0) and (2001, 1, 1, 0, 0, 0)": same
        | {"a": (b"abc", 0o644, 2001)},
        f"a: external_attr {0o644 << 16} and {0o755 << 16}": same
        | {"a": (b"abc", 0o755, 2000)},
        "b is in one only": {"a": same["a"]},
        "the files are in another order": dict(reversed(same.items())),
    }
    for number, (message, entries) in enumerate(changes.items()):
        second = wheels_of(tmp_path / str(number), **entries)
        found = compare_wheels.differences(first, second)
        assert f"mlx-1-py3-none-any.whl: {message}" in found, found
    (tmp_path / "empty").mkdir()
    assert compare_wheels.differences(first, tmp_path / "empty") == [
        f"mlx-1-py3-none-any.whl: only in {first}"
    ]


def clone(folder, umask):
    """Clones this repository's last commit. The clone uses the environment here."""
    run("git", "clone", "-q", "--no-hardlinks", ROOT, folder, umask=umask)
    (folder / ".venv").symlink_to(pathlib.Path(sys.prefix))
    return folder


def build(folder, umask, **variables):
    """Runs make wheels for this Python and platform. Returns the folder of wheels."""
    # make must not install anything.
    installed = ["-o", ".venv/.tools", "-o", ".venv/.wheels"]
    python = pathlib.Path(sys.executable).resolve()
    choice = [f"PLATFORMS={NATIVE[MACHINE]}", f"PYTHONS={python}"]
    environment = {**os.environ, "CCACHE_DISABLE": "1", **variables}
    # CMake has no flags for this type, so nothing is optimized. With kernels for two
    # types only, a build takes a fraction of the time: the other kernels have the same
    # source. NDEBUG is set as in a release: an assert would name the folder.
    environment |= {"MLX_TOPK_BUILD_TYPE": "None", "CXXFLAGS": "-DNDEBUG"}
    environment |= {"MLX_TOPK_FEW_TYPES": "ON"}
    environment.pop("SOURCE_DATE_EPOCH", None)
    options = {"cwd": folder, "env": environment, "umask": umask, "timeout": 1500}
    run("make", *installed, "wheels", *choice, **options)
    return folder / "dist" / "wheelhouse"


@pytest.mark.slow  # compiles everything twice
@pytest.mark.timeout(3200)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="clones the repository")
def test_two_builds_of_one_commit_are_equal(tmp_path):
    """In other folders, at other times, with other settings of the shell."""
    home = tmp_path / "home"
    home.mkdir()
    one = clone(tmp_path / "a", 0o022)
    other = clone(tmp_path / "another-folder" / "b", 0o077)
    first = build(one, 0o022, TZ="UTC")
    settings = {"TZ": "Asia/Tokyo", "HOME": str(home), "LC_ALL": "C", "USER": "other"}
    second = build(other, 0o077, **settings)
    assert len(list(first.glob("*.whl"))) == 1
    assert compare_wheels.differences(first, second) == []


# ---- what make wheels built --------------------------------------------------


def members(wheel):
    """Returns {path: bytes} of the files, without the entries for folders."""
    with zipfile.ZipFile(wheel) as archive:
        return {n: archive.read(n) for n in archive.namelist() if not n.endswith("/")}


@needs_wheels
@pytest.mark.slow
def test_the_tags_are_those_of_mlxs_own_wheels():
    for wheel in BUILT:
        python, abi, tag = wheel.stem.split("-")[2:]
        assert python == abi
        assert tag in (
            "manylinux_2_35_x86_64",
            "manylinux_2_35_aarch64",
            "macosx_14_0_arm64",
        )


@needs_wheels
@pytest.mark.slow
@pytest.mark.parametrize("wheel", BUILT, ids=lambda wheel: wheel.name)
def test_the_files_are_those_of_stock_and_the_listed_additions(wheel):
    python, _, tag = wheel.stem.split("-")[2:]
    (target,) = (p for p in wheels.PLATFORMS if p.tag == tag)
    stock = target.folder / f"stock-3.{python.removeprefix('cp3')}"
    record = (stock / f"mlx-{STOCK_VERSION}.dist-info" / "RECORD").read_text()
    expected = {line.split(",")[0] for line in record.splitlines()}
    expected = {n for n in expected if n.startswith("mlx/") and not n.endswith(".pyc")}
    (core,) = (name for name in expected if name.startswith("mlx/core."))
    names = {"soabi": core.removeprefix("mlx/core."), "library": "so"}
    if target.name == "macos-arm64":
        names["library"] = "dylib"
    expected |= {name.format(**names) for name in ADDITIONS}
    assert {name for name in members(wheel) if name.startswith("mlx/")} == expected


@needs_wheels
@pytest.mark.slow
def test_the_library_and_our_other_files_are_the_same_for_every_python():
    platforms = {}
    for wheel in BUILT:
        platforms.setdefault(wheel.stem.split("-")[-1], []).append(members(wheel))
    for group in platforms.values():
        suffix = "dylib" if "mlx/lib/libmlx_topk.dylib" in group[0] else "so"
        for name in ADDITIONS:
            if "soabi" not in name:
                path = name.format(library=suffix)
                assert len({files[path] for files in group}) == 1, path


def native_pythons():
    """Returns the interpreters here for which there is a wheel of this platform."""
    found, _ = pythons.choose(pythons.candidates()) if BUILT else ([], [])
    ending = "_" + platform.machine()
    tags = {w.stem.split("-")[2] for w in BUILT if w.stem.endswith(ending)}
    return [p for p in found if f"cp{p.name.replace('.', '')}" in tags]


def install_with_pip(python, environment, index, requirement):
    run(python, "-m", "venv", environment)
    options = ["-q", "--extra-index-url", index, requirement, "numpy"]
    run(environment / "bin" / "python", "-m", "pip", "install", *options, timeout=800)


def install_with_uv(python, environment, index, requirement):
    programs = environment.with_name("uv")
    run(sys.executable, "-m", "pip", "install", "-q", "--target", programs, "uv")
    uv = programs / "bin" / "uv"
    run(uv, "venv", "-q", "--python", python, environment)
    options = ["-q", "--python", environment, "--index", index, requirement, "numpy"]
    run(uv, "pip", "install", *options, timeout=800)


@needs_wheels
@pytest.mark.slow
@pytest.mark.timeout(900)  # the index of PyPI is asked for the other packages
@pytest.mark.parametrize("install", [install_with_pip, install_with_uv])
@pytest.mark.parametrize("python", native_pythons(), ids=lambda python: python.name)
def test_each_wheel_installs_and_passes_the_selftest(python, install, tmp_path, serve):
    index = serve(BUILT[0].parent)[0] + "/simple"
    environment = tmp_path / "environment"
    install(python.executable, environment, index, f"mlx{EXTRA}=={VERSION}")
    program = environment / "bin" / "python"
    said = run(program, "-m", "mlx.selftest", "test", "--device", "cpu")
    assert "selftest passed" in said and VERSION in said
