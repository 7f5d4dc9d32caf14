"""The tool that edits a checkout of MLX, on small trees that are made here."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from upstream import apply, manifest  # noqa: E402
from upstream.edits import Edit, EditError, made  # noqa: E402

OURS = "// Of ours.\nint shared(int x);\n"

SOURCE = """\
int before();

int twice(int x) {
  if (x > 0) {
    return 2 * x; // }
  }
  return 0;
}

const char* text = R"(}{)";
int after();
"""

BASE = {
    "capability.json": {"title": "the base", "copies": ["src/ours.cpp"]},
    "edits/src/a.cpp.txt": (
        "==== after: int before\nint added();\n"
        "==== definition: int twice(\nint twice(int x);\n"
    ),
}
MORE = {
    "capability.json": {"title": "more of it", "needs": ["base"]},
    "files/src/replaced.cpp": "first\n",
    "edits/src/a.cpp.txt": "==== before: int after\nint more();\n",
    "edits/src/ours.cpp.txt": "==== after: int shared\nint shared_more();\n",
    "edits/README.txt": "==== after: Hello\nmore\n",
}
ALONE = {
    "capability.json": {"title": "by itself"},
    "files/docs/new/page.md": "A page.\n",
    "files/src/replaced.cpp": "second\n",
    "edits/README.txt": "==== before: Hello\nalone\n",
}


@pytest.fixture
def capabilities(tmp_path):
    return read(tmp_path, BASE, MORE, ALONE)


def read(tmp_path, base, more, alone):
    write(tmp_path / "src" / "ours.cpp", OURS)
    series = tmp_path / "series"
    shutil.rmtree(series, ignore_errors=True)
    names = {"1-base": base, "2-more": more, "3-alone": alone}
    for name, files in names.items():
        for file, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            write(series / name / file, text)
    return manifest.read(series, tmp_path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def tree(tmp_path):
    path = tmp_path / "tree"
    (path / "src").mkdir(parents=True)
    (path / "src" / "a.cpp").write_text(SOURCE)
    (path / "README").write_text("Hello")
    (path / ".gitignore").write_text("*.log\n")
    git(path, "init", "-q")
    commit(path)
    return path


def git(path, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", path, *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(path):
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "All of it")


def state(path):
    files = [f for f in path.rglob("*") if f.is_file() and ".git" not in f.parts]
    return {str(f.relative_to(path)): f.read_bytes() for f in files}


def refused(tree, capabilities, match, **options):
    before = state(tree)
    with pytest.raises(EditError, match=match):
        apply.run(tree, capabilities=capabilities, **options)
    assert state(tree) == before


def test_a_clean_tree_is_edited(tree, capabilities):
    apply.run(tree, capabilities=capabilities)
    assert (tree / "src" / "a.cpp").read_text() == (
        "int before();\nint added();\n\nint twice(int x);\n\n"
        'const char* text = R"(}{)";\nint more();\nint after();\n'
    )
    assert (tree / "src" / "ours.cpp").read_text() == OURS + "int shared_more();\n"
    assert (tree / "src" / "replaced.cpp").read_text() == "second\n"
    assert (tree / "README").read_text() == "alone\nHello\nmore\n"
    assert (tree / "docs" / "new" / "page.md").read_text() == "A page.\n"


def test_a_second_run_changes_nothing(tree, capabilities):
    apply.run(tree, capabilities=capabilities)
    once = state(tree)
    apply.run(tree, capabilities=capabilities)
    assert state(tree) == once


@pytest.mark.parametrize("committed", [["base"], ["alone"], ["base", "more", "alone"]])
def test_what_is_committed_is_not_edited_again(tree, capabilities, committed):
    apply.run(tree, capabilities=capabilities)
    everything = state(tree)
    apply.run(tree, undo=True, capabilities=capabilities)
    for name in committed:
        apply.run(tree, only=[name], capabilities=capabilities)
        commit(tree)
        apply.run(tree, only=committed[:1], capabilities=capabilities)
        assert git(tree, "status", "--porcelain") == ""
    apply.run(tree, capabilities=capabilities)
    assert state(tree) == everything


def test_undo_leaves_nothing(tree, capabilities):
    before = state(tree)
    apply.run(tree, capabilities=capabilities)
    apply.run(tree, undo=True, capabilities=capabilities)
    assert state(tree) == before
    assert not (tree / "docs").exists()
    assert git(tree, "status", "--porcelain") == ""


def test_undo_of_a_capability_also_undoes_those_that_need_it(tree, capabilities):
    apply.run(tree, only=["alone"], capabilities=capabilities)
    alone = state(tree)
    apply.run(tree, capabilities=capabilities)
    apply.run(tree, only=["base"], undo=True, capabilities=capabilities)
    assert state(tree) == alone


def test_only_applies_a_capability_and_those_that_it_needs(tree, capabilities):
    lines = apply.run(tree, only=["more"], capabilities=capabilities)
    assert [line.split(",")[0] for line in lines] == [
        "is there: base",
        "is there: more",
    ]
    assert not (tree / "docs").exists()
    assert (tree / "README").read_text() == "Hello\nmore\n"


def test_check_changes_nothing(tree, capabilities):
    before = state(tree)
    lines = apply.run(tree, check=True, capabilities=capabilities)
    assert lines[0] == "would be there: base, the base"
    assert state(tree) == before


@pytest.mark.parametrize(
    "file, content",
    [("src/a.cpp", SOURCE + "// mine\n"), ("other", "mine"), ("src/ours.cpp", "mine")],
)
@pytest.mark.parametrize("after", ["clean", "applied"])
def test_somebody_elses_changes_are_refused(tree, capabilities, file, content, after):
    if after == "applied":
        apply.run(tree, capabilities=capabilities)
    (tree / file).write_text(content)
    refused(tree, capabilities, file)
    refused(tree, capabilities, file, undo=True)


def test_a_file_that_git_ignores_is_not_overwritten(tree, tmp_path):
    alone = ALONE | {"files/page.log": "ours"}
    (tree / "page.log").write_text("theirs")
    refused(tree, read(tmp_path, BASE, MORE, alone), "page.log")


def test_a_committed_file_in_the_place_of_ours_is_refused(tree, capabilities):
    (tree / "src" / "ours.cpp").write_text("theirs")
    commit(tree)
    refused(tree, capabilities, r"src/ours\.cpp is there already")


def test_a_link_is_refused(tree, capabilities, tmp_path):
    (tree / "README").unlink()
    (tree / "README").symlink_to(tmp_path / "ours.cpp")
    commit(tree)
    refused(tree, capabilities, "README is not a plain file")


@pytest.mark.parametrize(
    "old, new, match",
    [
        ("int before", "int behind", "'int before' is missing"),
        ("int after", "int before(); int after", "'int before' is there 2 times"),
        ("int after();", "int after", "'int before' is missing"),
    ],
)
def test_a_wrong_anchor_is_named(tree, capabilities, old, new, match):
    source = SOURCE.replace(old, new)
    if "after();" in old:
        source = source.replace("int before", "int beforehand")
    (tree / "src" / "a.cpp").write_text(source)
    commit(tree)
    refused(tree, capabilities, match)


def test_all_wrong_anchors_are_named_at_once(tree, capabilities):
    (tree / "src" / "a.cpp").write_text("")
    (tree / "README").unlink()
    commit(tree)
    with pytest.raises(EditError) as problem:
        apply.run(tree, capabilities=capabilities)
    text = str(problem.value)
    assert "'int after' is missing" in text and "README is missing" in text


def test_a_write_that_fails_leaves_the_tree_unchanged(tree, capabilities, monkeypatch):
    before = state(tree)
    put = apply.Tree.put

    def full(self, file, content):
        if content and file == "README" and content != "Hello":
            raise OSError("no space")
        put(self, file, content)

    monkeypatch.setattr(apply.Tree, "put", full)
    with pytest.raises(OSError, match="no space"):
        apply.run(tree, capabilities=capabilities)
    assert state(tree) == before


@pytest.mark.parametrize("path", ["", "tree/src"])
def test_what_is_no_checkout_is_refused(tree, capabilities, tmp_path, path):
    with pytest.raises(EditError):
        apply.run(tmp_path / path, capabilities=capabilities)


def test_line_ends_stay(tree, capabilities):
    (tree / "README").write_bytes(b"Hello\r\nyou\r\n")
    commit(tree)
    apply.run(tree, capabilities=capabilities)
    assert (tree / "README").read_bytes() == b"alone\nHello\r\nmore\nyou\r\n"


def test_the_command_says_what_is_wrong(tree):
    def run(*options):
        command = [sys.executable, "-m", "upstream.apply", tree, *options]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    result = run("--check")
    assert result.returncode == 1
    assert "mlx/primitives.cpp is missing" in result.stderr
    assert "Nothing was changed" in result.stderr
    assert run("--only", "nothing").returncode == 2
    assert git(tree, "status", "--porcelain") == ""


# ---- the edits ----------------------------------------------------------------


def edit(kind, anchor, *lines, **more):
    return Edit("f", anchor, kind, "".join(f"{line}\n" for line in lines), **more)


def test_anchors_are_whole_words():
    assert made("int ab;\nint b;\n", edit("after", "b", "x")) == "int ab;\nint b;\nx\n"


def test_an_insert_that_contains_its_own_anchor_is_made_once():
    insert = edit("after", "list", "list more")
    once = made("list\n", insert)
    assert once == "list\nlist more\n" == made(once, insert)


def test_an_edit_with_times_2_replaces_two_bodies():
    content = "for (;;) {\n  if (x) {\n    y({});\n  }\n}\n" * 2
    body = edit("body", "if (x)", "    z();", times=2)
    once = made(content, body)
    assert once == "for (;;) {\n  if (x) {\n    z();\n  }\n}\n" * 2
    assert made(once, body) == once


def test_a_statement_may_begin_above_its_anchor():
    content = 'def(\n    "a",\n    [] { return 1; });\ndef(\n    "b");\n'
    change = edit("definition", '"a"', "ours();")
    once = made(content, change)
    assert once == 'ours();\ndef(\n    "b");\n' == made(once, change)


def test_a_statement_without_an_end_is_refused():
    with pytest.raises(EditError, match="has no end"):
        made("int f() {\n", edit("definition", "int f", "x"))


def test_two_edits_at_one_place_are_refused(tmp_path):
    alone = ALONE | {"edits/README.txt": MORE["edits/README.txt"]}
    with pytest.raises(EditError, match="edited twice"):
        read(tmp_path, BASE, MORE, alone)


@pytest.mark.parametrize("text", ["int x;\n", "", "==== instead: int\nint x;\n"])
def test_an_edit_without_a_valid_heading_is_refused(tmp_path, text):
    alone = ALONE | {"edits/src/a.cpp.txt": text}
    with pytest.raises(EditError, match=r"a\.cpp\.txt"):
        read(tmp_path, BASE, MORE, alone)


@pytest.mark.parametrize(
    "data, match",
    [
        ({"title": "", "replace": []}, "replace is not known"),
        ({"title": "", "copies": ["src/ours.cpp"]}, "a copy and a file"),
        ({"title": "", "needs": ["later"]}, "does not come before"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path, data, match):
    alone = ALONE | {"capability.json": data, "files/src/ours.cpp": "x"}
    with pytest.raises(EditError, match=match):
        read(tmp_path, BASE, MORE, alone)


def test_sizes_count_the_lines_that_are_added(tmp_path):
    alone = ALONE | {
        "files/python/tests/test_a.py": "1\n2\n",
        "edits/tests/CMakeLists.txt.txt": "==== after x2: a\n3\n",
    }
    capabilities = read(tmp_path, BASE, MORE, alone)
    assert capabilities["base"].sizes() == (2 + 1 + 1, 0)
    assert capabilities["alone"].sizes() == (1 + 1 + 1, 2 + 2)
    assert apply.sizes(capabilities)[-1] == "| `alone` |  | 3 | 4 | by itself |"
