"""str_replace, insert and regex."""

import time

import pytest

from tests.formats.builders import (
    closest,
    codes,
    difference,
    insert,
    only_fault,
    outcome,
    plan,
    refusal,
    regex,
    str_replace,
)

A = {"a.py": b"one\ntwo\nthree\n"}
TWICE = {"a.py": b"f(1)\ng()\nf(1)\n"}


def test_a_text_that_occurs_once_is_replaced_within_its_line():
    assert outcome(A, str_replace("wo", "en"))["a.py"] == b"one\nten\nthree\n"


def test_a_replacement_reports_its_line_and_rung():
    hunk = plan(A, str_replace("two\nth", "x")).hunks[0]
    assert (hunk.path, hunk.line, hunk.rung) == ("a.py", 2, "exact")


def test_a_text_that_occurs_twice_is_ambiguous_and_both_places_are_listed():
    fault = only_fault(TWICE, str_replace("f(1)", "f(2)"))
    assert (fault.code, fault.candidates) == ("ambiguous", ("line 1: f(1)", "line 3: f(1)"))


def test_overlapping_places_are_two():
    assert only_fault({"a.py": b"aaa\n"}, str_replace("aa", "b")).code == "ambiguous"


@pytest.mark.parametrize(
    ("choice", "after"),
    [
        ({"occurrence": 2}, b"f(1)\ng()\nf(2)\n"),
        ({"replace_all": True}, b"f(2)\ng()\nf(2)\n"),
        ({"line_hint": 3}, b"f(1)\ng()\nf(2)\n"),
        ({"line_hint": 1}, b"f(2)\ng()\nf(1)\n"),
    ],
)
def test_the_sender_may_say_which_place_is_meant(choice, after):
    assert outcome(TWICE, str_replace("f(1)", "f(2)", **choice))["a.py"] == after


def test_a_line_hint_half_way_between_decides_nothing():
    assert only_fault(TWICE, str_replace("f(1)", "f(2)", line_hint=2)).code == "ambiguous"


def test_an_occurrence_beyond_any_index_is_refused():
    fault = only_fault(TWICE, str_replace("f(1)", "f(2)", occurrence=10**30))
    assert fault.code == "no_match"


def test_an_occurrence_beyond_the_last_is_refused_with_those_that_are():
    fault = only_fault(TWICE, str_replace("f(1)", "f(2)", occurrence=3))
    assert (fault.code, fault.pointer, len(fault.candidates)) == (
        "no_match",
        "/changes/0/occurrence",
        2,
    )


def test_equal_old_and_new_are_no_op():
    assert only_fault(A, str_replace("two", "two")).code == "no_op"


def test_a_replacement_made_before_is_already_applied():
    fault = only_fault({"a.py": b"x = 2\n"}, str_replace("x = 1", "x = 2"))
    assert (fault.code, fault.candidates) == ("already_applied", ("line 1: x = 2",))


def test_a_stale_text_is_answered_with_its_closest_place_and_first_difference():
    fault = only_fault(
        {"a.py": b"def f():\n    return 2\n"}, str_replace("f():\n    return 1", "f():\n    pass")
    )
    found = difference(fault)
    assert (fault.code, closest(fault).line, fault.patch_line) == ("no_match", 1, 2)
    assert (found.patch_line, found.file_line, found.kind) == (2, 2, "content")
    assert (found.expected, found.actual) == ("    return 1", "    return 2")
    assert fault.file_sha256 and "first_difference.actual" in fault.next_step


@pytest.mark.parametrize(
    ("file", "old", "kind"),
    [
        (b"a = 1\r\nb = 2\r\n", "a = 1\nb = 2\n", "eol"),
        (b"\tif x:\n", "    if x:\n", "tab"),
        (b"  if x:\n", "    if x:\n", "indent"),
        (b"a =  1\n", "a = 1\n", "space"),
        (b"say \xe2\x80\x98hi\xe2\x80\x99\n", "say 'hi'\n", "unicode"),
        (b"a = 12345\n", "a = 12346\n", "content"),
    ],
)
def test_the_kind_of_the_first_difference_is_named(file, old, kind):
    assert (
        difference(only_fault({"a.py": file}, str_replace(old, "z\n"), tolerance="strict")).kind
        == kind
    )


def test_bytes_that_are_no_utf8_survive_an_edit():
    files = {"a.py": b"\xef\xbb\xbfcaf\xe9\r\nx = 1\r\nlast \xff"}
    for change in (str_replace("x = 1", "x = 2"), regex("x = 1", "x = 2")):
        assert outcome(files, change)["a.py"] == b"\xef\xbb\xbfcaf\xe9\r\nx = 2\r\nlast \xff"


@pytest.mark.parametrize(
    ("file", "after_line", "text", "after"),
    [
        (b"a\nb\n", 0, "x", b"x\na\nb\n"),
        (b"a\nb\n", 1, "x\n", b"a\nx\nb\n"),
        (b"a\nb\n", 2, "x", b"a\nb\nx\n"),
        (b"a\nb", 2, "x", b"a\nb\nx"),
        (b"a\nb", 2, "x\ny\n", b"a\nb\nx\ny"),
        (b"a\nb", 1, "x", b"a\nx\nb"),
        (b"a\r\nb\r\n", 1, "x\ny", b"a\r\nx\r\ny\r\nb\r\n"),
        (b"a\r\nb\n", 1, "x", b"a\r\nx\nb\n"),
        (b"\xef\xbb\xbfa\n", 0, "x", b"\xef\xbb\xbfx\na\n"),
        (b"", 0, "x\n", b"x\n"),
    ],
)
def test_an_insertion_is_whole_lines_with_the_line_ends_of_the_file(file, after_line, text, after):
    assert outcome({"a.py": file}, insert(after_line, text))["a.py"] == after


def test_an_insertion_beyond_the_end_is_refused_with_the_bounds():
    fault = only_fault(A, insert(4, "x"))
    assert (fault.code, fault.pointer) == ("no_match", "/changes/0/after_line")
    assert "from 0 to 3" in fault.next_step


def test_an_insertion_goes_after_the_line_it_expects():
    assert outcome(A, insert(2, "x", expect_line="two"))["a.py"] == b"one\ntwo\nx\nthree\n"


def test_an_expected_line_that_moved_is_refused_with_its_new_number():
    fault = only_fault(A, insert(1, "x", expect_line="two"))
    assert (fault.code, fault.candidates) == ("no_match", ("line 2: two",))
    assert "after_line 2" in fault.next_step


def test_an_insertion_sent_twice_is_already_applied():
    once = outcome(A, insert(1, "x = 1"))
    assert only_fault(once, insert(1, "x = 1")).code == "already_applied"


def test_a_pattern_uses_pythons_groups():
    assert (
        outcome(A, regex(r"^(?P<n>t\w+)\n(three)", r"\2 \g<n>", flags="m"))["a.py"]
        == b"one\nthree two\n"
    )


@pytest.mark.parametrize(
    ("flags", "pattern"), [("i", "TWO"), ("s", "w.+?t"), ("x", "t w o  # two")]
)
def test_the_flags_of_a_pattern_count(flags, pattern):
    assert outcome(A, regex(pattern, "-", flags=flags)) != A
    assert codes(refusal(A, regex(pattern, "-"))) == ["no_match"]


def test_more_matches_than_expected_are_ambiguous_and_listed():
    fault = only_fault(TWICE, regex(r"f\(1\)", "h"))
    assert (fault.code, fault.candidates) == ("ambiguous", ("line 1: f(1)", "line 3: f(1)"))
    assert outcome(TWICE, regex(r"f\(1\)", "h", expect_matches=2))["a.py"] == b"h\ng()\nh\n"


def test_an_invalid_pattern_is_malformed_at_its_position():
    fault = only_fault(A, regex("tw(o", "x"))
    assert (fault.code, fault.pointer, "character 5" in fault.message) == (
        "malformed",
        "/changes/0/pattern",
        True,
    )


@pytest.mark.parametrize("template", [r"\2", r"\g<none>", r"\q", "\\", "\\ud800"])
def test_an_invalid_template_is_malformed(template):
    assert only_fault(A, regex("two", template)).pointer == "/changes/0/replacement"


def test_a_runaway_pattern_is_stopped():
    started = time.process_time()
    fault = only_fault({"a.py": b"a" * 5000}, regex(r"(a+a+)+b", "x"))
    assert (fault.code, fault.pointer) == ("limit", "/changes/0/pattern")
    assert time.process_time() - started < 5


def test_runaway_patterns_share_one_time_limit():
    files = {f"{number}.py": b"a" * 5000 for number in range(12)}
    # CPU time is at most the wall time that the limit counts.
    started = time.process_time()
    faults = refusal(files, *(regex(r"(a+a+)+b", "x", path=name) for name in files)).faults
    assert [fault.code for fault in faults] == ["limit"] * 12
    assert time.process_time() - started < 4


def test_a_replacement_that_explodes_is_refused_before_it_is_built():
    fault = only_fault({"a.py": b"a" * 1_000_000}, regex("a+", r"\g<0>" * 1000))
    assert (fault.code, "could grow" in fault.message) == ("too_large", True)
    change = str_replace("a", "b" * 1000, replace_all=True)
    assert only_fault({"a.py": b"a" * 1_000_000}, change).code == "too_large"
