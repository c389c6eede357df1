"""The format of a raw text is detected, or the text is refused with a next step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_cursor_runner.formats.sniffing import sniff
from gpt_cursor_runner.patch.faults import Fault, PatchRefused

DIFF = "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n keep\n-old\n+new\n"
GIT_DIFF = f"diff --git a/app.py b/app.py\nindex 1111111..2222222 100644\n{DIFF}"
BLOCK = "app.py\n<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n"
CLINE = "------- SEARCH\nold\n=======\nnew\n+++++++ REPLACE\n"
ENVELOPE = "*** Begin Patch\n*** Update File: app.py\n@@ def f():\n-old\n+new\n*** End Patch\n"
HUNK = "@@ -1 +1 @@\n-old\n+new\n"
V4A = "@@ def f():\n-old\n+new\n"

KNOWN = {
    "a diff": (DIFF, "unified_diff"),
    "a diff with dates": (
        "--- app.py\t2024-01-01\n+++ app.py\t2024-01-02\n@@ -1 +1 @@\n-a\n+b\n",
        "unified_diff",
    ),
    "a git diff": (GIT_DIFF, "unified_diff"),
    "a mode alone": ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", "unified_diff"),
    "a mailed diff": (
        f"From 1234\nSubject: [PATCH] x\n---\n app.py | 2 +-\n\n{GIT_DIFF}-- \n2.39.5\n",
        "unified_diff",
    ),
    "a diff without numbers": (
        "--- a/app.py\n+++ b/app.py\n@@ ... @@\n-old\n+new\n",
        "unified_diff",
    ),
    "a diff of contexts": (
        "*** a.txt\n--- b.txt\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n",
        "unified_diff",
    ),
    "a normal diff": ("1c1\n< a\n---\n> b\n", "unified_diff"),
    "binary files": ("Binary files a/x.png and b/x.png differ\n", "unified_diff"),
    "blocks": (BLOCK, "search_replace"),
    "blocks of nine marks": (
        BLOCK.replace("<" * 7, "<" * 9).replace(">" * 7, ">" * 9),
        "search_replace",
    ),
    "Cline's blocks": (f"app.py\n{CLINE}", "search_replace"),
    "Cline's blocks of three marks": (
        "a.py\n--- SEARCH\na\n=======\nb\n+++ REPLACE\n",
        "search_replace",
    ),
    "a diff of a file with a mark's name": (
        "--- SEARCH\n+++ REPLACE\n@@ -1 +1 @@\n-a\n+b\n",
        "unified_diff",
    ),
    "aider's early blocks": (
        "a.py\n<<<<<<< ORIGINAL\na\n=======\nb\n>>>>>>> UPDATED\n",
        "search_replace",
    ),
    "a slipped mark": ("a.py\n<<<<<<< SEARCH>\na\n=======\nb\n>>>>>>> REPLACE\n", "search_replace"),
    "marks in entities": (BLOCK.replace("<", "&lt;").replace(">", "&gt;"), "search_replace"),
    "the end of a block alone": ("old\n=======\nnew\n>>>>>>> REPLACE\n", "search_replace"),
    "an envelope": (ENVELOPE, "apply_patch"),
    "an envelope cut off": (ENVELOPE.removesuffix("*** End Patch\n"), "apply_patch"),
    "an envelope without its beginning": (
        ENVELOPE.removeprefix("*** Begin Patch\n"),
        "apply_patch",
    ),
    "an indented envelope": (
        "".join(f"  {line}\n" for line in ENVELOPE.splitlines()),
        "apply_patch",
    ),
    "a heredoc": (f"apply_patch <<'EOF'\n{ENVELOPE}EOF\n", "apply_patch"),
}
WRAPPINGS = {
    "as it is": "{}",
    "after prose": "I changed two lines; see --- and +++ below.\n\n{}\nDone. {{x}}\n",
    "in a fence": "Here:\n```diff\n{}```\n",
    "after a byte order mark": "\ufeff{}",
}
CRLF = "with the line ends of Windows"

ENCLOSED = {
    "a diff in a block": (
        f"p.diff\n<<<<<<< SEARCH\n{GIT_DIFF}=======\n{ENVELOPE}>>>>>>> REPLACE\n",
        "search_replace",
    ),
    "a diff in an envelope": (
        "*** Begin Patch\n*** Update File: q.sql\n@@\n--- a\n+++ b\n*** End Patch\n",
        "apply_patch",
    ),
    "blocks that a diff adds": (
        (
            "--- /dev/null\n+++ b/doc.md\n@@ -0,0 +1,3 @@\n+<<<<<<< SEARCH\n+*** Begin"
            " Patch\n+>>>>>>> REPLACE\n"
        ),
        "unified_diff",
    ),
    "a mark that a diff deletes": (
        "--- a/doc.md\n+++ b/doc.md\n@@ -1,2 +0,0 @@\n------- SEARCH\n-x\n",
        "unified_diff",
    ),
}

TWO_KINDS = {
    "a diff and blocks": (
        f"{DIFF}\n{BLOCK}",
        "a unified diff at line 1 and search/replace blocks at line 9",
    ),
    "blocks and an envelope": (
        BLOCK + ENVELOPE,
        "search/replace blocks at line 2 and an apply_patch envelope at line 7",
    ),
    "an envelope and hunks": (f"{ENVELOPE}\n{HUNK}", "hunks of a unified diff"),
}

NO_PATCH = {
    "nothing": "",
    "blanks": " \n\n\t",
    "prose": "Please make the button red.\n\n- first\n- second\n",
    "code": "def f():\n    return 1\n",
    "a merge conflict": "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> topic\n",
}

JSON = {
    "a patch": '{"id": "x", "title": "t", "changes": []}',
    "a tool call": '{"command": "str_replace", "path": "a", "old_str": "x", "new_str": "y"}',
    "in a fence": '```json\n{"type": "update_file", "path": "a", "diff": "@@"}\n```\n',
    "a list": '[{"type": "delete", "path": "a"}]',
    "broken": '{"id": "x", "changes": [',
    "bottomless": '{"a":' * 100_000,
}


def fault_of(text: str, path: str | None = None) -> Fault:
    with pytest.raises(PatchRefused) as refused:
        sniff(text, path)
    (fault,) = refused.value.faults
    assert (fault.code, fault.pointer) == ("malformed", "/changes/0/text")
    return fault


@pytest.mark.parametrize("wrapping", [*WRAPPINGS, CRLF])
@pytest.mark.parametrize("name", KNOWN)
def test_each_form_is_known_by_its_marks(name: str, wrapping: str) -> None:
    text, kind = KNOWN[name]
    text = text.replace("\n", "\r\n") if wrapping == CRLF else WRAPPINGS[wrapping].format(text)
    assert sniff(text) == {"type": kind, "text": text.removeprefix("\ufeff")}


@pytest.mark.parametrize("name", ENCLOSED)
def test_marks_inside_of_a_patch_are_its_contents(name: str) -> None:
    text, kind = ENCLOSED[name]
    assert sniff(text)["type"] == kind


@pytest.mark.parametrize("name", TWO_KINDS)
def test_two_kinds_in_one_text_are_refused_with_their_lines(name: str) -> None:
    text, words = TWO_KINDS[name]
    fault = fault_of(text)
    assert words in fault.message and "one kind" in fault.next_step and fault.patch_line


@pytest.mark.parametrize("text", NO_PATCH.values(), ids=NO_PATCH)
@pytest.mark.parametrize("path", [None, "app.py"])
def test_what_is_no_patch_is_refused_with_an_example_of_each_form(
    text: str, path: str | None
) -> None:
    step = fault_of(text, path).next_step
    assert all(
        form in step
        for form in ("unified_diff:", "search_replace:", "apply_patch:", ">>>>>>> REPLACE")
    )


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_json_is_refused_with_the_step_to_send_it_as_json(text: str) -> None:
    fault = fault_of(text)
    assert "JSON" in fault.message and "application/json" in fault.next_step


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (HUNK, "unified_diff"),
        (V4A, "apply_patch"),
        ("@@\n-old\n+new\n", "apply_patch"),
        (" a\n-b\n+c\n", "apply_patch"),
    ],
)
def test_bare_hunks_are_a_patch_of_the_file_named_beside_them(text: str, kind: str) -> None:
    assert sniff(text, "app.py") == {"type": kind, "text": text, "path": "app.py"}


@pytest.mark.parametrize("text", [HUNK, V4A])
def test_bare_hunks_without_a_name_are_refused_with_the_step_to_add_one(text: str) -> None:
    assert "X-Patch-Path" in fault_of(text).next_step


def test_lines_that_are_all_added_are_no_patch_even_with_a_name() -> None:
    assert "not a patch" in fault_of("+ first\n+ second\n", "list.md").message


def test_the_name_beside_a_text_goes_with_it() -> None:
    assert sniff(BLOCK, "other.py")["path"] == "other.py"


@given(
    st.lists(
        st.sampled_from(
            [
                *DIFF.splitlines(),
                *BLOCK.splitlines(),
                *CLINE.splitlines(),
                *ENVELOPE.splitlines(),
                HUNK,
                "",
            ]
        ),
        max_size=25,
    )
    | st.text().map(lambda text: [text]),
    st.none() | st.just("app.py"),
)
def test_whatever_comes_is_a_change_or_a_refusal(lines: list[str], path: str | None) -> None:
    text = "\n".join(lines)
    try:
        assert sniff(text, path)["text"] == text.removeprefix("\ufeff")
    except PatchRefused as refused:
        assert refused.faults[0].next_step
