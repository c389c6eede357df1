"""Random trees through `git diff` and back, with git itself as the judge.
FUZZ_EXAMPLES=5000 looks harder.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.patch.faults import PatchRefused
from gpt_cursor_runner.patch.model import ONE_CHANGE, Tolerance
from tests.formats.builders import codes, diff
from tests.formats.trees import Entries, Scratch, ids, memory, two_trees

_SCALE = int(os.environ.get("FUZZ_EXAMPLES", "0"))


_SECOND_TIME = {
    "already_applied",
    "exists",
    "missing_file",
    "binary",
    "no_op",
    "conflict",
    "no_match",
    "ambiguous",
    "not_a_file",
}


def examples(few: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(
        max_examples=_SCALE or few,
        deadline=None,
        derandomize=not _SCALE,
        database=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch.create(tmp_path_factory.mktemp("scratch") / "scratch.git")


@st.composite
def flags(draw: st.DrawFn, least_context: int = 0) -> list[str]:
    """How `git diff` may be asked; always with binary parts, since only they
    can be carried.
    """
    chosen = ["--binary", f"-U{draw(st.integers(least_context, 8))}"]
    chosen += draw(
        st.lists(
            st.sampled_from(["-M", "-C", "--full-index", "-R", "-W", "--minimal"]), unique=True
        )
    )
    if draw(st.booleans()):
        chosen += ["-C", "--find-copies-harder"]
    old, new = draw(
        st.sampled_from([("a/", "b/"), ("a/", "b/"), ("", ""), ("old/", "new/"), ("i/", "w/")])
    )
    return [*chosen, f"--src-prefix={old}", f"--dst-prefix={new}"]


def applied(
    before: Entries, text: bytes, tolerance: Tolerance = "standard", **more: object
) -> Entries:
    """The tree after a diff."""
    change = ONE_CHANGE.validate_python(diff(text.decode(), **more))
    result = dict(before)
    for action in make_plan([(0, change)], memory(before), tolerance).actions:
        result.pop(action.path, None)
        if action.after:
            result[action.path] = (action.after.data, action.after.mode)
    return result


@examples(100)
@given(two_trees(), flags(least_context=1))
def test_a_diff_of_git_leads_from_one_tree_to_the_other(scratch, trees, how):
    before, after = reversed(trees) if "-R" in how else trees
    text = scratch.diff(*trees, *how)
    assume(text)
    assert applied(before, text) == after


@examples(60)
@given(two_trees())
def test_a_rewritten_file_whose_old_lines_git_leaves_out_is_refused_where_git_refuses_it(
    scratch, trees
):
    text = scratch.diff(*trees, "--binary", "-B", "-M")
    assume(text)
    try:
        assert ids(applied(trees[0], text)) == scratch.applied(text)
    except PatchRefused as refused:
        assert (scratch.applied(text), set(codes(refused))) == (None, {"exists"})


@examples(60)
@given(two_trees(), flags())
def test_a_diff_without_context_is_at_worst_refused_as_already_applied(scratch, trees, how):
    before, after = reversed(trees) if "-R" in how else trees
    text = scratch.diff(*trees, *how, "-U0")
    assume(text)
    try:
        assert applied(before, text) == after
    except PatchRefused as refused:
        assert set(codes(refused)) == {"already_applied"}


@examples(60)
@given(two_trees(), flags(least_context=1))
def test_a_diff_reversed_leads_back(scratch, trees, how):
    text = scratch.diff(
        *trees, *(flag for flag in how if flag not in ("-R", "-C", "--find-copies-harder"))
    )
    assume(text)
    assert applied(trees[1], text, reverse=True) == trees[0]


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """A diff with one line lost, doubled, moved or changed, or cut off; a hunk
    keeps its header, which git needs.
    """
    lines = text.splitlines(keepends=True)
    at = draw(
        st.sampled_from(
            [at for at, line in enumerate(lines) if not line.startswith((b"@@", b"\\"))]
        )
    )
    how = draw(st.sampled_from(["lose", "double", "swap", "change", "cut"]))
    if how == "lose":
        del lines[at]
    elif how == "double":
        lines.insert(at, lines[at])
    elif how == "swap":
        lines[at : at + 2] = lines[at : at + 2][::-1]
    elif how == "change":
        lines[at] = lines[at][:1] + b"other" + lines[at][1:]
    return b"".join(lines[:at] if how == "cut" else lines)


@examples(100)
@given(st.data(), two_trees(), flags(least_context=1))
def test_what_git_accepts_of_a_damaged_diff_is_what_comes_of_it_here(scratch, data, trees, how):
    whole = scratch.diff(*trees, *(flag for flag in how if flag != "-R" and "prefix" not in flag))
    assume(whole)
    text = data.draw(damaged(whole))
    # Git takes a section for another kind of change when the line that names
    # its kind is lost.
    assume(text.count(b" file mode ") == whole.count(b" file mode "))
    theirs = scratch.applied(text, "--recount")
    try:
        ours = applied(trees[0], text)
    except (PatchRefused, UnicodeDecodeError, ValidationError):
        return
    if theirs is not None:
        assert ids(ours) == theirs


@examples(100)
@given(st.data(), two_trees(unique=True), flags(least_context=1))
def test_spoiled_numbers_counts_and_blanks_never_lead_to_a_third_tree(scratch, data, trees, how):
    before, after = reversed(trees) if "-R" in how else trees
    whole = scratch.diff(*trees, *how, "-M")
    assume(whole and b"\n\\" not in whole)
    spoil = data.draw(st.sampled_from([_other_numbers, _other_counts, _other_blanks]))
    text = re.sub(rb"(?m)^@@ .* @@|^ .*$", lambda found: spoil(found[0], data), whole)
    with suppress(PatchRefused):
        assert applied(before, text) == after


def _other_numbers(line: bytes, data: st.DataObject) -> bytes:
    return (
        re.sub(rb"(?<=[-+])\d+", lambda _: b"%d" % data.draw(st.integers(1, 40)), line)
        if line[:1] == b"@"
        else line
    )


def _other_counts(line: bytes, data: st.DataObject) -> bytes:
    return (
        re.sub(rb",\d+", lambda _: b",%d" % data.draw(st.integers(1, 9)), line)
        if line[:1] == b"@"
        else line
    )


def _other_blanks(line: bytes, data: st.DataObject) -> bytes:
    return line + b" " * data.draw(st.integers(0, 1)) if line[:1] == b" " else line


@examples(100)
@given(two_trees(unique=True), flags(least_context=1))
def test_a_diff_sent_twice_changes_nothing_the_second_time(scratch, trees, how):
    after = trees[0] if "-R" in how else trees[1]
    text = scratch.diff(*trees, *how, "-M")
    assume(text)
    try:
        twice = applied(after, text)
    except PatchRefused as refused:
        assert set(codes(refused)) <= _SECOND_TIME
    else:
        # A blank line more or less leaves no trace that would tell whether it
        # was made.
        assert not b"".join(re.findall(rb"(?m)^[-+](?!--|\+\+)(.*)$", text)).strip(), twice
