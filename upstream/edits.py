"""Text edits at anchors: what an edit is, and how one is made in a file's text.

An anchor is a short token of the file that is edited; it must occur as often as the
edit says, on lines of its own. Every edit is the same when it is made again.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class EditError(Exception):
    """An edit that cannot be made, and where."""


@dataclass(frozen=True)
class Edit:
    file: str
    anchor: str
    kind: str  # before, after, function, block
    text: str
    times: int = 1
    start: str = ""  # where the statement begins, if above the anchor

    @property
    def place(self):
        return f"{self.file}: {self.anchor!r}"


def made(content, edit):
    """``content`` with ``edit`` made, once however often it is asked for."""
    lines = content.splitlines(keepends=True)
    new = edit.text.splitlines(keepends=True)
    inserts = edit.kind in ("before", "after")
    if not inserts and edit.anchor not in edit.text and edit.text in content:
        return content
    for number in reversed(lines_with(lines, edit)):
        while edit.start and edit.start not in lines[number]:
            number -= 1
            if number < 0:
                raise EditError(f"{edit.place} has no {edit.start!r} above it.")
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
    """The lines that the anchor is on, but for those that the edit has put there."""
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
        raise EditError(f"{edit.place} {what}, and should be {edit.times} time(s).")
    return found


def without_ours(lines, found, new, ours):
    copies = {
        i - ours[0] + n
        for i in found
        for n in ours
        if lines[i - ours[0] : i - ours[0] + len(new)] == new
    }
    return [i for i in found if i not in copies]


# ---- what belongs together in C++ --------------------------------------------

# A comment, a literal, or one character that counts.
TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>\w*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])+'|[(){};]",
    re.DOTALL,
)


def extent(lines, number, edit):
    """From the line of the anchor to where its statement or its braces end."""
    if lines[number].startswith("#"):
        return number, number + 1
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
            if edit.kind == "block":
                if opened is None:
                    break
                first, last = opened, token.start()
            return number + lines_of(text, first), number + lines_to(text, last)
    raise EditError(f"{edit.place} has no end.")


def lines_of(text, offset):
    """The first line that begins at ``offset`` or after it."""
    return len(text[:offset].splitlines())


def lines_to(text, offset):
    """The first line that begins after ``offset``; of a block, its last."""
    before = text[:offset].splitlines(keepends=True)
    return len(before) - (not before[-1].strip() and not before[-1].endswith("\n"))


# ---- our own files -----------------------------------------------------------


def item(text, anchor, source):
    """A declaration or definition of ours with its comment, by what it says."""
    edit = Edit(source, anchor, "function", "")
    lines = text.splitlines(keepends=True)
    (number,) = lines_with(lines, edit)
    first, last = extent(lines, number, edit)
    # Its type may have a line of its own.
    above = r"\s*(//|/?\*)|template\b|(?!public|private)[\w:<>*&, ]*\w[>*&]*$"
    while first and re.match(above, lines[first - 1]):
        first -= 1
    return lines, first, last


def taken(text, anchors, source):
    """Items of a file, with a blank line after each."""
    found = []
    for anchor in anchors:
        lines, first, last = item(text, anchor, source)
        found.append("".join(lines[first:last]))
    return "\n".join(found)


def without(text, anchors, source):
    """A file without some items, nor the second of the blank lines round each."""
    for anchor in anchors:
        lines, first, last = item(text, anchor, source)
        if lines[first - 1 : first] == lines[last : last + 1] == ["\n"]:
            last += 1
        text = "".join(lines[:first] + lines[last:])
    return text.rstrip("\n") + "\n" if anchors else text


def replaced(text, pairs, source):
    """A file with words of ours changed, each of which must be in it."""
    for old, new in pairs:
        if old not in text:
            raise EditError(f"{source}: {old!r} is missing.")
        text = text.replace(old, new)
    return text
