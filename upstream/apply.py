"""python -m upstream.apply PATH [--check] [--only CAPABILITY] [--undo]
python -m upstream.apply --sizes

Edits a clean checkout of MLX. ``git diff`` in the checkout then shows the edits. Makes
all edits or none: if anchors are missing or ambiguous, names them and changes nothing.
"""

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

from upstream import manifest
from upstream.edits import EditError, made


class Tree:
    """A git checkout: its files in the commit HEAD, and its files as they are now."""

    def __init__(self, path):
        self.path = Path(path).resolve()
        top = self.git("rev-parse", "--show-toplevel").strip()
        if Path(top).resolve() != self.path:
            raise EditError(f"{path} is not the top of a git checkout, {top} is.")
        self.tracked = set(
            self.git("ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")
        )

    def git(self, *arguments):
        command = ["git", "-C", str(self.path), *arguments]
        result = subprocess.run(command, capture_output=True)
        if result.returncode:
            raise EditError(result.stderr.decode().strip() or f"{self.path}: no git.")
        return result.stdout.decode()

    def at_head(self, file):
        return self.git("show", f"HEAD:{file}") if file in self.tracked else None

    def now(self, file):
        path = self.path / file
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise EditError(f"{file} is not a plain file.")
        return path.read_bytes().decode() if path.exists() else None

    def changed(self):
        status = self.git(
            "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames"
        )
        return [entry[3:] for entry in status.split("\0") if entry]

    def write(self, contents):
        """Writes all of ``contents``. Restores all files if one cannot be written."""
        before = {file: self.now(file) for file in contents}
        try:
            for file, content in contents.items():
                self.put(file, content)
        except OSError:
            for file, content in before.items():
                self.put(file, content)
            raise

    def put(self, file, content):
        path = self.path / file
        if content == self.now(file):
            return
        if content is None:
            path.unlink()
            for parent in path.relative_to(self.path).parents[:-1]:
                if any((self.path / parent).iterdir()):
                    break
                (self.path / parent).rmdir()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())


def touched(capabilities):
    files = {}
    for capability in capabilities.values():
        files |= dict.fromkeys(capability.files)
        files |= dict.fromkeys(edit.file for edit in capability.edits)
    return list(files)


def version_of(file, content, capabilities):
    """Returns the number of the capability that gave ``file`` this ``content``.

    Finds it even if later capabilities have edited the file. Returns -1 if the file
    does not exist (``content`` is None), and None if no capability gave it this
    content.
    """
    if content is None:
        return -1
    changes = [
        (number, [edit for edit in capability.edits if edit.file == file])
        for number, capability in enumerate(capabilities.values())
    ]
    changes = [(number, edits) for number, edits in changes if edits]
    for number, capability in enumerate(capabilities.values()):
        if file not in capability.files:
            continue
        later = [edits for other, edits in changes if other >= number]
        for size in range(len(later) + 1):
            for chosen in itertools.combinations(later, size):
                version = capability.files[file]
                for edit in itertools.chain.from_iterable(chosen):
                    version = made(version, edit)
                if version == content:
                    return number
    return None


def edited(names, capabilities, base):
    """Returns the contents of the files once the capabilities ``names`` are applied."""
    contents = dict(base)
    problems = []
    for number, name in enumerate(capabilities):
        if name not in names:
            continue
        for file, content in capabilities[name].files.items():
            version = version_of(file, base[file], capabilities)
            if version is None:
                problems.append(f"{file} is there already, with other content.")
            elif version < number:
                contents[file] = content
        for edit in capabilities[name].edits:
            try:
                if contents[edit.file] is None:
                    raise EditError(f"{edit.file} is missing.")
                contents[edit.file] = made(contents[edit.file], edit)
            except EditError as problem:
                problems.append(str(problem))
    if problems:
        raise EditError("\n".join(problems))
    return contents


def subsets(capabilities):
    """Yields every set of capabilities that contains all that its members need.

    The smallest come first.
    """
    for size in range(len(capabilities) + 1):
        for names in itertools.combinations(capabilities, size):
            if manifest.with_needs(names, capabilities) == list(names):
                yield list(names)


def applied(tree, capabilities, base):
    """Returns the capabilities that the tree has beyond HEAD. Refuses other changes."""
    now = {file: tree.now(file) for file in base}
    strange = [file for file in tree.changed() if file not in base]
    # Files that git ignores are not in changed(), but may have the path of one of ours.
    least = [file for file in base if base[file] != now[file]]
    for names in subsets(capabilities):
        try:
            contents = edited(names, capabilities, base)
        except EditError:
            continue
        least = min(least, [f for f in base if contents[f] != now[f]], key=len)
        if not least and not strange:
            return names
    files = ", ".join([*strange, *least])
    raise EditError(f"The tree has changes that are not this tool's: {files}.")


def run(path, only=(), undo=False, check=False, capabilities=None):
    """Edits the checkout and returns a line for each capability that is there or gone.

    If it raises EditError, it has changed nothing.
    """
    capabilities = capabilities or manifest.read()
    tree = Tree(path)
    base = {file: tree.at_head(file) for file in touched(capabilities)}
    have = applied(tree, capabilities, base)
    if undo:
        gone = manifest.with_dependents(only or capabilities, capabilities)
        want = [name for name in have if name not in gone]
    else:
        needed = manifest.with_needs(only or capabilities, capabilities)
        want = [name for name in capabilities if name in {*have, *needed}]
    contents = edited(want, capabilities, base)
    if not check:
        tree.write(contents)
    return [
        f"{'would be' if check else 'is'} {'there' if name in want else 'gone'}: "
        f"{name}, {capabilities[name].title}"
        for name in capabilities
        if name in {*have, *want}
    ]


def sizes(capabilities):
    """Returns a table of the lines that each capability adds."""
    rows = [
        "capability | needs | lines of code and docs | lines of tests | what it does"
    ]
    rows.append(" | ".join(["---"] * 5))
    for name, capability in capabilities.items():
        code, tests = capability.sizes()
        needs = ", ".join(f"`{need}`" for need in capability.needs)
        rows.append(f"`{name}` | {needs} | {code} | {tests} | {capability.title}")
    return [f"| {row} |" for row in rows]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="upstream.apply", description=__doc__)
    capabilities = manifest.read()
    parser.add_argument("path", nargs="?", help="the top of a clean checkout of MLX")
    parser.add_argument(
        "--sizes", action="store_true", help="print how many lines each capability adds"
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--undo", action="store_true", help="take the edits back")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(capabilities),
        default=[],
        metavar="CAPABILITY",
        help=f"only this and what it needs, one of: {', '.join(capabilities)}",
    )
    options = parser.parse_args(arguments)
    if options.sizes:
        print("\n".join(sizes(capabilities)))
        return 0
    if options.path is None:
        parser.error("the path of a checkout of MLX is missing")
    try:
        lines = run(
            options.path, options.only, options.undo, options.check, capabilities
        )
    except EditError as problem:
        print(problem, "Nothing was changed.", sep="\n", file=sys.stderr)
        return 1
    print("\n".join(lines) or "No capability is in the tree.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
