"""The table of every transform on every other, for each op: docs/transforms.md."""

import platform

import pytest
import transform_table


@pytest.fixture(scope="module")
def page():
    return transform_table.page()


@pytest.mark.skipif(
    platform.system() != "Linux", reason="a message in the page is of libstdc++"
)
def test_the_page_says_which_transforms_work_on_which(page):
    assert transform_table.PAGE.read_text() == page, (
        "run python tests/transform_table.py --write"
    )


@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp", "compile"])
def test_a_wrong_result_is_no_entry_of_the_table(transform, monkeypatch):
    right = transform_table.TRANSFORMS[transform]

    def wrong(f):
        g = right(f)
        return lambda x: [out + 1 for out in transform_table.listed(g(x))]

    monkeypatch.setitem(transform_table.TRANSFORMS, transform, wrong)
    with pytest.raises(AssertionError):
        transform_table.attempt("`sort`", transform, "checkpoint")
