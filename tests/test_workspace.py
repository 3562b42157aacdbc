"""A workspace is immutable, holds safe paths only, and is known by its content."""

from contextlib import suppress
from dataclasses import FrozenInstanceError

import pytest
from dulwich.index import validate_path, validate_path_element_hfs, validate_path_element_ntfs
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ToolError
from agent.workspace import (
    MAX_DATA_BYTES,
    MAX_FILE_BYTES,
    MAX_FILES,
    Workspace,
    is_published,
    path_fault,
    safe_path,
    unfit,
)


def test_a_change_makes_a_new_workspace_and_leaves_the_old_one() -> None:
    old = Workspace()
    new = old.write("index.html", b"<p>1").put({"data.csv": b"a\n"})
    assert (list(old), list(new)) == ([], ["data.csv", "index.html"])
    assert list(new.drop("data.csv", "nowhere")) == ["index.html"]
    with pytest.raises(TypeError):
        new.files["index.html"] = b"2"  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        new.files = {}  # type: ignore[misc]


def test_workspaces_with_the_same_files_are_equal_in_whatever_order_they_were_written() -> None:
    one = Workspace().write("a.js", b"1").write("b.js", b"2")
    two = Workspace().write("b.js", b"2").write("a.js", b"0").write("a.js", b"1")
    assert (one, one.digest, hash(one), one.manifest) == (two, two.digest, hash(two), two.manifest)
    assert one.digest != one.write("a.js", b"2").digest
    assert one.digest != Workspace().write("b.js", b"1").write("a.js", b"2").digest


def test_text_of_undecodable_bytes_has_replacement_characters() -> None:
    site = Workspace().put({"a.txt": b"caf\xe9"})
    assert site.text("a.txt") == "caf\ufffd"
    with pytest.raises(KeyError):
        site.text("b.txt")


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("index.html", "index.html"),
        ("./index.html", "index.html"),
        ("assets/img/ö 1.png", "assets/img/ö 1.png"),
        (".gitignore", ".gitignore"),
        ("docs/LICENSE.md", "docs/LICENSE.md"),
        ("a..b/...c", "a..b/...c"),
    ],
)
def test_a_safe_path_has_one_spelling(path: str, clean: str) -> None:
    assert safe_path(path) == clean


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "./", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./../x", "././x", "a/./b"),
        *("a\\b", "..\\x", "C:/x", "file:x", "http://host/x"),
        *("a\0b", "a\nb", "a\x7f", "a\u202eb", "a\u200bb", "\ud800", "x" * 201),
        *("LICENSE", "license.txt", ".nojekyll", "./LICENSE", "CNAME", "cname"),
        *(".git", ".git/config", ".GIT/hooks/pre-commit", ".gitattributes", ".gitmodules", "a/.git/config", "git~1/x"),
        *(".github/workflows/ci.yml", ".github/dependabot.yml"),
        *(
            ". .",
            "...",
            " ",
            ".. ",
            "a/.. /x",
            "a/. ./x",
            "a/ ",
            ".git .",
            ".git ",
            "GIT~1.",
            ".git:x",
            ".git::$DATA/x",
        ),
    ],
)
def test_an_unsafe_path_is_refused_with_a_printable_reason(path: str) -> None:
    with pytest.raises(ToolError) as error:
        Workspace().write(path, b"")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (".github/workflows/ci.yml", True),
        (".GitHub/Workflows/ci.yml", False),
        (".github/workflows/.git/config", False),
        (".github/workflows/../../CNAME", False),
        (".github/dependabot.yml", False),
        (".git/config", False),
    ],
)
def test_where_workflows_are_asked_for_nothing_else_is_opened(path: str, *, allowed: bool) -> None:
    if allowed:
        assert path in Workspace().write(path, b"", workflows=True)
    else:
        with pytest.raises(ToolError):
            Workspace().write(path, b"", workflows=True)


@pytest.mark.parametrize(
    ("there", "path", "reason"),
    [
        ("about.html", "About.HTML", "only by case"),
        ("assets/app.js", "assets", "one of them is a folder"),
        ("assets", "assets/app.js", "one of them is a folder"),
    ],
)
def test_two_paths_that_cannot_stand_together_are_refused(there: str, path: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        Workspace().write(there, b"").write(path, b"")


def test_files_are_bounded_in_size_and_number() -> None:
    full = Workspace().put({f"{n}.txt": b"" for n in range(MAX_FILES)})
    assert full.write("0.txt", b"x" * MAX_FILE_BYTES)["0.txt"]
    assert full.write("0.txt", b"x" * (MAX_FILE_BYTES + 1), max_bytes=MAX_DATA_BYTES)
    for path, data in (("0.txt", b"x" * (MAX_FILE_BYTES + 1)), ("new.txt", b"")):
        with pytest.raises(ToolError, match="limit"):
            full.write(path, data)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        *((name, True) for name in ("data.csv", "index.html", "README.md", "relicense.txt", "github.txt")),
        *((name, False) for name in ("LICENSE", "license.txt", "CNAME", ".nojekyll", ".gitignore", ".github")),
    ],
)
def test_attachments_that_would_rule_the_repository_are_not_published(name: str, *, published: bool) -> None:
    assert is_published(name) is published


@pytest.mark.parametrize(("written", "stored"), [("INDEX.html", "index.html"), ("Readme.MD", "README.md")])
def test_a_page_that_graders_look_for_has_the_name_they_look_for(written: str, stored: str) -> None:
    workspace = Workspace().write(written, b"1").write(stored, b"2")
    assert dict(workspace) == {stored: b"2"}


def test_a_folder_full_of_files_still_takes_the_page() -> None:
    full = Workspace().put({f"{n}.txt": b"" for n in range(MAX_FILES)})
    assert full.write("index.html", b"page")["index.html"] == b"page"
    with pytest.raises(ToolError):
        full.write("more.txt", b"")


NAMES = st.text(alphabet=st.sampled_from(" .:~/\\\n\u200c1abgitGIT"), max_size=12)


@settings(max_examples=2_000, derandomize=True)
@given(NAMES)
def test_whatever_name_is_taken_git_would_check_out_anywhere(path: str) -> None:
    """Held against dulwich's own rules, for Windows and for macOS."""
    if path_fault(path) is None:
        assert all(
            validate_path(path.encode(), rule) for rule in (validate_path_element_ntfs, validate_path_element_hfs)
        )
    with suppress(ToolError):
        assert path_fault(safe_path(path)) is None


@pytest.mark.parametrize(
    ("paths", "left_out"),
    [
        (["index.html", "docs/a.html", "a b.txt", "x\u00a0y", ".github/workflows/ci.yml", ".gitmodules"], []),
        (["docs", "docs/a.html", "docs/b/c.html"], ["docs"]),
        (["a", "a/b", "a/b/c"], ["a", "a/b"]),
        (["LICENSE", "LICENSE/a", "index.html/x/y", "index.html"], ["LICENSE/a", "index.html/x/y"]),
        ([". .", ".git .", "a/.. /x", "a\\b", "", "ok"], ["", ". .", ".git .", "a/.. /x", "a\\b"]),
    ],
)
def test_of_files_that_cannot_stand_together_it_is_said_which_must_go(paths: list[str], left_out: list[str]) -> None:
    assert sorted(unfit(paths)) == left_out
    assert unfit(set(paths) - set(left_out)) == {}
