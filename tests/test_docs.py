"""The examples of the documentation do what they say."""

import doctest
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def without_fences(text):
    """doctest would take the closing fence for expected output."""
    return "\n".join("" if x.startswith("```") else x for x in text.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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
