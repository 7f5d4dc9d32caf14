"""The wheel for macOS that `make wheel-macos` builds: its content, and the checks of
macos/check.py for what a Mac's loader would refuse.

No Mac has loaded the wheel. For each check, a test plants a fault that it must report.
"""

import email
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import struct
import subprocess
import sys
import zipfile

import pytest

from test_wheel import ADDITIONS, LICENSE_OWNERS, ROOT, STOCK_VERSION

sys.path.append(str(ROOT))

WHEELS = sorted((ROOT / "dist" / "macos").glob("mlx-*.whl"))
BUILT = WHEELS and importlib.util.find_spec("lief")
if not BUILT and not os.environ.get("MLX_TOPK_NEEDS_MACOS_WHEEL"):
    pytest.skip("make wheel-macos has not been run", allow_module_level=True)

import lief  # noqa: E402

from macos import check, cross, macho  # noqa: E402

# make test-all builds the wheel first.
pytestmark = pytest.mark.slow


def digits(wheel):
    return wheel.stem.split("-")[2].removeprefix("cp")


def stock(wheel):
    return ROOT / "build/wheels/macos-arm64" / f"stock-3.{digits(wheel)[1:]}"


def interpreter(wheel):
    """Returns the Python that built the wheel. The wheel is for the same version."""
    return (stock(wheel) / "python").read_text()


def distribution(wheel):
    (found,) = importlib.metadata.distributions(name="mlx", path=[str(stock(wheel))])
    return found


def stock_files(wheel):
    return {
        str(f)
        for f in distribution(wheel).files
        if f.parts[0] == "mlx" and f.suffix != ".pyc"
    }


def expected_files(wheel):
    soabi = f"cpython-{digits(wheel)}-darwin.so"
    ours = {n.format(soabi=soabi, library="dylib") for n in ADDITIONS}
    return stock_files(wheel) | ours


def requirements(message):
    """Returns the (field, value) pairs of METADATA that must equal those of stock MLX.

    Spaces are removed and quotes unified, because builders write them differently.
    """
    fields = ("Requires-Python", "Provides-Extra", "Requires-Dist")
    return {
        (field, line.replace(" ", "").replace('"', "'"))
        for field in fields
        for line in message.get_all(field)
    }


def in_dist_info(wheel, name):
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (n for n in archive.namelist() if n.endswith(f".dist-info/{name}"))
        return archive.read(path)


def changed(wheel, folder, **changes):
    """Returns a copy of the wheel in which some files have other bytes or are missing.

    ``changes`` maps a file to its new bytes, or to None to leave the file out. The key
    is the last part of the file's path, up to its first dot.
    """
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            short = name.rsplit("/", 1)[-1].split(".")[0]
            data = changes.pop(short, data) if short in changes else data
            if data is not None:
                new.writestr(name, data)
    assert not changes
    return copy


def edited(wheel, name, edit):
    """Returns the bytes of a binary of the wheel after ``edit`` changed its object."""
    with zipfile.ZipFile(wheel) as archive:
        fat = lief.MachO.parse(list(archive.read(name)))
    edit(fat.at(0))
    return bytes(fat.at(0).write_to_bytes())


def complaints(wheel):
    return check.binaries(wheel, stock(wheel) / "mlx", interpreter(wheel))


@pytest.fixture(params=WHEELS or [None], ids=lambda wheel: wheel and wheel.name)
def wheel(request):
    assert request.param, "make wheel-macos has to run before this"
    return request.param


# ---- the content of the wheel ------------------------------------------------


def test_the_files_are_those_of_stock_for_macos_and_the_listed_additions(wheel):
    assert check.files(wheel, expected_files(wheel)) == []


def test_its_python_files_equal_those_of_the_repository(wheel):
    """A wheel of an earlier build could have other files."""
    with zipfile.ZipFile(wheel) as archive:
        for file in (ROOT / "python" / "mlx").rglob("*.py"):
            name = f"mlx/{file.relative_to(ROOT / 'python' / 'mlx').as_posix()}"
            assert archive.read(name) == file.read_bytes(), name


def test_files_of_stock_are_unchanged_but_for_the_stubs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        different = {
            name
            for name in stock_files(wheel)
            if archive.read(name) != (stock(wheel) / name).read_bytes()
        }
    assert different == {"mlx/core/__init__.pyi"}


def test_its_tag_is_for_one_python_on_arm64_and_macos_14(wheel):
    tag = f"cp{digits(wheel)}-cp{digits(wheel)}-macosx_14_0_arm64"
    assert wheel.name == f"mlx-{STOCK_VERSION}+topk.1-{tag}.whl"
    lines = in_dist_info(wheel, "WHEEL").decode().splitlines()
    assert [line for line in lines if line.startswith("Tag:")] == [f"Tag: {tag}"]
    assert "Root-Is-Purelib: false" in lines
    (theirs,) = (f for f in distribution(wheel).files if f.name == "WHEEL")
    assert f"Tag: {tag}" in theirs.read_text().splitlines()


def test_dependencies_and_entry_points_equal_those_of_stock(wheel):
    message = email.message_from_bytes(in_dist_info(wheel, "METADATA"))
    assert (message["Name"], message["Version"]) == ("mlx", f"{STOCK_VERSION}+topk.1")
    theirs = distribution(wheel)
    assert requirements(message) == requirements(theirs.metadata)
    assert any(r.startswith("mlx-metal==") for r in message.get_all("Requires-Dist"))
    scripts = in_dist_info(wheel, "entry_points.txt").decode()
    for point in theirs.entry_points:
        assert f"{point.name} = {point.value}" in scripts


def test_the_licences_of_all_parts_are_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        licences = [n for n in archive.namelist() if "/licenses/" in n]
        text = "".join(archive.read(n).decode() for n in licences)
    # The last one is that of metal-cpp.
    owners = [*LICENSE_OWNERS, "Apache License"]
    assert len(licences) == len(owners)
    assert all(owner in text for owner in owners)


def test_record_has_the_size_and_hash_of_every_file(wheel):
    assert check.record(wheel) == []


def test_pip_takes_it_for_macos_14_and_not_for_13(wheel, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    command += ["--python-version", digits(wheel), "--only-binary=:all:", str(wheel)]
    mac = ["--platform", "macosx_14_0_arm64", "--target", str(tmp_path / "mac")]
    older = ["--platform", "macosx_13_0_arm64", "--target", str(tmp_path / "older")]
    assert subprocess.run([*command, *mac]).returncode == 0
    assert (tmp_path / "mac" / check.module(wheel)).exists()
    assert subprocess.run([*command, *older], capture_output=True).returncode != 0


# ---- what a Mac's loader checks ----------------------------------------------


def test_the_loader_would_find_every_symbol_and_library(wheel):
    assert complaints(wheel) == []


def test_our_library_names_the_library_of_each_symbol(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        library = macho.read(pathlib.Path(archive.extract(check.LIBRARY, tmp_path)))
    assert set(library.imports.values()) <= {*check.SYSTEM, "@rpath/libmlx.dylib"}
    assert "@rpath/libmlx.dylib" in library.imports.values()


def test_no_path_of_the_machine_that_built_it_is_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in (check.LIBRARY, check.module(wheel)):
            assert str(ROOT).encode() not in archive.read(name), name


def test_mlxs_own_binaries_pass_what_ours_must(wheel):
    """MLX's own binaries load on Macs, so a fault in them is an error of the checks."""
    binaries = cross.mlx_binaries(stock(wheel) / "mlx")
    assert len(binaries) == 3
    for binary in binaries:
        assert binary.signature_faults == [] and binary.layout_fault == ""
        assert binary.is_arm64 and binary.minimum_os == check.MINIMUM_OS
    (core,) = (b for b in binaries if b.install_name is None)
    # Leave out symbols that the file defines itself and shares with other files.
    core.imports = {
        name: library
        for name, library in core.imports.items()
        if library != macho.COALESCED
    }
    exports = check.exported({}, stock(wheel) / "mlx")
    assert check.symbols(core, exports, interpreter(wheel)) == []


# ---- each check reports a planted fault --------------------------------------


@pytest.fixture
def compiled(tmp_path):
    """A function that compiles C source for macOS and returns its macho.Binary."""

    def compile_it(source, *options):
        (tmp_path / "planted.c").write_text(source)
        out = tmp_path / "planted.dylib"
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-macos.14.0"]
        command = [*zig, "-shared", *options, str(tmp_path / "planted.c"), "-o", out]
        subprocess.run(command, check=True, capture_output=True)
        return macho.read(out)

    return compile_it


def test_symbols_that_no_library_has_are_reported(wheel, compiled):
    source = """
        extern int no_such_thing(void), PyNoSuchThing(void), PyLong_FromLong(void);
        int planted(void) {
          return no_such_thing() + PyNoSuchThing() + PyLong_FromLong();
        }
    """
    binary = compiled(source, "-Wl,-undefined,dynamic_lookup")
    exports = check.exported({}, stock(wheel) / "mlx")
    assert check.symbols(binary, exports, interpreter(wheel)) == [
        "_PyNoSuchThing is not in Python",
        "_no_such_thing is not in Python",
    ]


def test_a_symbol_that_its_library_lacks_is_reported(wheel, compiled):
    binary = compiled("#include <stdlib.h>\nvoid *planted(void) { return malloc(1); }")
    assert binary.imports["_malloc"] == macho.LIBSYSTEM
    exports = check.exported({}, stock(wheel) / "mlx")
    exports[macho.LIBSYSTEM] -= {"_malloc"}
    assert check.symbols(binary, exports, interpreter(wheel)) == [
        f"_malloc is not in {macho.LIBSYSTEM}"
    ]


def test_a_second_cpp_runtime_is_reported(wheel, compiled):
    source = """
        extern int _Unwind_RaiseException(void *);
        int planted(void) { return _Unwind_RaiseException(0); }
    """
    exports = check.exported({}, stock(wheel) / "mlx")
    assert check.symbols(compiled(source), exports, interpreter(wheel)) == [
        "a C++ runtime of its own, beside the system's"
    ]


def test_a_newer_macos_and_a_wrong_name_are_reported(compiled):
    binary = compiled("int planted;", "-target", "aarch64-macos.15.0")
    found = check.load_commands(check.LIBRARY, binary)
    assert "for macOS (15, 0, 0), not (14, 0, 0)" in found
    assert any(c.endswith("not @rpath/libmlx_topk.dylib") for c in found)


def test_a_wrong_rpath_is_reported(wheel, tmp_path):
    def edit(binary):
        binary.rpath.path = "@loader_path/bin"

    name = check.module(wheel)
    copy = changed(wheel, tmp_path, _selection=edited(wheel, name, edit))
    found = "\n".join(complaints(copy))
    assert f"{name}: has the rpaths ['@loader_path/bin']" in found
    assert f"{name}: @rpath/libmlx_topk.dylib is not in any of" in found


def test_a_library_that_is_missing_is_reported(wheel, tmp_path):
    copy = changed(wheel, tmp_path, libmlx_topk=None)
    found = complaints(copy)
    assert f"{check.LIBRARY} is missing" in found
    assert any("@rpath/libmlx_topk.dylib is not in any of" in c for c in found)
    assert check.files(copy, expected_files(wheel)) == [f"{check.LIBRARY} is missing"]
    assert check.record(copy) == [f"{check.LIBRARY} is in RECORD and not in the wheel"]


def test_a_changed_byte_is_reported_by_signature_and_record(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        data = bytearray(archive.read(check.LIBRARY))
    data[0x3000] ^= 1
    copy = changed(wheel, tmp_path, libmlx_topk=bytes(data))
    (found,) = complaints(copy)
    assert re.fullmatch(rf"{check.LIBRARY}: page \d+ is not what was signed", found)
    assert check.record(copy) == [f"{check.LIBRARY} is not what RECORD says"]


def test_overlapping_tables_are_reported(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        data = bytearray(archive.read(check.LIBRARY))
    fat = lief.MachO.parse(list(data))
    command = fat.at(0).symbol_command
    # The field of LC_SYMTAB, at byte 16, that gives the offset of the strings.
    moved = struct.pack("<I", command.strings_offset - 16)
    data[command.command_offset + 16 : command.command_offset + 20] = moved
    copy = changed(wheel, tmp_path, libmlx_topk=bytes(data))
    assert any("LINKEDIT overlap" in complaint for complaint in complaints(copy))


def test_a_missing_signature_is_reported(wheel, tmp_path):
    unsigned = edited(wheel, check.LIBRARY, lambda binary: binary.remove_signature())
    copy = changed(wheel, tmp_path, libmlx_topk=unsigned)
    assert f"{check.LIBRARY}: no code signature" in complaints(copy)


def test_a_changed_requirement_is_noticed(wheel):
    data = in_dist_info(wheel, "METADATA")
    planted = data.replace(b"mlx-metal==", b"mlx-metal>=")
    messages = [email.message_from_bytes(d) for d in (data, planted)]
    assert requirements(messages[0]) != requirements(messages[1])


def test_the_metal_kernels_and_what_dispatches_them_are_in_the_library(wheel):
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read(check.LIBRARY)
    kernels = ROOT / "mlx" / "backend" / "metal" / "kernels"
    assert (kernels / "topk_arguments.h").read_bytes() in library
    # Functions of libmlx that launch kernels.
    for symbol in (b"get_command_encoder", b"dispatch_threadgroups", b"get_kernel"):
        assert symbol in library
