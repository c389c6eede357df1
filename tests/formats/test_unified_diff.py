import pytest

from gpt_cursor_runner.patch.faults import PatchRefused
from tests.formats.builders import (
    after,
    closest,
    codes,
    delete,
    diff,
    difference,
    hunks,
    only_fault,
    outcome,
    plan,
    refusal,
    str_replace,
)

FILE = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n"
A = {"a.py": FILE}
GOOD = "@@ -2,3 +2,3 @@\n two\n-three\n+THREE\n four\n"
CHANGED = FILE.replace(b"three", b"THREE")
VERSES = b"verse\nla\nend\n" * 3


def changed(text: str, files=A, result: str = "a.py", **more: object) -> bytes:
    return outcome(files, diff(text, **more))[result]


def headed(*bodies: str, path: str = "a.py") -> str:
    return f"--- a/{path}\n+++ b/{path}\n" + "".join(bodies)


def test_a_hunk_changes_its_lines_and_reports_place_and_rung():
    made = plan(A, hunks(GOOD))
    assert after(made.actions[0]).data == CHANGED
    assert [(hunk.hunk, hunk.line, hunk.rung) for hunk in made.hunks] == [(0, 2, "exact")]


@pytest.mark.parametrize(
    "header", ["@@ -200,3 +210,3 @@", "@@ -1,3 +1,3 @@ def f():", "@@", "@@ ... @@"]
)
def test_a_wrong_or_missing_line_number_does_not_matter_where_the_text_occurs_once(header):
    assert changed(headed(f"{header}\n two\n-three\n+THREE\n four\n")) == CHANGED


@pytest.mark.parametrize("counts", ["-2,1 +2,1", "-2,2 +2,9", "-2,9 +2,3", "-2 +2"])
def test_wrong_counts_are_corrected_by_the_content(counts):
    after_it = "@@ -6,2 +6,2 @@\n six\n-seven\n+SEVEN\n"
    text = headed(f"@@ {counts} @@\n two\n-three\n+THREE\n four\n", after_it)
    assert changed(text) == CHANGED.replace(b"seven", b"SEVEN")


def test_counts_that_are_too_small_do_not_cut_a_new_file_short():
    assert (
        changed("--- /dev/null\n+++ b/n.py\n@@ -0,0 +1,1 @@\n+a\n+b\n+c\n", result="n.py")
        == b"a\nb\nc\n"
    )


def test_a_count_too_large_at_the_end_is_corrected_only_where_earlier_counts_were_wrong_too():
    last = "@@ -5,9 +5,9 @@\n-five\n+FIVE\n six\n"
    fault = only_fault(A, hunks(GOOD, last))
    assert (fault.code, fault.hunk, fault.patch_line) == ("truncated", 1, 8)
    assert "-…,2 +…,2" in fault.next_step
    miscounted = GOOD.replace("-2,3 +2,3", "-2,7 +2,7")
    assert outcome(A, hunks(miscounted, last))["a.py"] == CHANGED.replace(b"five", b"FIVE")
    assert only_fault(A, hunks(miscounted, last.removesuffix(" six\n"))).code == "truncated"


def test_a_hunk_cut_off_in_the_middle_is_truncated_wherever_it_is_cut():
    lines = headed(
        "@@ -1,7 +1,8 @@\n one\n two\n-three\n+THREE\n four\n five\n-six\n+SIX\n+six and a half\n"
        " seven\n"
    )
    parts = lines.splitlines(keepends=True)
    for end in range(2, len(parts) - 1):
        fault = only_fault(A, diff("".join(parts[:end])))
        assert fault.code == "truncated", parts[:end]
    assert changed(lines) is not None


def test_a_line_without_a_sign_is_malformed_and_its_number_is_given():
    fault = only_fault(A, diff(headed("@@ -2,3 +2,3 @@\n two\n-three\nTHREE\n four\n")))
    assert (fault.code, fault.patch_line, fault.hunk) == ("malformed", 6, 0)


def test_a_change_that_fell_out_of_its_hunk_is_never_dropped_in_silence():
    fault = only_fault(A, diff(headed("@@ -2,2 +2,2 @@\n two\n-three\n+THREE\nfour\n-five\n")))
    assert (fault.code, fault.patch_line) == ("malformed", 8)


def test_a_stale_context_line_is_named_with_its_closest_place():
    fault = only_fault(A, hunks("@@ -2,4 +2,4 @@\n two\n-three\n+THREE\n four\n fife\n"))
    found = difference(fault)
    assert (fault.code, fault.pointer, fault.path, fault.hunk) == (
        "no_match",
        "/changes/0/text",
        "a.py",
        0,
    )
    assert (fault.patch_line, found.patch_line, found.file_line) == (8, 8, 5)
    assert (found.expected, found.actual, found.kind) == ("fife", "five", "content")
    assert (closest(fault).line, closest(fault).similarity > 0.9) == (2, True)
    assert "    5 | five" in closest(fault).excerpt
    assert (fault.expected, fault.rungs_tried[0]) == (("two", "three", "four", "fife"), "exact")
    assert "line 8 of the patch is 'fife', but line 5 of the file is 'five'" in fault.message


def test_a_hunk_corrected_by_the_next_step_is_accepted():
    text = headed("@@ -2,4 +2,4 @@\n two\n-three\n+THREE\n four\n fife\n")
    found = difference(only_fault(A, diff(text)))
    lines = text.split("\n")
    lines[found.patch_line - 1] = lines[found.patch_line - 1][:1] + found.actual
    assert changed("\n".join(lines)) == CHANGED


def test_all_hunks_of_all_files_are_checked_and_the_placed_ones_are_listed():
    text = headed(GOOD, "@@ -6,2 +6,2 @@\n six\n-sevn\n+SEVEN\n") + headed(
        "@@ -1 +1 @@\n-x\n+y\n", path="gone.py"
    )
    refused = refusal(A, diff(text), delete("b.py"))
    assert codes(refused) == ["no_match", "missing_file", "missing_file"]
    assert [(hunk.change, hunk.hunk, hunk.line) for hunk in refused.good] == [(0, 0, 2)]


def test_a_hunk_that_fits_twice_is_ambiguous_with_its_candidates():
    fault = only_fault({"a.py": VERSES}, hunks("@@\n verse\n-la\n+lo\n"))
    assert (fault.code, fault.candidates) == (
        "ambiguous",
        ("line 1: verse", "line 4: verse", "line 7: verse"),
    )


@pytest.mark.parametrize(("hint", "place"), [(1, 0), (4, 1), (5, None), (6, None), (7, 2), (8, 2)])
def test_a_line_number_decides_only_when_it_is_clearly_nearer(hint, place):
    change = hunks(f"@@ -{hint},2 +{hint},2 @@\n verse\n-la\n+lo\n")
    if place is None or hint == 5:
        # 5 is one line from the second verse and two from the third: not less
        # than half as far
        assert only_fault({"a.py": VERSES}, change).code == "ambiguous"
    else:
        verses = [b"verse\nla\nend\n"] * 3
        verses[place] = b"verse\nlo\nend\n"
        assert outcome({"a.py": VERSES}, change)["a.py"] == b"".join(verses)


def test_a_line_number_does_not_decide_when_other_hunks_show_that_the_numbers_drift():
    files = {"a.py": b"new\n" * 3 + b"title\n" + VERSES}
    text = headed("@@ -1 +1 @@\n-title\n+TITLE\n", "@@ -5,2 +5,2 @@\n verse\n-la\n+lo\n")
    assert [fault.code for fault in refusal(files, diff(text)).faults] == ["ambiguous"]


def test_a_diff_sent_twice_is_already_applied():
    assert only_fault({"a.py": CHANGED}, hunks(GOOD)).code == "already_applied"


@pytest.mark.parametrize(
    "hunk",
    [
        "@@ -7 +7,2 @@\n seven\n+eight\n",
        "@@ -1 +1,2 @@\n+zero\n one\n",
        "@@ -1,2 +1 @@\n-one\n two\n",
        "@@ -2,0 +3 @@\n+x\n",
    ],
)
def test_a_hunk_with_context_on_one_side_is_not_made_twice(hunk):
    once = outcome(A, hunks(hunk))
    assert only_fault(once, hunks(hunk)).code == "already_applied"


def test_a_stale_deletion_with_existing_context_is_no_match_rather_than_already_applied():
    assert only_fault(A, hunks("@@ -2,2 +2 @@\n two\n-thre\n")).code == "no_match"


@pytest.mark.parametrize(
    ("hunk", "after"),
    [
        ("@@ -0,0 +1 @@\n+x\n", b"x\n" + FILE),
        ("@@ -2,0 +3,2 @@\n+x\n+y\n", FILE.replace(b"two\n", b"two\nx\ny\n")),
        ("@@ -7,0 +8 @@\n+x\n", FILE + b"x\n"),
    ],
)
def test_an_insertion_without_context_goes_to_the_line_of_its_header(hunk, after):
    assert outcome(A, hunks(hunk))["a.py"] == after


@pytest.mark.parametrize(
    "text",
    [
        headed("@@ -8,0 +9 @@\n+x\n"),
        headed("@@ -2,0 +7 @@\n+x\n"),
        headed("@@\n+x\n"),
        headed("@@ -4 +4 @@\n-six\n+SIX\n", "@@ -2,0 +3 @@\n+x\n"),
    ],
)
def test_an_insertion_without_context_whose_number_cannot_be_right_is_refused(text):
    assert only_fault(A, diff(text)).code == "no_match"


def test_an_insertion_without_context_does_not_follow_a_line_that_has_no_newline():
    assert only_fault({"a.py": b"a\nb"}, hunks("@@ -2,0 +3 @@\n+x\n")).code == "no_match"


def test_two_insertions_at_one_place_conflict_since_their_order_is_unknown():
    assert only_fault(A, hunks("@@ -2,0 +3 @@\n+x\n", "@@ -2,0 +4 @@\n+y\n")).code == "conflict"


def test_a_last_line_without_newline_is_found_as_a_whole_line_only():
    text = "@@ -2 +2 @@\n-b\n\\ No newline at end of file\n+B\n"
    assert only_fault({"a.py": b"a\nbb"}, hunks(text)).code == "no_match"


def test_hunks_that_change_the_same_line_conflict():
    twice = "@@ -3 +3 @@\n-three\n+drei\n"
    assert only_fault(A, hunks(GOOD, twice)).code == "conflict"


def test_hunks_may_share_context_and_come_in_any_order():
    last = "@@ -4,2 +4,2 @@\n four\n-five\n+FIVE\n"
    assert outcome(A, hunks(last, GOOD))["a.py"] == CHANGED.replace(b"five", b"FIVE")


def test_a_missing_final_newline_is_kept_added_and_removed_as_in_the_diff():
    bare = {"a.py": b"a\nb"}
    marker = "\\ No newline at end of file\n"
    assert changed(headed(f"@@ -1,2 +1,2 @@\n-a\n+A\n b\n{marker}"), bare) == b"A\nb"
    assert changed(headed(f"@@ -1,2 +1,2 @@\n a\n-b\n{marker}+b\n"), bare) == b"a\nb\n"
    assert changed(headed(f"@@ -1,2 +1,2 @@\n a\n-b\n+b\n{marker}"), {"a.py": b"a\nb\n"}) == b"a\nb"


def test_a_hunk_at_the_end_may_lack_the_marker_and_the_file_still_lacks_its_newline():
    assert changed(headed("@@ -1,2 +1,2 @@\n-a\n+A\n b\n"), {"a.py": b"a\nb"}) == b"A\nb"
    change = hunks("@@ -1,2 +1,2 @@\n-a\n+A\n b\n")
    with pytest.raises(PatchRefused) as strict:
        plan({"a.py": b"a\nb"}, change, tolerance="strict")
    assert difference(strict.value.faults[0]).kind == "eol"


def test_crlf_lines_stay_crlf():
    text = headed("@@ -1,2 +1,2 @@\n a\r\n-b\r\n+B\r\n")
    assert changed(text, {"a.py": b"a\r\nb\r\nc\r\n"}) == b"a\r\nB\r\nc\r\n"


def test_a_text_without_its_own_final_newline_is_complete():
    assert changed(headed(GOOD).rstrip("\n")) == CHANGED


def test_a_deleted_line_that_looks_like_a_header_is_a_line():
    files = {"a.sql": b"-- old\nselect 1\n"}
    text = headed("@@ -1,2 +1,2 @@\n--- old\n+++ new\n select 1\n", path="a.sql")
    assert changed(text, files, "a.sql") == b"++ new\nselect 1\n"


@pytest.mark.parametrize(
    "around",
    [
        "Here it is:\n\n```diff\n{}```\nHope this helps!\n- truly\n",
        "{}-- \n2.39.5\n\n",
        "Index: a.py\n=====\n{}\n\n",
    ],
)
def test_text_around_a_diff_is_passed_over(around):
    assert changed(around.format(headed(GOOD))) == CHANGED


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ("a/a.py", "b/a.py", {}),
        ("a.py", "a.py", {}),
        ("a.py\t2024-01-01 00:00:00", "a.py\t2024-01-02", {}),
        ("a.py 2024-01-01 00:00:00.1 +0000", "a.py 2024-01-02 00:00:00 +0000", {}),
        ('"a/a.py"', '"b/\\141.py"', {}),
        ("a.py.orig", "a.py", {}),
        ("x/y/a.py", "x/y/a.py", {"strip": 2}),
        ("whatever", "else", {"path": "a.py"}),
    ],
)
def test_the_file_is_found_under_each_way_of_naming_it(old, new, more):
    assert changed(f"--- {old}\n+++ {new}\n{GOOD}", **more) == CHANGED


def test_a_folder_called_a_is_not_taken_for_a_prefix():
    assert changed(f"--- a/x.py\n+++ b/x.py\n{GOOD}", {"b/x.py": FILE}, "b/x.py") == CHANGED


def test_a_quoted_name_is_unquoted_as_git_quotes_it():
    files = {'sm\u00f6r"g.py': FILE}
    name = 'sm\\303\\266r\\"g.py'
    assert changed(f'--- "a/{name}"\n+++ "b/{name}"\n{GOOD}', files, 'sm\u00f6r"g.py') == CHANGED


def test_hunks_alone_are_enough_beside_a_path():
    assert outcome(A, diff(GOOD, path="a.py"))["a.py"] == CHANGED


def test_a_path_beside_a_diff_of_two_files_is_malformed():
    assert (
        only_fault(A, diff(headed(GOOD) + headed(GOOD, path="b.py"), path="a.py")).code
        == "malformed"
    )


def test_too_deep_a_strip_is_malformed():
    assert only_fault(A, diff(headed(GOOD), strip=3)).code == "malformed"


@pytest.mark.parametrize(
    "name", ["../a.py", "a/../../a.py", "/etc/passwd", "b/.git/config", "a/.GIT/hooks/x"]
)
def test_a_name_that_leaves_the_repository_is_a_path_escape(name):
    assert only_fault(A, diff(f"--- {name}\n+++ {name}\n{GOOD}")).code == "path_escape"
    assert (
        only_fault(A, diff(f"--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+x\n")).code == "path_escape"
    )


def test_git_headers_create_delete_rename_copy_and_change_modes():
    files = {"gone.py": b"x\n", "old.py": FILE, "run": b"#!\n", "kept.py": b"k\n"}
    text = (
        "diff --git a/n.sh b/n.sh\nnew file mode 100755\n--- /dev/null\n+++ b/n.sh\n@@ -0,0 +1"
        " @@\n+hi\ndiff --git a/empty b/empty\nnew file mode 100644\nindex 000..e69\ndiff --git"
        " a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0"
        " @@\n-x\ndiff --git a/old.py b/new.py\nrename from old.py\nrename to new.py\n---"
        f" a/old.py\n+++ b/new.py\n{GOOD}diff --git a/run b/run\nold mode 100644\nnew mode"
        " 100755\ndiff --git a/kept.py b/copy.py\nsimilarity index 100%\ncopy from kept.py\ncopy"
        " to copy.py\n"
    )
    actions = {action.path: action for action in plan(files, diff(text)).actions}
    made = {
        path: (action.after.data, action.after.mode)
        for path, action in actions.items()
        if action.after
    }
    assert made == {
        "n.sh": (b"hi\n", "100755"),
        "empty": (b"", "100644"),
        "new.py": (CHANGED, "100644"),
        "run": (b"#!\n", "100755"),
        "copy.py": (b"k\n", "100644"),
    }
    assert {path for path, action in actions.items() if action.after is None} == {
        "gone.py",
        "old.py",
    }
    assert actions["new.py"].moved_from == "old.py"


def test_a_new_file_that_exists_is_refused_or_already_applied():
    new = diff("--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+x\n")
    assert only_fault(A, new).code == "exists"
    assert only_fault({"a.py": b"x\n"}, new).code == "already_applied"


def test_a_diff_from_nothing_makes_a_file_that_is_not_there():
    assert changed("--- a/n.py\n+++ b/n.py\n@@ -0,0 +1 @@\n+x\n", result="n.py") == b"x\n"


def test_a_new_file_with_context_is_malformed():
    assert (
        only_fault({}, diff("--- /dev/null\n+++ b/n.py\n@@ -1 +1,2 @@\n a\n+x\n")).code
        == "malformed"
    )


def test_a_deletion_that_leaves_lines_is_a_conflict():
    assert (
        only_fault(A, diff("--- a/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n")).code == "conflict"
    )


def test_a_file_dated_at_the_epoch_is_a_missing_one():
    old = (
        "--- a/n.py\t1970-01-01 00:00:00.000000000 +0000\n+++ b/n.py\t2024-01-01 00:00:00 +0000\n@@"
        " -0,0 +1 @@\n+x\n"
    )
    assert only_fault({"n.py": b"y\n"}, diff(old)).code == "exists"


def test_a_file_that_ends_at_the_epoch_is_deleted_under_its_old_name():
    text = (
        "--- gone.py\t2024-01-01 00:00:00 +0000\n+++ a.py\t1970-01-01 00:00:00 +0000\n@@ -1 +0,0"
        " @@\n-x\n"
    )
    assert outcome(A | {"gone.py": b"x\n"}, diff(text)) == A


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("diff --git a/a.py b/a.py\nindex 1..2 100644\nGIT binary patch\nliteral 3\nKcmZ\n", "truncated"),
        ("diff --git a/a.py b/a.py\nBinary files a/a.py and b/a.py differ\n", "binary"),
        ("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+a.py\n", "not_a_file"),
        ("diff --git a/a.py b/a.py\nindex 1..2 100644\n", "truncated"),
        ("--- a/a.py\n+++ b/a.py\n", "truncated"),
        ("please change three to THREE\n", "malformed"),
        (headed("@@ -2,x +2,3 @@\n two\n"), "malformed"),
        (headed("@@ -2,3 +2,3 @@\n"), "truncated"),
        (GOOD, "malformed"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_by_its_reason(text, code):
    assert only_fault(A, diff(text)).code == code


def test_a_diff_builds_on_earlier_changes_and_later_changes_on_it():
    made = outcome(
        A,
        str_replace("three", "tree"),
        hunks("@@ -3 +3 @@\n-tree\n+TREE\n"),
        str_replace("TREE", "wood"),
    )
    assert made["a.py"] == FILE.replace(b"three", b"wood")


def test_two_parts_for_one_file_build_on_one_another():
    text = headed(GOOD) + headed("@@ -3 +3 @@\n-THREE\n+drei\n")
    assert changed(text) == FILE.replace(b"three", b"drei")
