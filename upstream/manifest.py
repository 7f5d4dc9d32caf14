"""Reads series/, which says what each capability changes in MLX's tree.

A capability is a directory NUMBER-NAME. It contains

* ``capability.json`` with its ``title``, the capabilities that it ``needs``, and
  ``copies``: the files of this repository, as paths or globs, that MLX's tree gets
  byte for byte;
* ``files/``: the files that only MLX's tree has, at their paths there;
* ``edits/``: for each edited file of MLX, PATH.txt with the texts to insert. The line
  above each text says where it goes, for example ``==== before: array logsumexp(`` or
  ``==== body x2: calc_grad.find(``. The kinds of place are those of ``edits.Edit``.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from upstream.edits import KINDS, ROOT, Edit, EditError

SERIES = Path(__file__).resolve().parent / "series"
HEAD = re.compile(rf"==== ({'|'.join(KINDS)})(?: x(\d+))?: (.+)\n")


@dataclass(frozen=True)
class Capability:
    name: str
    title: str
    needs: tuple
    copies: tuple
    files: dict  # path in MLX's tree: content, copies included
    edits: tuple

    def sizes(self):
        """Returns how many lines the capability adds outside tests, and to tests."""
        added = {False: 0, True: 0}
        for path, text in self.texts():
            is_test = path.startswith(("tests/", "python/tests/"))
            added[is_test] += len(text.splitlines())
        return added[False], added[True]

    def texts(self):
        yield from self.files.items()
        for edit in self.edits:
            yield edit.file, edit.text * edit.times


def read_edits(path, file):
    """Yields the edits of ``file`` that ``path`` describes."""
    head, *parts = re.split(r"^(==== .*\n)", path.read_text(), flags=re.MULTILINE)
    if head.strip() or not parts:
        raise EditError(f"{path} must begin with a line that says where its text goes.")
    for place, text in zip(parts[::2], parts[1::2], strict=True):
        match = HEAD.fullmatch(place)
        if not match:
            raise EditError(
                f"{path}: {place.strip()!r} does not say where the text goes."
            )
        kind, times, anchor = match.groups()
        yield Edit(file, anchor, kind, text, int(times or 1))


def files_under(directory):
    """Returns the files under ``directory`` by their paths in it."""
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path for path in found}


def copied(patterns, root):
    """Yields the paths of the files that ``patterns``, paths or globs, stand for."""
    for pattern in patterns:
        found = sorted(path for path in root.glob(pattern) if path.is_file())
        if not found:
            raise EditError(f"There is no {pattern} to copy.")
        yield from (path.relative_to(root).as_posix() for path in found)


def read_capability(directory, root):
    data = json.loads((directory / "capability.json").read_text())
    unknown = data.keys() - {"title", "needs", "copies"}
    if unknown:
        raise EditError(f"{directory.name}: {', '.join(unknown)} is not known.")
    copies = tuple(copied(data.get("copies", []), root))
    files = {name: (root / name).read_text() for name in copies}
    for name, path in files_under(directory / "files").items():
        if name in files:
            raise EditError(
                f"{directory.name}: {name} is both a copy and a file in files/."
            )
        files[name] = path.read_text()
    edits = []
    for name, path in files_under(directory / "edits").items():
        edits += read_edits(path, name.removesuffix(".txt"))
    name = directory.name.partition("-")[2]
    needs = tuple(data.get("needs", []))
    return Capability(name, data["title"], needs, copies, files, tuple(edits))


def read(directory=SERIES, root=ROOT):
    """Returns the capabilities by name, each after those that it needs."""
    capabilities = {}
    places = set()
    for path in sorted(directory.iterdir()):
        capability = read_capability(path, root)
        if not set(capability.needs) <= capabilities.keys():
            raise EditError(
                f"{path.name} needs a capability that does not come before it."
            )
        for edit in capability.edits:
            place = (edit.file, edit.anchor, edit.kind)
            if place in places:
                raise EditError(f"{path.name}: {edit.place} is edited twice.")
            places.add(place)
        capabilities[capability.name] = capability
    return capabilities


def with_needs(names, capabilities):
    """Returns ``names`` and what they need, in order."""
    wanted = set(names)
    for name in reversed(capabilities):
        if name in wanted:
            wanted.update(capabilities[name].needs)
    return [name for name in capabilities if name in wanted]


def with_dependents(names, capabilities):
    """Returns ``names`` and what needs them, in order."""
    wanted = set(names)
    for name, capability in capabilities.items():
        if wanted.intersection(capability.needs):
            wanted.add(name)
    return [name for name in capabilities if name in wanted]
