"""Runs the preprocessor on Metal source and splits the result into tokens.

Each token knows the file and line that it came from.
"""

import re
import subprocess
from dataclasses import dataclass
from functools import cache

from .artifacts import CACHE

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|\\\n)|(?P<newline>\n)|(?P<directive>^\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)|(?P<name>[A-Za-z_]\w*)
    |(?P<operator>::|->|\+\+|--|<<=|>>=|<<|&&|\|\||[-+*/%&|^!=<>]=|.)""",
    re.X | re.M,
)
# A line marker of the preprocessor: the line number and file of the next line.
MARKER = re.compile(r'#\s*(?:line\s+)?(\d+)\s+"([^"]*)"')

# Metal's own headers. Each is replaced by an empty file, because the headers in shim/
# or frontend/ declare its content. builder.py and check.py include them.
METAL_HEADERS = [
    "metal_atomic",
    "metal_common",
    "metal_compute",
    "metal_geometric",
    "metal_integer",
    "metal_limits",
    "metal_logging",
    "metal_math",
    "metal_matrix",
    "metal_numeric",
    "metal_relational",
    "metal_simdgroup",
    "metal_simdgroup_matrix",
    "metal_stdlib",
    "metal_type_traits",
    "metal_types",
]


class SourceError(Exception):
    """Metal source that the preprocessor or a check of the pre-pass refused."""


@dataclass(slots=True)
class Token:
    kind: str
    text: str
    file: str
    line: int

    @property
    def blank(self):
        """Whether this is white space or a line marker."""
        return self.kind in ("space", "newline", "directive")


def tokenize(text):
    """Returns the tokens of preprocessed source, white space included."""
    tokens, file, line = [], "?", 0
    for match in TOKEN.finditer(text):
        kind, lexeme = match.lastgroup, match.group()
        if kind == "directive" and (marker := MARKER.match(lexeme)):
            line, file = int(marker[1]) - 1, marker[2]
        tokens.append(Token(kind, lexeme, file, line))
        line += lexeme.count("\n")
    return tokens


@cache
def _empty_headers():
    """Returns the folder of empty headers.

    Its path appears in the preprocessed source, which decides what is rebuilt, so the
    path must not change.
    """
    folder = CACHE / "headers"
    folder.mkdir(parents=True, exist_ok=True)
    for name in METAL_HEADERS:
        (folder / name).touch()
    return folder


def preprocess(path, include_dirs=(), defines=()):
    """Returns the text that Metal's preprocessor would hand to the compiler."""
    command = ["g++", "-E", "-x", "c++", "-std=c++17", "-nostdinc", "-undef"]
    command += ["-D__METAL__=1", "-D__METAL_VERSION__=310", "-D__APPLE_CC__=1"]
    command += [f"-I{_empty_headers()}", *(f"-I{d}" for d in include_dirs)]
    command += [*(f"-D{d}" for d in defines), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SourceError(done.stderr)
    return done.stdout


class Stream:
    """A list of tokens with the look-ups that the pre-pass needs."""

    def __init__(self, tokens):
        self.tokens = tokens

    def __getitem__(self, index):
        return self.tokens[index]

    def __len__(self):
        return len(self.tokens)

    def next(self, index, step=1):
        """Returns the index of the next token that is not blank; step -1 searches back.

        If there is none, the index is past the end, or negative when searching back.
        """
        index += step
        while 0 <= index < len(self.tokens) and self.tokens[index].blank:
            index += step
        return index

    def text_at(self, index):
        """Returns the text of one token, "" past either end."""
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def text(self, begin, end):
        """Returns the text of a range of tokens as it was written."""
        return "".join(token.text for token in self.tokens[begin:end])

    def flat(self, begin, end):
        """Returns the text on one line, with a space between tokens."""
        return " ".join(t.text for t in self.tokens[begin:end] if not t.blank)

    def newlines(self, begin, end):
        """Returns the line breaks of a range. They keep line numbers as they were."""
        return "".join(t.text for t in self.tokens[begin:end] if t.kind == "newline")

    def closing(self, index):
        """Returns the index of the bracket that closes the one at index."""
        opening = self.tokens[index].text
        closing = {"(": ")", "{": "}", "[": "]"}[opening]
        depth = 0
        for i in range(index, len(self.tokens)):
            token = self.tokens[i]
            if token.kind == "operator":
                depth += (token.text == opening) - (token.text == closing)
                if depth == 0:
                    return i
        token = self.tokens[index]
        place = f"{token.file}:{token.line}"
        raise SourceError(f"{place}: error: no '{closing}' closes this '{opening}'")

    def is_attribute(self, index):
        """Whether "[[" stands at index."""
        return self.text_at(index) == "[" and self.text_at(index + 1) == "["

    def attributes(self, index):
        """Returns the attributes between "[[" at index and "]]", and the index behind.

        An attribute is a pair of its name and the text between parentheses, or None.
        """
        end = self.closing(index)
        found = []
        for begin, stop in self.split(index + 2, end - 1):
            text = self.text(begin, stop).strip()
            match = re.match(r"([\w:]+)\s*(?:\((.*)\))?$", text, re.S)
            found.append(match.groups() if match else (text, None))
        return found, end + 1

    def split(self, begin, end):
        """Returns the ranges (begin, end) between commas outside of brackets."""
        depth, start, ranges = 0, begin, []
        for i in range(begin, end):
            if self.tokens[i].kind != "operator":
                continue
            text = self.tokens[i].text
            depth += (text in "([{<") - (text in ")]}>") - 2 * (text == ">>")
            if text == "," and depth == 0:
                ranges.append((start, i))
                start = i + 1
        return [*ranges, (start, end)]
