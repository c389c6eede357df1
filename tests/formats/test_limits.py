"""The cost of one patch is bounded: beyond a limit it is refused with a message
and takes neither time nor memory.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import ValidationError

from gpt_cursor_runner.formats import virtual_tree
from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES, MAX_FILES, MAX_HUNKS, MAX_TOTAL_BYTES
from tests.formats.builders import (
    chmod,
    codes,
    delete,
    diff,
    hunks,
    move,
    only_fault,
    outcome,
    plan,
    refusal,
    regex,
    str_replace,
    upsert,
)

FILES = {f"{number}.txt": b"0123456789" for number in range(5)}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_tree, "MAX_PATHS", 3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_tree, "MAX_TOTAL_BYTES", 40)


def copies(count: int, source: str = "0.txt") -> dict[str, Any]:
    one = "diff --git a/{0} b/c{1}\nsimilarity index 100%\ncopy from {0}\ncopy to c{1}\n"
    return diff("".join(one.format(source, number) for number in range(count)))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "one", [upsert, delete, lambda path: chmod(path, "755"), lambda path: move(path, path + "2")]
)
def test_a_patch_touches_so_many_files_and_no_more(one: Any) -> None:
    allowed = 1 if one("0.txt")["type"] == "move" else 3
    assert outcome(FILES, *[one(f"{number}.txt") for number in range(allowed)])
    fault = only_fault(FILES, *[one(f"{number}.txt") for number in range(allowed)], one("4.txt"))
    assert (fault.code, fault.change) == ("limit", allowed)
    assert "more than 3 paths" in fault.message and "several patches" in fault.next_step


@pytest.mark.usefixtures("few")
def test_a_file_touched_again_counts_once() -> None:
    assert outcome(FILES, *[upsert("0.txt", f"{number}") for number in range(9)])["0.txt"] == b"8"


@pytest.mark.usefixtures("small")
def test_all_files_before_and_after_hold_so_many_bytes_and_no_more() -> None:
    assert outcome(FILES, upsert("new1", "x" * 20), upsert("new2", "x" * 20))
    fault = only_fault(FILES, upsert("new1", "x" * 20), upsert("0.txt", "x" * 11))
    assert (fault.code, fault.change, fault.path) == ("limit", 1, "0.txt")
    assert "more than 40 bytes" in fault.message
    assert outcome(FILES, *[delete(f"{number}.txt") for number in range(4)])
    assert only_fault(FILES, *[delete(f"{number}.txt") for number in range(5)]).code == "limit"


@pytest.mark.usefixtures("small")
def test_bytes_that_are_replaced_or_go_again_are_not_counted() -> None:
    changes = [change for _ in range(9) for change in (upsert("new", "x" * 40), upsert("new", ""))]
    assert outcome({}, *changes, upsert("new", "y" * 40))["new"] == b"y" * 40
    assert outcome({}, upsert("new", "x" * 40), delete("new"), upsert("other", "x" * 40))


@pytest.mark.usefixtures("small")
def test_copies_count_with_all_their_bytes() -> None:
    assert codes(refusal(FILES, copies(4))) == ["limit"]
    assert len(outcome(FILES, copies(3))) == 8


def test_a_gigabyte_by_copies_of_one_file_is_refused() -> None:
    many = MAX_TOTAL_BYTES // MAX_FILE_BYTES + 1
    refused = refusal({"0.txt": b"x" * MAX_FILE_BYTES}, copies(many))
    assert set(codes(refused)) == {"limit"}


@pytest.mark.parametrize("count", [MAX_FILES + 1, 9_000])
def test_a_diff_of_too_many_files_is_one_fault(count: int) -> None:
    one = "--- a/f{0}\n+++ b/f{0}\n@@ -1 +1 @@\n-a\n+b\n"
    fault = only_fault({}, diff("".join(one.format(number) for number in range(count))))
    assert (fault.code, fault.change, fault.hunk) == ("limit", 0, None)
    assert str(MAX_FILES) in fault.message


def test_too_many_sections_in_all_changes_together_are_refused() -> None:
    one = "--- a/f{0}\n+++ b/f{0}\n@@ -1 +1 @@\n-a\n+b\n"
    large = diff("".join(one.format(number) for number in range(MAX_FILES)))
    refused = refusal({}, *[large] * 6)
    assert codes(refused).count("limit") == 1
    assert refused.faults[-1].change == 5


def test_only_the_first_missing_files_are_compared_with_what_is_there() -> None:
    files = {f"file{number}.txt": b"" for number in range(100)}
    refused = refusal(files, *[delete(f"file{number}.text") for number in range(30)])
    assert codes(refused) == ["missing_file"] * 30
    assert [bool(fault.candidates) for fault in refused.faults] == [True] * 20 + [False] * 10


def test_what_a_sender_wrote_at_length_is_cut_in_the_answer() -> None:
    anchors = "".join(f"@@ class Base{number}:\n" for number in range(3000))
    text = f"*** Begin Patch\n*** Update File: a.py\n{anchors} x\n-y\n+z\n*** End Patch\n"
    files = {
        "a.py": b"".join(b"class Base%d:\n" % number for number in reversed(range(3000)))
        + b"x\ny\n"
    }
    refused = refusal(files, {"type": "apply_patch", "text": text})
    assert [len(fault.to_json()["message"]) for fault in refused.faults] == [2000]


def test_a_pattern_that_is_slow_to_prepare_is_too_long() -> None:
    with pytest.raises(ValidationError):
        plan({"a.py": b"\n"}, regex("a" * 1001, "b"))
    began = time.process_time()
    assert codes(refusal({"a.py": b"\n" * 100_000}, regex("a" * 1000, "b"))) == ["no_match"]
    assert time.process_time() - began < 5


def test_a_hunk_of_deletions_is_no_fuzzy_one() -> None:
    mixed = b"a\n\nb\r\nc\n"
    fault = only_fault({"a.py": mixed}, hunks("@@\n-a\n-\n-b\n"), tolerance="merge")
    assert fault.code == "no_match"


def test_a_file_that_failed_before_is_left_alone_by_a_diff_that_deletes_it() -> None:
    gone = "diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\n"
    failing = str_replace("nothing like it", "x", path="gone.txt")
    assert codes(refusal({"gone.txt": b"kept\n"}, failing, diff(gone))) == ["no_match"]


def test_a_diff_of_too_many_hunks_is_not_even_read() -> None:
    fault = only_fault({"a.py": b"a\n"}, hunks("@@ -1 +1 @@\n-a\n+b\n" * (MAX_HUNKS + 1)))
    assert (fault.code, str(MAX_HUNKS) in fault.message) == ("limit", True)


@pytest.mark.parametrize("fuzz", [0, 2])
def test_hunks_that_are_nearly_alike_everywhere_are_bounded(fuzz: int) -> None:
    lines = "".join(f"l{number}\n" for number in range(9))
    nearly = "@@\n l0\n l1\n lX\n l3\n-l4\n+y\n l5\n lZ\n l7\n l8\n"
    change = {**hunks(nearly * 3000), "fuzz": fuzz}
    began = time.process_time()
    refused = refusal({"a.py": lines.encode() * 500}, change, tolerance="merge")
    assert set(codes(refused)) == {"limit"}
    assert time.process_time() - began < 8
