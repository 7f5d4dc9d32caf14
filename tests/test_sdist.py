"""The source distribution is complete, and so is the wheel that is built from it."""

import email
import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import pytest

from test_wheel import ROOT, STOCK, WHEEL, run

pytestmark = pytest.mark.slow

# What setuptools writes into every source distribution.
GENERATED = {"PKG-INFO", "setup.cfg"}
NOT_SHIPPED = (".ci/", ".github/")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation"]
    run(*command, "--outdir", folder, ROOT, env=environment())
    (path,) = folder.glob("mlx-*.tar.gz")
    return path


def environment():
    """Returns an environment in which builds find stock MLX, CMake and Ninja."""
    programs = pathlib.Path(sys.executable).parent
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(STOCK)}


def test_it_has_every_file_of_the_repository(sdist):
    if not (ROOT / ".git").exists():
        pytest.skip("needs the list of files that git has")
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = {name for name in done.stdout.splitlines() if (ROOT / name).exists()}
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    names = {name for name in names if not name.startswith("mlx.egg-info/")}
    expected = {name for name in tracked if not name.startswith(NOT_SHIPPED)}
    assert names - GENERATED - expected == set()
    assert expected - names == set()


def test_it_has_the_licence_files_that_its_metadata_names(sdist):
    with tarfile.open(sdist) as archive:
        top = archive.getnames()[0].split("/", 1)[0]
        text = archive.extractfile(f"{top}/PKG-INFO").read()
        metadata = email.message_from_bytes(text)
        assert metadata["License-Expression"] == "MIT"
        for name in metadata.get_all("License-File"):
            assert f"{top}/{name}" in archive.getnames()


@pytest.mark.timeout(1600)  # compiles everything, without what was built before
def test_a_wheel_that_pip_builds_from_it_has_the_same_files(sdist, tmp_path):
    """pip installs all that the build needs, as for a user who installs the sdist."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", sdist, "-w", tmp_path]
    # CMake has no flags for this type, so nothing is optimized. With kernels for two
    # types only, a build takes a fraction of the time. The files have the same names.
    plain = {**os.environ, "MLX_TOPK_BUILD_TYPE": "None", "MLX_TOPK_FEW_TYPES": "ON"}
    run(*command, "--no-deps", env=plain, timeout=1500)
    (built,) = tmp_path.glob("mlx-*.whl")
    assert built.name == WHEEL.name
    with zipfile.ZipFile(built) as new, zipfile.ZipFile(WHEEL) as old:
        assert sorted(new.namelist()) == sorted(old.namelist())
