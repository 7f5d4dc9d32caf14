"""The documentation: its examples do what they say, and what it names exists."""

import doctest
import fnmatch
import itertools
import pathlib
import re

import mlx.core
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "metal/emulator/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
INSTALLED = pathlib.Path(mlx.core.__file__).parents[1]
# The folders to which paths in pages are relative: in the repository and in the wheel.
BASES = [ROOT, ROOT / "python", INSTALLED, INSTALLED / "mlx/include"]
FOLDERS = (
    r"benchmarks|docs|examples|macos|metal|mlx|overlay|python|tests|tools|upstream"
)
# Pages that name files of MLX's source tree, which is not in this repository.
OF_ANOTHER_TREE = {ROOT / "docs/upstream.md"}

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


def without_fences(text):
    """Blanks the code fences, which doctest would take for expected output."""
    return "\n".join("" if x.startswith("```") else x for x in text.splitlines())


@each_page
def test_examples_of_the_page(page):
    text = without_fences(page.read_text())
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert len(test.examples) == page.read_text().count(">>> ")
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert result.failed == 0 and result.attempted == len(test.examples)


def test_the_pages_have_examples():
    pages = [page.name for page in PAGES if ">>> " in page.read_text()]
    assert {"README.md", "topk.md", "gradients.md", "routing.md", "mlx-lm.md"} <= set(
        pages
    )


@pytest.mark.parametrize("name", ["topk"])
def test_examples_of_docstrings(name):
    import mlx.core as mx

    text = getattr(mx, name).__doc__
    test = doctest.DocTestParser().get_doctest(text, {"mx": mx}, name, None, 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


# ---- links, and names of files ------------------------------------------------------


def anchors(page):
    """Returns the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def broken_links(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken


def expanded(path):
    """Returns the paths that a pattern stands for: a/b.h and a/c.h for a/{b,c}.h."""
    parts = re.split(r"\{([^}]*)\}", path)
    choices = [p.split(",") if i % 2 else [p] for i, p in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def missing_files(text):
    """Returns paths in backticks that are neither in the repository nor installed."""
    paths = re.findall(rf"`((?:{FOLDERS})/[\w./{{}},*-]*)`", text)
    return [
        path
        for path in itertools.chain(*map(expanded, paths))
        if not any(found for base in BASES for found in base.glob(path.rstrip("/")))
        # Pages name a library without its suffix, which differs between systems.
        and not any(found for base in BASES for found in base.glob(path + ".*"))
    ]


@each_page
def test_links_of_the_page_lead_somewhere(page):
    assert broken_links(page) == []


@each_page
def test_files_that_the_page_names_exist(page):
    assert page in OF_ANOTHER_TREE or missing_files(page.read_text()) == []


def test_a_broken_link_and_a_missing_file_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A head: `x`\n[a](page.md#a-head-x) [b](no.md) [c](#no)\n")
    assert broken_links(page) == ["no.md", "#no"]
    assert missing_files("`mlx/no.h` `tests/*.py` `mlx/{topk,no}.h` `no/file`") == [
        "mlx/no.h",
        "mlx/no.h",
    ]


def test_every_page_can_be_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    pages = [page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if f"({page})" not in readme] == []


def test_the_page_about_tests_names_every_test_file():
    page = (ROOT / "docs/testing.md").read_text()
    named = re.findall(r"`(test_[\w*]+\.py)`", page)
    files = {file.name for file in (ROOT / "tests").glob("test_*.py")}
    assert sorted(files - {x for n in named for x in fnmatch.filter(files, n)}) == []


# ---- variables -----------------------------------------------------------------------

NAME = r"MLX_[A-Z_]*[A-Z]"


def variables_that_are_read():
    """Returns the names of our variables in C++, Python, CMake and the Makefile."""
    found = set()
    for folder in ("mlx", "overlay", "python", "macos", "tests", "tools", "upstream"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".cpp", ".h", ".py") and file != pathlib.Path(__file__):
                # Only whole strings count. MLX's macros begin with MLX_, too.
                found |= set(re.findall(rf'"({NAME})"', file.read_text()))
    for file in ("setup.py", "CMakeLists.txt", "Makefile"):
        text = (ROOT / file).read_text()
        found |= set(re.findall(rf'"({NAME})"', text))
        found |= set(re.findall(rf"-D({NAME})=", text))
        found |= set(re.findall(rf"^(?:option|set)\(({NAME})\b", text, re.MULTILINE))
        found |= set(re.findall(rf"\$\(({NAME})\)", text))
    return found


def test_variables_are_in_the_page_of_variables_and_no_others():
    page = (ROOT / "docs/environment.md").read_text()
    described = set(re.findall(rf"`({NAME})`", page))
    assert described == variables_that_are_read()
