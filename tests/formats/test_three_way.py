"""Three-way: hunks that fit only the version they were made from are merged
into the file as it is now, or refused.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gpt_cursor_runner.formats.applying_sections import apply_sections
from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES, Budget
from gpt_cursor_runner.formats.matching.ladder import allowed_rungs
from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.tree import EntryKind
from gpt_cursor_runner.formats.virtual_tree import VirtualTree
from gpt_cursor_runner.patch.faults import PatchRefused
from gpt_cursor_runner.patch.model import ONE_CHANGE, Tolerance
from tests.formats.builders import MemoryTree, after, blob_id, diff

BASE = "".join(f"line {number}\n" for number in range(1, 21))


def changed(**lines: str) -> str:
    """The twenty lines, some of them replaced: changed(n3="new\\n"); an empty
    one goes.
    """
    return "".join(lines.get(f"n{number}", f"line {number}\n") for number in range(1, 21))


NOW = changed(n6="something else altogether\n")  # STALE does not fit it


def hunk(*lines: str, at: int = 1, number: int = 0) -> Hunk:
    said = [HunkLine(line[0], f"{line[1:]}\n".encode(), row) for row, line in enumerate(lines, 2)]  # type: ignore[arg-type]
    return Hunk(number, tuple(said), 1, at, at)


FIVE = hunk(" line 4", "-line 5", "+five", " line 6", at=4)
STALE = hunk("-line 4", "+four", " line 5", " line 6", " line 7", at=4)


def section(
    *hunks: Hunk,
    version: str | bytes | None = BASE,
    verb: Verb = "change",
    path: str = "a.txt",
    target: str | None = None,
    old_blob: str | None = None,
    faults: tuple[TextFault, ...] = (),
) -> Section:
    data = version.encode() if isinstance(version, str) else version
    named = old_blob or (blob_id(data) if data is not None else None)
    return Section(1, verb, path, target or path, hunks or (FIVE,), old_blob=named, faults=faults)


def made(
    now: str | None,
    *sections: Section,
    tolerance: Tolerance = "merge",
    blobs: Iterable[str | bytes] = (BASE,),
    others: dict[str, EntryKind] | None = None,
    budget: Budget | None = None,
) -> ChangePlan:
    """The plan after these sections were made on a tree that holds a.txt, if
    any.
    """
    kept = [blob.encode() if isinstance(blob, str) else blob for blob in blobs]
    files = {"a.txt": now.encode()} if now is not None else {}
    tree = VirtualTree(MemoryTree(files, others, kept))
    plan = ChangePlan(
        0, tree, allowed_rungs(tolerance), budget or Budget(), may_merge=tolerance == "merge"
    )
    apply_sections(ParsedPatch(sections or (section(),)), plan)
    return plan


def text(plan: ChangePlan, path: str = "a.txt") -> str:
    assert plan.faults == []
    return plan.tree.file(path).data.decode()


def codes(plan: ChangePlan) -> list[str]:
    return [fault.code for fault in plan.faults]


def test_a_hunk_that_fits_only_its_own_version_is_merged_into_the_file():
    plan = made(changed(n1="first\nof all\n", n6="something else altogether\n"), section(STALE))
    assert text(plan) == changed(
        n1="first\nof all\n", n4="four\n", n6="something else altogether\n"
    )
    assert [(one.path, one.line, one.rung) for one in plan.placed_hunks] == [
        ("a.txt", 5, "three_way")
    ]


def test_every_hunk_is_reported_where_its_place_is_now():
    stale = hunk("-line 14", "+fourteen", " line 15", " line 16", at=14, number=1)
    plan = made(changed(n2="", n8="8a\n8b\n8c\n", n16="else\n"), section(FIVE, stale))
    assert text(plan) == changed(
        n2="", n5="five\n", n8="8a\n8b\n8c\n", n14="fourteen\n", n16="else\n"
    )
    assert [(one.hunk, one.line, one.rung) for one in plan.placed_hunks] == [
        (0, 3, "three_way"),
        (1, 15, "three_way"),
    ]


def test_two_changes_to_one_line_are_one_conflict_with_the_text_of_both_sides():
    plan = made(changed(n5="cinq\n"))
    (fault,) = plan.faults
    assert (fault.code, fault.path, fault.patch_line) == ("conflict", "a.txt", 1)
    assert fault.expected == ("<<<<<<< the branch", "cinq", "=======", "five", ">>>>>>> the patch")
    assert fault.rungs_tried[0] == "exact" and fault.rungs_tried[-1] == "three_way"
    assert fault.file_sha256 and "as it is now" in fault.next_step
    assert plan.placed_hunks == []


def test_a_long_conflict_shows_the_beginning_of_both_sides():
    ours = changed(n5="".join(f"ours {number}\n" for number in range(30)))
    theirs = hunk(
        " line 4", "-line 5", *(f"+theirs {number}" for number in range(30)), " line 6", at=4
    )
    (fault,) = made(ours, section(theirs)).faults
    assert len(fault.expected) <= 12
    assert fault.expected[1] == "ours 0" and "theirs 0" in fault.expected


def test_a_conflict_shows_no_line_of_an_old_version_that_was_not_sent():
    secret = BASE.replace("line 7\n", "password = hunter2\n")
    (fault,) = made(
        "all new\n", section(hunk(" line 4", "-line 5", "+five"), version=secret), blobs=[secret]
    ).faults
    assert fault.code == "conflict"
    assert "hunter2" not in repr(fault)
    assert fault.expected[-4:] == ("line 4", "five", "…", ">>>>>>> the patch")


def test_what_the_branch_holds_already_is_said_to_be_applied():
    plan = made(changed(n5="five\n", n9="else\n"))
    assert codes(plan) == ["already_applied"]
    assert plan.placed_hunks == []


def test_a_part_that_is_applied_already_does_not_keep_the_rest_from_being_merged():
    both = section(FIVE, hunk(" line 14", "-line 15", "+fifteen", " line 16", at=14, number=1))
    plan = made(changed(n5="five\n"), both)
    assert text(plan) == changed(n5="five\n", n15="fifteen\n")


def test_a_hunk_that_fits_the_file_as_it_is_needs_no_version():
    plan = made(changed(n19="new\n"), section(version=None))
    assert text(plan) == changed(n5="five\n", n19="new\n")
    assert [one.rung for one in plan.placed_hunks] == ["exact"]


@pytest.mark.parametrize("tolerance", ["strict", "standard"])
def test_only_the_tolerance_merge_merges(tolerance: Tolerance):
    plan = made(NOW, section(STALE), tolerance=tolerance)
    assert codes(plan) == ["no_match"]
    assert "three_way" not in plan.faults[0].rungs_tried


@pytest.mark.parametrize(
    "old_blob",
    [
        "0" * 40,
        "0000000",
        blob_id(BASE.encode())[:6],
        "f" * 40,
        "e69de29",
        "HEAD:a.txt",
        "",
        "main\n",
        "g" * 40,
        "é" * 9,
    ],
)
def test_without_the_version_the_first_refusal_stands(old_blob: str):
    plan = made(NOW, Section(1, "change", "a.txt", "a.txt", (STALE,), old_blob=old_blob))
    assert codes(plan) == ["no_match"]
    assert "three_way" not in plan.faults[0].rungs_tried
    assert plan.faults[0].closest


def test_a_short_id_that_two_blobs_share_names_no_version():
    twins = twins_by_prefix()
    prefix = blob_id(twins[0])[:7]
    plan = made(NOW, section(STALE, old_blob=prefix), blobs=twins)
    assert codes(plan) == ["no_match"] and "three_way" not in plan.faults[0].rungs_tried
    assert text(made(NOW, section(STALE, old_blob=prefix), blobs=twins[:1]))


def twins_by_prefix() -> list[bytes]:
    """Two versions of the twenty lines whose ids begin alike."""
    seen: dict[str, bytes] = {}
    for number in range(1_000_000):
        data = changed(n20=f"{number}\n").encode()
        prefix = blob_id(data)[:7]
        if prefix in seen:
            return [seen[prefix], data]
        seen[prefix] = data
    raise AssertionError("no two ids begin alike")


@pytest.mark.parametrize(
    "version", [b"line 4\nline 5\nline 6\0\n", b"x" * MAX_FILE_BYTES + BASE.encode(), NOW]
)
def test_a_version_that_is_no_text_or_too_large_or_the_file_itself_is_not_merged(
    version: str | bytes,
):
    plan = made(NOW, section(STALE, version=version), blobs=[version])
    assert codes(plan) == ["no_match"]
    assert "three_way" not in plan.faults[0].rungs_tried


def test_hunks_that_do_not_fit_their_own_version_either_are_refused_for_the_file_as_it_is():
    plan = made(NOW, section(hunk(" nothing", "-of the", "+kind")))
    assert codes(plan) == ["no_match"]
    assert plan.faults[0].rungs_tried[-1] == "three_way"


def test_a_text_that_could_not_be_read_whole_is_not_merged():
    cut = TextFault("truncated", "the text ends early", "Send it whole.", 9)
    plan = made(NOW, section(STALE, faults=(cut,)))
    assert codes(plan) == ["truncated", "no_match"]
    assert plan.tree.actions() == ()


def test_a_file_that_is_gone_stays_gone_though_its_version_is_known():
    assert codes(made(None)) == ["missing_file"]


def test_a_file_that_the_diff_renames_is_merged_under_its_new_name():
    plan = made(NOW, section(STALE, verb="move", target="b.txt"))
    assert text(plan, "b.txt") == NOW.replace("line 4\n", "four\n")
    assert plan.tree.kind("a.txt") is None
    assert [one.path for one in plan.placed_hunks] == ["b.txt"]


def test_a_deletion_does_not_take_what_the_branch_added_since():
    every = hunk(*(f"-line {number}" for number in range(1, 21)))
    plan = made(changed(n5="newer\n"), section(every, verb="delete"))
    assert codes(plan) == ["conflict"]


def test_later_sections_build_on_what_was_merged():
    later = section(hunk(" line 1", "+after one", at=1), version=None)
    plan = made(NOW, section(STALE), later)
    assert text(plan) == "line 1\nafter one\n" + NOW.replace("line 4\n", "four\n").removeprefix(
        "line 1\n"
    )


def test_merges_beyond_the_bound_of_one_patch_are_refused():
    plan = made(NOW, section(STALE), budget=Budget(merges_left=0))
    assert codes(plan) == ["limit"]


def test_hunks_without_line_numbers_that_build_on_one_another_are_merged():
    grow = Hunk(0, hunk(" line 20", *(f"+more {number}" for number in range(9))).lines, 1)
    then = Hunk(1, hunk("-more 8", "+last", number=1).lines, 1)
    stale = Hunk(2, STALE.lines, 1)
    assert text(made(NOW, section(grow, then, stale))).endswith("more 7\nlast\n")


DIFF = f"""diff --git a/a.txt b/a.txt
index {blob_id(BASE.encode())[:12]}..1234567 100644
--- a/a.txt
+++ b/a.txt
@@ -4,4 +4,4 @@ line 3
-line 4
+four
 line 5
 line 6
 line 7
"""


def test_a_git_diff_names_its_version_in_its_index_line():
    tree = MemoryTree({"a.txt": NOW.encode()}, blobs=[BASE.encode()])
    change = ONE_CHANGE.validate_python(diff(DIFF))
    made = make_plan([(0, change)], tree, "merge")
    assert after(made.actions[0]).data.decode() == NOW.replace("line 4\n", "four\n")
    assert [one.rung for one in made.hunks] == ["three_way"]
    with pytest.raises(PatchRefused, match="hunk 1 does not fit"):
        make_plan([(0, change)], tree, "standard")
