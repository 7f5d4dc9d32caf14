"""Finds passages that are in upstream/ and elsewhere in the repository too.

A passage is six equal lines in a row. Blank lines, includes, licence lines and lines
without a word are ignored.
"""

import re
import subprocess

PASSAGE = 6
SUFFIXES = (".cpp", ".h", ".metal", ".cu", ".py", ".md", ".txt", ".json")
PASSED_OVER = re.compile(r"\W*$|#include\b|(//|#) Copyright\b|==== ")


def files_of(root):
    """Returns the files that git knows or, without git, all files under ``root``."""
    command = ["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"]
    if (root / ".git").exists():
        listed = subprocess.run(command, check=True, capture_output=True, text=True)
        paths = [root / name for name in listed.stdout.split("\0") if name]
    else:
        paths = root.rglob("*")
    return sorted(p for p in paths if p.suffix in SUFFIXES and p.is_file())


def passages(path):
    """Yields each passage of a file, with the number of its first line."""
    lines = enumerate(path.read_text().splitlines(), 1)
    lines = [(i, line.strip()) for i, line in lines]
    lines = [(i, line) for i, line in lines if not PASSED_OVER.match(line)]
    for first in range(len(lines) - PASSAGE + 1):
        chosen = lines[first : first + PASSAGE]
        yield chosen[0][0], tuple(line for _, line in chosen)


def found(root):
    """Returns a line for each passage outside upstream/ that is in upstream/ too."""
    ours, theirs = {}, []
    for path in files_of(root):
        name = path.relative_to(root)
        if name.parts[0] == "upstream":
            for number, passage in passages(path):
                ours.setdefault(passage, f"{name}:{number}")
        else:
            theirs += [(f"{name}:{i}", passage) for i, passage in passages(path)]
    return [
        f"{ours[passage]} and {place}: {passage[0]}"
        for place, passage in theirs
        if passage in ours
    ]
