"""Each rung, what it accepts and what it leaves alone; the choice between
places; blocks that build on one another.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt_cursor_runner.formats.matching.reindenting import find_reindent
from gpt_cursor_runner.patch.faults import PatchRefused
from tests.formats.builders import (
    closest,
    codes,
    difference,
    hunks,
    only_fault,
    outcome,
    plan,
    refusal,
    str_replace,
)

CODE = (
    b"def f():\n    x = 1\n    # note\n    y = 2\n    return x + y\n\n\ndef g():\n    z = 3\n   "
    b" return z\n"
)
EDIT = "     # note\n-    y = 2\n+    y = 5\n     return x + y\n"
EDITED = CODE.replace(b"y = 2", b"y = 5")


def bare(body: str) -> dict[str, object]:
    return hunks("@@\n" + body)


def made(file: bytes, body: str, tolerance="standard") -> tuple[bytes, str]:
    """The file after a hunk, and the rung that placed it."""
    done = plan({"a.py": file}, bare(body), tolerance=tolerance)
    action = done.actions[0]
    assert action.after
    return action.after.data, done.hunks[0].rung


@pytest.mark.parametrize(
    ("rung", "file", "body", "after"),
    [
        ("exact", CODE, EDIT, EDITED),
        ("blanks", CODE.replace(b"y = 2", b"y = 2  "), EDIT, EDITED),
        ("blanks", CODE.replace(b"\n", b"\r\n"), EDIT, EDITED.replace(b"\n", b"\r\n")),
        ("blanks", b"a\nb\nc", " b\n-c\n+d\n+e\n", b"a\nb\nd\ne"),
        ("blanks", b"\xef\xbb\xbfa\nb\n", "-a\n+A\n b\n", b"\xef\xbb\xbfA\nb\n"),
        ("unicode", "s = “hi”\nb\n".encode(), '-s = "hi"\n+s = 1\n b\n', b"s = 1\nb\n"),
        ("unicode", "s =\u00a01\nb – c\n".encode(), "-s = 1\n+s = 2\n b - c\n", "s = 2\nb – c\n".encode()),
        ("unicode", "cafe\u0301\nb\n".encode(), " caf\u00e9\n-b\n+c\n", "cafe\u0301\nc\n".encode()),
        ("indent", CODE, " # note\n-y = 2\n+if x:\n+    y = 5\n return x + y\n",
         CODE.replace(b"    y = 2", b"    if x:\n        y = 5")),
        ("indent", CODE.replace(b"    ", b"\t"), EDIT.replace("+    y", "+    if x:\n+        y"),
         CODE.replace(b"    ", b"\t").replace(b"\ty = 2", b"\tif x:\n\t\ty = 5")),
        ("indent", CODE, " \t# note\n-\ty = 2\n+\ty = 5\n \treturn x + y\n", EDITED),
        ("ellipsis", CODE, "     return x + y\n-def g():\n+def h():\n", CODE.replace(b"def g", b"def h")),
        ("ellipsis", CODE, " def f():\n     # ...\n-    y = 2\n+    y = 5\n     return x + y\n", EDITED),
        ("ellipsis", b"a\nb\n", " a\n \n-b\n+c\n", b"a\nc\n"),
    ],
)  # fmt: skip
def test_each_rung_edits_the_original_bytes_and_nothing_else(rung, file, body, after):
    assert made(file, body) == (after, rung)
    if rung != "exact":
        assert codes(refusal({"a.py": file}, bare(body), tolerance="strict")) == ["no_match"]


@pytest.mark.parametrize(
    "body",
    [
        # the comment between is left out
        "     x = 1\n-    y = 2\n+    y = 5\n     return x + y\n",
        "     x = 1\n     # notes\n-    y = 2\n+    y = 5\n     return x + y\n",
        (
            "     x = 1\n     # note\n     # another one\n-    y = 2\n+    y = 5\n     return x +"
            " y\n \n \n def g():\n"
        ),
    ],
)
def test_context_that_changed_a_little_needs_merge(body):
    assert codes(refusal({"a.py": CODE}, bare(body))) == ["no_match"]
    if "another" not in body:
        assert made(CODE, body, "merge") == (EDITED, "fuzzy")


@pytest.mark.parametrize(
    "body",
    [
        "     # note\n-    y = 3\n+    y = 5\n     return x + y\n",  # a stale deleted line
        "     # nothing like it\n-    y = 2\n+    y = 5\n     return None\n",
        "     # note\n     y = 3\n+    w = 4\n     return x + y\n",  # only inserts
    ],
)
def test_what_is_too_far_off_is_refused_at_every_tolerance(body):
    for tolerance in ("strict", "standard", "merge"):
        assert codes(refusal({"a.py": CODE}, bare(body), tolerance=tolerance)) == ["no_match"]


def test_a_fuzzy_place_that_another_comes_near_is_ambiguous():
    twice = b"begin one\nkeep\ndrop\nend one\n\nbegin two\nkeep\ndrop\nend two\n"
    fault = only_fault(
        {"a.py": twice}, bare(" begin zwo\n keep\n-drop\n end one\n"), tolerance="merge"
    )
    assert fault.code in ("ambiguous", "no_match")


@pytest.mark.parametrize("file", [CODE, CODE.replace(b"\n", b"\r\n"), CODE.replace(b"    ", b"\t")])
@pytest.mark.parametrize("tolerance", ["standard", "merge"])
@pytest.mark.parametrize(
    "body",
    [
        EDIT,
        "     # note\n+    w = 4\n     y = 2\n",
        "     # note\n+    w = 4\n",
        "     # note\n-    y = 2\n     return x + y\n",
        "-    y = 2\n+        y = 2\n     return x + y\n",  # only the indent changes
        "     return x + y\n \n \n+@cached\n def g():\n",
    ],
)
def test_what_is_made_once_is_not_made_again(file, tolerance, body):
    once = outcome({"a.py": file}, bare(body), tolerance=tolerance)
    assert only_fault(once, bare(body), tolerance=tolerance).code == "already_applied"


def test_a_shift_of_one_space_is_a_slip_and_no_indent():
    assert only_fault({"a.py": b"a\n b\nc\n"}, bare("-b\n+x\n")).code == "no_match"


def test_line_ends_tell_lines_apart_where_a_file_mixes_them():
    assert only_fault({"a.py": b"a\r\nb\nc\r\n"}, bare(" a\n-b\n+x\n c\n")).code == "no_match"


def test_a_line_said_to_end_the_file_without_newline_must_do_so():
    assert (
        only_fault({"a.py": b"a\nb\n"}, bare(" a\n-b\n\\ No newline at end of file\n+c\n")).code
        == "no_match"
    )


def test_text_beyond_ascii_is_not_put_into_another_encoding():
    latin = b"caf\xe9\nb\n"
    assert only_fault({"a.py": latin}, bare("-b\n+\u00e9\n")).code == "encoding"
    assert made(latin, "-b\n+c\n") == (b"caf\xe9\nc\n", "exact")
    appended: dict[str, object] = {"type": "apply_patch", "path": "a.py", "text": "@@\n+\u00e9\n"}
    assert only_fault({"a.py": latin}, appended).code == "encoding"
    assert only_fault({"a.py": b"\xff\xfea"}, bare("-b\n+c\n")).code == "encoding"


METHOD = b"    def %s(self):\n        pass\n"
FOUR = b"class A:\n" + METHOD % b"f" + b"\nclass B:\n" + METHOD % b"f" + METHOD % b"g"


def test_anchors_of_a_hunk_without_numbers_choose_the_block_they_open():
    body = "-        pass\n+        return 1\n"
    assert only_fault({"a.py": FOUR}, bare(body)).code == "ambiguous"
    chosen = hunks("@@ class B:\n@@     def f(self):\n" + body)
    assert plan({"a.py": FOUR}, chosen).hunks[0].line == 7
    missing = only_fault({"a.py": FOUR}, hunks("@@ class B:\n@@     def h(self):\n" + body))
    assert (missing.code, "def h(self)" in missing.message) == ("no_match", True)


def test_blocks_without_numbers_may_build_on_one_another_in_their_order():
    chain = [
        "@@\n-    x = 1\n+    x = 7\n",
        "@@\n-    x = 7\n+    x = 8\n",
        "@@\n-    x = 8\n+    x = 9\n",
    ]
    assert outcome({"a.py": CODE}, hunks(*chain))["a.py"] == CODE.replace(b"x = 1", b"x = 9")
    refused = refusal({"a.py": CODE}, hunks(*chain, "@@\n-    q = 0\n+    q = 1\n"))
    assert [(fault.code, fault.hunk) for fault in refused.faults] == [("no_match", 3)]
    assert [one.hunk for one in refused.good] == [0, 1, 2]


def test_every_fault_is_told_at_once_beside_the_hunks_that_are_good():
    refused = refusal({"a.py": CODE}, bare(EDIT + "@@\n-    nope\n+    x\n@@\n-never\n+x\n"))
    assert [(fault.code, fault.hunk) for fault in refused.faults] == [
        ("no_match", 1),
        ("no_match", 2),
    ]
    assert [(one.hunk, one.line, one.rung) for one in refused.good] == [(0, 3, "exact")]


def test_a_text_to_replace_climbs_the_ladder_too():
    assert outcome({"a.py": CODE}, str_replace("# note\ny = 2", "# note\ny = 5"))["a.py"] == EDITED
    windows = CODE.replace(b"\n", b"\r\n")
    changed = outcome(
        {"a.py": windows}, str_replace("    x = 1\n    # note\n", "    x = 3\n    # note\n")
    )
    assert changed["a.py"] == windows.replace(b"x = 1", b"x = 3")


def test_a_line_put_behind_one_that_goes_takes_its_place_at_the_end():
    taken: dict[str, object] = {
        "type": "apply_patch",
        "path": "a.py",
        "text": "@@ a\n-last\n@@\n+new\n",
    }
    assert outcome({"a.py": b"a\nlast"}, taken)["a.py"] == b"a\nnew"


def test_an_insertion_between_lines_the_file_has_not_is_refused():
    assert codes(refusal({"a.py": b"beta 11\n"}, str_replace("beta 11\n\n", "beta 11\nx\n\ny\n")))


def test_a_hunk_without_any_line_does_nothing():
    nothing: dict[str, object] = {
        "type": "search_replace",
        "path": "a.py",
        "text": "<<<<<<< SEARCH\n=======\n>>>>>>> REPLACE\n",
    }
    assert only_fault({"a.py": b""}, nothing).code == "no_op"


INDENTS = st.sampled_from([b"", b"  ", b"    ", b"\t", b"\t\t", b"        ", b"\t  "])


@settings(max_examples=300, deadline=None)
@given(
    pairs=st.lists(st.tuples(INDENTS, INDENTS), min_size=1, max_size=5),
    inserted=st.lists(INDENTS, max_size=3),
)
def test_a_shift_explains_every_pair_or_there_is_none(pairs, inserted):
    shift = find_reindent(pairs, inserted)
    if shift:
        assert [shift.apply(sent) for sent, _ in pairs] == [found for _, found in pairs]
        assert all(shift.apply(one) is not None for one in inserted)


LINES = st.lists(st.sampled_from(["a", "b", "  c", "", "d  ", "\te"]), min_size=1, max_size=10)


@settings(max_examples=300, deadline=None)
@given(lines=LINES, at=st.integers(0, 9), spoil=st.sampled_from(["\r\n", "  \n", "\n"]))
def test_a_spoiled_line_end_never_makes_a_third_text(lines, at, spoil):
    at %= len(lines)
    file = "".join(line + "\n" for line in lines).encode()
    body = "".join(
        f"-{line}{spoil}+new\n" if number == at else f" {line}{spoil}"
        for number, line in enumerate(lines)
    )
    expected = "".join(
        "new\n" if number == at else line + "\n" for number, line in enumerate(lines)
    ).encode()
    try:
        assert outcome({"a.py": file}, bare(body))["a.py"] == expected
    except PatchRefused as refused:
        assert set(codes(refused)) <= {"ambiguous", "already_applied", "no_op"}


LETTERS = b"a1\nb2\nc3\nd4\ne5\nf6\ng7\n"


@pytest.mark.parametrize(
    ("file", "body", "after"),
    [
        (LETTERS, " b2\n other\n-d4\n+D\n e5\n", LETTERS.replace(b"d4", b"D")),
        (LETTERS, " b2\n c3\n more\n-d4\n+D\n e5\n", LETTERS.replace(b"d4", b"D")),
        (LETTERS, " b2\n-d4\n+D\n e5\n", LETTERS.replace(b"d4", b"D")),
        (LETTERS, " b2\n c3\n+new\n other\n", LETTERS.replace(b"d4", b"new\nd4")),
        (b"a1\nb2", " other\n b2\n+new\n", b"a1\nb2\nnew"),
    ],
)
def test_fuzz_lets_so_many_context_lines_differ(file, body, after):
    change = {**bare(body), "fuzz": 1}
    done = plan({"a.py": file}, change, tolerance="merge")
    assert outcome({"a.py": file}, change, tolerance="merge") == {"a.py": after}
    assert [hunk.rung for hunk in done.hunks] == ["fuzzy"]
    assert codes(refusal({"a.py": file}, bare(body), tolerance="merge")) == ["no_match"]
    assert codes(refusal({"a.py": file}, change)) == ["malformed"]


@pytest.mark.parametrize(
    ("code", "file", "body"),
    [
        ("no_match", LETTERS, " b2\n other\n-d4\n+D\n another\n"),
        ("no_match", LETTERS, " b2\n c3\n-other\n+D\n e5\n"),
        ("no_match", LETTERS, " b2\n-d4\n-f6\n+D\n"),
        ("ambiguous", LETTERS * 2, " b2\n other\n-d4\n+D\n e5\n"),
        ("no_match", LETTERS, " b2\n other\n+new\n d4\n"),
        ("no_match", LETTERS, " b2\n+new\n other\n d4\n"),
        ("no_match", b"}\n" * 200_000, " other\n }\n+x\n }\n"),
        ("ambiguous", b"}\n" * 20_000, " other\n }\n+x\n }\n"),
    ],
)
def test_fuzz_is_for_context_and_leaves_no_doubt(code, file, body):
    assert codes(refusal({"a.py": file}, {**bare(body), "fuzz": 1}, tolerance="merge")) == [code]


@pytest.mark.parametrize(
    ("file", "body", "after"),
    [
        (
            b"int  a;\n\tif (b)  c();\nd\n",
            " int a;\n-        if (b) c();\n+\treturn;\n d\n",
            b"int  a;\n\treturn;\nd\n",
        ),
        (b"x =  1  \r\ny   = 2\r\n", " x = 1\n-y = 2\n+y = 3\n", b"x =  1  \r\ny = 3\r\n"),
    ],
)
def test_how_many_blanks_there_are_matters_unless_it_is_said_not_to(file, body, after):
    change = {**bare(body), "ignore_whitespace": True}
    assert outcome({"a.py": file}, change) == {"a.py": after}
    assert [hunk.rung for hunk in plan({"a.py": file}, change).hunks] == ["indent"]
    assert codes(refusal({"a.py": file}, bare(body))) == ["no_match"]
    assert codes(refusal({"a.py": file}, change, tolerance="strict")) == ["no_match"]


@pytest.mark.parametrize(
    ("code", "file", "body"),
    [
        ("no_match", b"x=1\ny = 2\n", " x = 1\n-y = 2\n+y = 3\n"),
        ("no_match", b"x =  1\n\ny = 2\n", " x = 1\n-y = 2\n+y = 3\n"),
        ("ambiguous", b"x =  1\ny = 2\n" * 2, " x = 1\n-y = 2\n+y = 3\n"),
    ],
)
def test_blanks_that_are_there_or_not_are_told_apart(code, file, body):
    assert codes(refusal({"a.py": file}, {**bare(body), "ignore_whitespace": True})) == [code]


def test_below_an_anchor_too_a_line_that_differs_is_named():
    body = "@@ def f\n     # note\n-    y = 3\n+    y = 5\n"
    fault = only_fault({"a.py": CODE}, hunks(body))
    assert (fault.code, difference(fault).expected, difference(fault).actual) == (
        "no_match",
        "    y = 3",
        "    y = 2",
    )


def test_below_an_anchor_too_what_is_made_already_is_said_to_be():
    body = "@@ def f\n     # note\n-    y = 2\n+    y = 5\n     return x + y\n"
    assert only_fault({"a.py": EDITED}, hunks(body)).code == "already_applied"


def test_where_nothing_is_alike_the_beginning_of_the_file_is_shown():
    fault = only_fault({"a.py": CODE}, hunks("@@\n-wholly = unrelated\n+w\n"))
    assert "nor does anything like it" in fault.message and "Read the file" in fault.next_step
    assert (closest(fault).line, difference(fault).actual) == (1, "def f():")
    assert difference(only_fault({"a.py": b""}, hunks("@@\n-gone\n+w\n"))).actual == ""


def test_of_an_anchor_that_is_missing_the_line_most_like_it_is_shown():
    envelope = (
        "*** Begin Patch\n*** Update File: a.py\n@@ class A:\n@@ def h():\n-    z = 3\n+    z ="
        " 4\n*** End Patch\n"
    )
    fault = only_fault({"a.py": b"class A:\n" + CODE}, {"type": "apply_patch", "text": envelope})
    assert (fault.code, difference(fault).expected) == ("no_match", "def h():")
    assert difference(fault).actual in ("def f():", "def g():")
