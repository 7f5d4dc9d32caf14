"""tools/referees.py finds a Python for the newest versions, or says that it did not."""

import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT))

from tools import pythons, referees  # noqa: E402


def a_machine_with(monkeypatch, *versions):
    found = [
        pythons.Python(f"/bin/python3.{minor}", (3, minor), "") for minor in versions
    ]
    monkeypatch.setattr(pythons, "choose", lambda paths: (found, []))


@pytest.mark.parametrize(
    ("versions", "chosen"), [((10, 11, 12, 13), "12"), ((11, 14, 15), "14")]
)
def test_the_oldest_python_that_will_do_is_chosen(
    versions, chosen, monkeypatch, capsys
):
    a_machine_with(monkeypatch, *versions)
    referees.main()
    assert capsys.readouterr() == (f"/bin/python3.{chosen}\n", "")


def test_one_line_says_that_there_is_none(monkeypatch, capsys):
    a_machine_with(monkeypatch, 10, 11)
    referees.main()
    out, error = capsys.readouterr()
    assert out == ""
    assert error == (
        "The newest referees did not run: found no Python 3.12 or later with headers.\n"
    )


def test_the_versions_of_python_are_those_of_the_requirements():
    pins = (ROOT / "requirements-referees.txt").read_text()
    named = set(re.findall(r'python_version [<>]=? "([\d.]+)"', pins))
    assert named == {"{}.{}".format(*referees.OLDEST)}
