"""Compares the wheels in two folders byte for byte, and says what differs.

    python -m tools.compare_wheels FOLDER FOLDER

The exit status is 1 if anything does.
"""

import pathlib
import sys
import zipfile


def differences(first, second):
    """Returns a line for each difference between the wheels of two folders."""
    one, other = ({p.name: p for p in f.glob("*.whl")} for f in (first, second))
    lines = [
        f"{name}: only in {first if name in one else second}"
        for name in sorted(one.keys() ^ other.keys())
    ]
    for name in sorted(one.keys() & other.keys()):
        if one[name].read_bytes() != other[name].read_bytes():
            lines += [f"{name}: {x}" for x in in_archives(one[name], other[name])]
    return lines


def in_archives(first, second):
    """Returns a line for each difference between two ZIP archives that differ."""
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        names = one.namelist(), other.namelist()
        lines = [
            f"{name} is in one only" for name in sorted(set(names[0]) ^ set(names[1]))
        ]
        for name in sorted(set(names[0]) & set(names[1])):
            lines += [f"{name}: {x}" for x in in_entries(one, other, name)]
    if not lines and names[0] != names[1]:
        lines.append("the files are in another order")
    return lines or ["the archives differ, but not in their files"]


def in_entries(one, other, name):
    """Returns what differs between the files ``name`` of two archives."""
    data, other_data = one.read(name), other.read(name)
    if len(data) != len(other_data):
        yield f"{len(data)} and {len(other_data)} bytes"
    elif data != other_data:
        places = [
            i for i, (x, y) in enumerate(zip(data, other_data, strict=True)) if x != y
        ]
        yield f"{len(places)} bytes differ, the first at offset {places[0]}"
    info, other_info = one.getinfo(name), other.getinfo(name)
    for field in ("date_time", "external_attr", "compress_size", "create_version"):
        if getattr(info, field) != getattr(other_info, field):
            yield f"{field} {getattr(info, field)} and {getattr(other_info, field)}"


def main():
    found = differences(*map(pathlib.Path, sys.argv[1:3]))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
