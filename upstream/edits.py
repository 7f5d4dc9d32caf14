"""Edits a file of MLX's tree: inserts texts at anchors, or replaces the code there.

An anchor is a short piece of text of the edited file, not cut in the middle of a word.
It must occur as often as the edit says. An edit that is made again changes nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("before", "after", "definition", "body")


class EditError(Exception):
    """Says which edit cannot be made, and why."""


@dataclass(frozen=True)
class Edit:
    """A text and its place.

    ``before`` and ``after`` insert whole lines next to the anchor's line.
    ``definition`` puts the text in place of the C++ definition or statement that the
    anchor is in, and ``body`` in place of what its braces enclose.
    """

    file: str
    anchor: str
    kind: str
    text: str
    times: int = 1

    @property
    def place(self):
        return f"{self.file}: {self.anchor!r}"


def made(content, edit):
    """Returns ``content`` with ``edit`` made. Changes nothing if it is made already."""
    lines = content.splitlines(keepends=True)
    new = edit.text.splitlines(keepends=True)
    inserts = edit.kind in ("before", "after")
    if not inserts and edit.anchor not in edit.text and edit.text in content:
        return content
    for number in reversed(lines_with(lines, edit)):
        if inserts:
            insert(lines, number, new, edit.kind)
        else:
            first, last = extent(lines, number, edit)
            lines[first:last] = new
    return "".join(lines)


def insert(lines, number, new, kind):
    after = kind == "after"
    first = number + 1 if after else max(number - len(new), 0)
    if lines[first : first + len(new)] != new:
        place = number + after
        if lines[place - 1 : place] and not lines[place - 1].endswith("\n"):
            lines[place - 1] += "\n"
        lines[place:place] = new


def lines_with(lines, edit):
    """Returns the numbers of the lines that contain the anchor.

    Lines that this edit inserted earlier do not count.
    """
    anchor = edit.anchor
    left = r"(?<!\w)" if re.match(r"\w", anchor) else ""
    right = r"(?!\w)" if re.search(r"\w$", anchor) else ""
    pattern = re.compile(left + re.escape(anchor) + right)
    found = [i for i, line in enumerate(lines) if pattern.search(line)]
    new = edit.text.splitlines(keepends=True)
    ours = [i for i, line in enumerate(new) if pattern.search(line)]
    if ours and edit.kind in ("before", "after"):
        found = without_ours(lines, found, new, ours)
    if len(found) != edit.times:
        what = "is missing" if not found else f"is there {len(found)} times"
        raise EditError(f"{edit.place} {what}, expected {edit.times} time(s).")
    return found


def without_ours(lines, found, new, ours):
    copies = {
        i - ours[0] + n
        for i in found
        for n in ours
        if lines[i - ours[0] : i - ours[0] + len(new)] == new
    }
    return [i for i in found if i not in copies]


# ---- where a C++ statement or definition begins and ends -------------------------

# A comment, a literal, or a character that opens or ends a group or a statement.
TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>\w*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])+'|[(){};]",
    re.DOTALL,
)

# A line after which a new statement begins.
COMPLETE = re.compile(r"\s*$|\s*(//|/?\*|#|case\b)|.*[;{}:]\s*$")


def extent(lines, number, edit):
    """Returns the first line that the edit replaces, and the one after the last."""
    if lines[number].startswith("#"):
        return number, number + 1
    if edit.kind == "definition":
        while number and not COMPLETE.match(lines[number - 1]):
            number -= 1
    text = "".join(lines[number:])
    depth = 0
    opened = None
    for token in TOKEN.finditer(text):
        mark = token.group()
        if mark == "{" and depth == 0:
            opened = token.end()
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(mark, 0)
        if depth == 0 and mark in "};":
            first, last = (0, token.end())
            if edit.kind == "body":
                if opened is None:
                    break
                first, last = opened, token.start()
            return number + lines_of(text, first), number + lines_to(text, last)
    raise EditError(f"{edit.place}: the code at the anchor has no end.")


def lines_of(text, offset):
    """Returns the number of the first line that begins at ``offset`` or after it."""
    return len(text[:offset].splitlines())


def lines_to(text, offset):
    """Returns how many lines of ``text`` begin before ``offset``.

    The line of ``offset`` does not count if only blanks come before ``offset`` in it.
    """
    before = text[:offset].splitlines(keepends=True)
    return len(before) - (not before[-1].strip() and not before[-1].endswith("\n"))
