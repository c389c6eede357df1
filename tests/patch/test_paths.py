import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt_cursor_runner.patch.paths import (
    MAX_DEPTH,
    MAX_PATH_BYTES,
    UnsafePath,
    fold_path,
    parse_path,
)

OUTSIDE = [
    "", "/", "//", ".", "..", "./a", "../a", "a/..", "a/../b", "a/./b", "a//b", "a/", "/etc/passwd", "//host/share",
    "a/../../etc", "....//a", "C:", "C:\\a", "C:/a", "c:a", "\\\\host\\share", "a\\b", "..\\a", "a\\..\\b", "~\\a",
]  # fmt: skip
IN_GIT = [
    ".git", ".git/config", "a/.git/hooks/pre-commit", ".GIT/config", ".Git", "a/.gIt", ".git.", ".git ", ".git. .",
    ".git::$INDEX_ALLOCATION/config", ".git:x", "git~1", "GIT~1/config", "git~2", "a/git~10", ".g\u200cit",
    ".gi\u200dt",
    "\u200e.git", ".git\ufeff", ".g\u202ait", ".g\u206fit", "\uff0egit", ".\uff47\uff49\uff54", ".g\u0456t/../x",
    ".gi\u1d57",
]  # fmt: skip
UNKEEPABLE = [
    "a\0b", "a\nb", "a\rb", "a\tb", "\x1b[31m", "a\x7f", "a\x85b", "a\u2028b", "a\u2029b", "a.", "a ", "dir./a",
    "dir /a",
    "a:b", "file.txt:stream", "con", "CON", "aux.txt", "Nul", "prn.", "com1", "COM9.log", "lpt1", "com\u00b9", "conin$",
    "CONOUT$", "dir/nul/x", "\ud800", "a/\udfffb", "x" * 256, "a/" * 64 + "b", "é" * 128, "x/" * 513,
]  # fmt: skip
HARMLESS = [
    "a", "a.py", "src/app.py", ".github/workflows/ci.yml", ".gitignore", ".gitmodules", ".gitattributes", "a..b",
    "...a", "..a", "a b", " a", "-rf", "--help", "~", "~/a", "$HOME", "a'b", 'a"b', "a;b", "a|b", "a*b?", "connect.py",
    "auxiliary",
    "com", "com10", "nul_", "git", "git~", "git~a", "x.git", ".gitx", "日本語.txt", "caf\u00e9", "🙂", "x" * 255,
    "/".join("a" * MAX_DEPTH),
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE + IN_GIT + UNKEEPABLE)
def test_a_hostile_path_is_refused_with_a_reason(path):
    with pytest.raises(UnsafePath) as refused:
        parse_path(path)
    assert str(refused.value)


@pytest.mark.parametrize("path", HARMLESS)
def test_a_harmless_path_is_kept_as_it_is(path):
    assert parse_path(path) == path


def test_the_corpus_of_hostile_names_is_complete():
    assert len({*OUTSIDE, *IN_GIT, *UNKEEPABLE}) >= 80


def test_the_longest_path_is_kept_and_one_byte_more_is_not():
    longest = "/".join(["x" * 255] * 4)
    assert len(longest) == MAX_PATH_BYTES - 1
    assert parse_path(longest) == longest
    with pytest.raises(UnsafePath, match="longer than 1024 bytes"):
        parse_path("a/" + longest)


def test_a_path_is_composed_so_that_two_spellings_are_one():
    assert parse_path("cafe\u0301.txt") == "caf\u00e9.txt"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("README", "readme"),
        ("caf\u00e9", "CAFE\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("\u03a3", "\u03c2"),
        ("\u212a", "k"),
    ],
)
def test_names_that_a_file_system_may_confuse_fold_alike(first, second):
    assert fold_path(first) == fold_path(second)


def test_names_that_no_file_system_confuses_fold_apart():
    assert fold_path("a_b") != fold_path("a-b")


@given(st.text(st.characters() | st.sampled_from("./\\:~ git"), max_size=30))
def test_an_accepted_path_stays_inside_and_is_accepted_again(text):
    try:
        path = parse_path(text)
    except UnsafePath:
        return
    assert parse_path(path) == path
    assert not path.startswith("/") and "\\" not in path
    assert not {"", ".", ".."} & set(path.split("/"))
    assert ".git" not in path.casefold().split("/")


EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
TRICKY = st.lists(
    st.sampled_from(
        [
            ".",
            "..",
            ".git",
            "git",
            "~1",
            "~",
            "/",
            ":",
            " ",
            "\u200c",
            "\ufeff",
            "G",
            "\u0131",
            "\\",
            "a",
        ]
    )
    | st.characters(),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository in which git guards every file system's names."""
    place = tmp_path_factory.mktemp("index")
    subprocess.run(["git", "init", "-q", place], check=True)
    for name in ("core.protectHFS", "core.protectNTFS"):
        subprocess.run(["git", "-C", place, "config", name, "true"], check=True)
    subprocess.run(
        ["git", "-C", place, "hash-object", "-w", "--stdin"],
        input=b"",
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return place


def git_takes(index: Path, path: str) -> bool:
    (index / ".git" / "index").unlink(missing_ok=True)
    entry = f"100644,{EMPTY_BLOB},{path}"
    command = ["git", "-C", os.fspath(index), "update-index", "--add", "--cacheinfo", entry]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(TRICKY)
def test_git_itself_takes_every_path_that_is_accepted(index, text):
    try:
        path = parse_path(text)
    except UnsafePath:
        return
    assert git_takes(index, path), path


@pytest.mark.parametrize("path", HARMLESS)
def test_git_takes_the_harmless_paths(index, path):
    assert git_takes(index, path)


@pytest.mark.parametrize("path", [".git", "a/.GIT/x", ".g\u200cit", "git~1/a", ".git. .", "a/../b"])
def test_git_refuses_the_paths_that_it_protects(index, path):
    assert not git_takes(index, path)
