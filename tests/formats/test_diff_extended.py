"""git's extended headers, and the headers, envelopes and names of other tools."""

import pytest

from tests.formats.builders import codes, diff, only_fault, outcome, plan, refusal

FILE = b"one\ntwo\nthree\n"
HUNK = "@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n"
CHANGED = FILE.replace(b"two", b"TWO")
A = {"a.py": FILE}


def git(old: str, new: str, *lines: str) -> str:
    return f"diff --git a/{old} b/{new}\n" + "".join(line + "\n" for line in lines)


def rename(old: str, new: str, hunk: str = "", similarity: str = "100%") -> str:
    return git(
        old, new, f"similarity index {similarity}", f"rename from {old}", f"rename to {new}"
    ) + (f"--- a/{old}\n+++ b/{new}\n{hunk}" if hunk else "")


def copy(old: str, new: str, hunk: str = "", similarity: str = "100%") -> str:
    return rename(old, new, hunk, similarity).replace("rename ", "copy ")


def changed(path: str, hunk: str = HUNK) -> str:
    return git(path, path) + f"--- a/{path}\n+++ b/{path}\n{hunk}"


def created(path: str, line: str = "new") -> str:
    return git(
        path,
        path,
        "new file mode 100644",
        "--- /dev/null",
        f"+++ b/{path}",
        "@@ -0,0 +1 @@",
        f"+{line}",
    )


def deleted(path: str, line: str) -> str:
    return git(
        path,
        path,
        "deleted file mode 100644",
        f"--- a/{path}",
        "+++ /dev/null",
        "@@ -1 +0,0 @@",
        f"-{line}",
    )


def modes(files, text: str, **more: object) -> dict[str, str | None]:
    made = plan(files, diff(text, **more)).actions
    return {action.path: action.after.mode if action.after else None for action in made}


def test_files_that_swap_their_names_are_read_before_either_moves():
    files = {"a": b"1\n", "b": b"2\n", "c": b"3\n"}
    assert outcome(files, diff(rename("a", "b") + rename("b", "a"))) == {
        "a": b"2\n",
        "b": b"1\n",
        "c": b"3\n",
    }
    circle = rename("a", "b") + rename("b", "c") + rename("c", "a")
    assert outcome(files, diff(circle)) == {"a": b"3\n", "b": b"1\n", "c": b"2\n"}
    assert outcome(outcome(files, diff(circle)), diff(circle, reverse=True)) == files


def test_a_copy_is_of_the_file_before_the_diff_changed_it():
    after = {"a.py": CHANGED, "b.py": FILE}
    assert outcome(A, diff(changed("a.py") + copy("a.py", "b.py"))) == after
    assert outcome(A, diff(copy("a.py", "b.py") + changed("a.py"))) == after


def test_a_file_may_be_moved_and_copied_and_each_has_its_own_hunks():
    text = copy("a.py", "b.py", HUNK, "80%") + rename("a.py", "c.py")
    assert outcome(A, diff(text)) == {"b.py": CHANGED, "c.py": FILE}
    assert outcome(A, diff(rename("a.py", "c.py") + copy("a.py", "b.py"))) == {
        "b.py": FILE,
        "c.py": FILE,
    }


def test_what_a_diff_made_it_may_change_further_on():
    text = created("n.py", "old") + changed("n.py", "@@ -1 +1 @@\n-old\n+new\n")
    assert outcome({}, diff(text)) == {"n.py": b"new\n"}
    assert outcome(A, diff(rename("a.py", "n.py") + changed("n.py"))) == {"n.py": CHANGED}


def test_a_file_changed_before_it_is_moved_in_the_same_diff_is_refused():
    assert "missing_file" in codes(refusal(A, diff(changed("a.py") + rename("a.py", "b.py"))))


def test_a_move_onto_a_file_that_stays_is_refused():
    assert only_fault(A | {"b.py": b"x\n"}, diff(rename("a.py", "b.py"))).code == "exists"


def test_a_file_and_a_folder_may_change_places_in_either_order():
    file, folder = {"d": b"x\n"}, {"d/e": b"y\n"}
    assert outcome(file, diff(deleted("d", "x") + created("d/e", "y"))) == folder
    assert outcome(folder, diff(created("d", "x") + deleted("d/e", "y"))) == file
    assert outcome(folder, diff(rename("d/e", "d"))) == {"d": b"y\n"}
    assert outcome(file, diff(rename("d", "d/e"))) == {"d/e": b"x\n"}


def test_a_mail_of_a_series_builds_on_the_one_before():
    head = (
        "From {} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH {}/2] x\n\n---\n a.py | 2"
        " +-\n\n"
    )
    letter = head + "{}-- \n2.39.5\n\n"
    first, second = (
        letter.format("1" * 40, 1, changed("a.py")),
        letter.format("2" * 40, 2, rename("a.py", "b.py")),
    )
    assert outcome(A, diff(first + second)) == {"b.py": CHANGED}
    assert outcome({"b.py": CHANGED}, diff(first + second, reverse=True)) == A


def test_modes_change_alone_with_hunks_and_with_a_move():
    mode = ("old mode 100644", "new mode 100755")
    assert modes(A, git("a.py", "a.py", *mode)) == {"a.py": "100755"}
    assert modes(A, git("a.py", "a.py", *mode, "--- a/a.py", "+++ b/a.py") + HUNK) == {
        "a.py": "100755"
    }
    moved = git(
        "a.py", "b.py", *mode, "similarity index 100%", "rename from a.py", "rename to b.py"
    )
    assert modes(A, moved) == {"a.py": None, "b.py": "100755"}
    assert modes(A, git("a.py", "a.py", "old mode 100755", "new mode 100644"), reverse=True) == {
        "a.py": "100755"
    }
    assert modes({}, created("n").replace("100644", "100775")) == {"n": "100755"}


@pytest.mark.parametrize(
    "text",
    [
        git("a.py", "a.py", "old mode 100644", "new mode 120000"),
        git(
            "s",
            "s",
            "new file mode 160000",
            "index 0000000..1234567",
            "--- /dev/null",
            "+++ b/s",
            "@@ -0,0 +1 @@",
            "+x",
        ),
        git("a.py", "a.py", "index 1234567..7654321 160000", "--- a/a.py", "+++ b/a.py") + HUNK,
        git(
            "a.py",
            "a.py",
            "deleted file mode 120000",
            "--- a/a.py",
            "+++ /dev/null",
            "@@ -1 +0,0 @@",
            "-x",
        ),
    ],
)
def test_links_and_submodules_are_refused(text):
    assert "not_a_file" in codes(refusal(A, diff(text)))


def test_empty_files_are_made_and_removed():
    new = git("e", "e", "new file mode 100644", "index 0000000..e69de29")
    assert outcome({}, diff(new)) == {"e": b""}
    assert outcome({"e": b""}, diff(new, reverse=True)) == {}
    assert (
        outcome(
            {"e": b""}, diff(git("e", "e", "deleted file mode 100644", "index e69de29..0000000"))
        )
        == {}
    )


def test_a_deletion_without_the_lines_it_deletes_is_refused():
    fault = only_fault(A, diff(git("a.py", "a.py", "deleted file mode 100644")))
    assert (fault.code, "send a delete change" in fault.next_step.lower()) == ("conflict", True)


def test_a_reversed_diff_leads_back_and_forth():
    text = (
        changed("a.py")
        + created("n.py")
        + deleted("d.py", "gone")
        + rename("m.py", "w.py", HUNK, "80%")
    )
    before = {"a.py": FILE, "d.py": b"gone\n", "m.py": FILE}
    after = {"a.py": CHANGED, "n.py": b"new\n", "w.py": CHANGED}
    assert outcome(before, diff(text)) == after
    assert outcome(after, diff(text, reverse=True)) == before
    twice = created("n.py", "old") + changed("n.py", "@@ -1 +1 @@\n-old\n+new\n")
    assert outcome({"n.py": b"new\n", "k": b""}, diff(twice, reverse=True)) == {"k": b""}


def test_a_copy_is_not_reversed():
    assert (
        only_fault({"a.py": FILE, "b.py": FILE}, diff(copy("a.py", "b.py"), reverse=True)).code
        == "malformed"
    )


@pytest.mark.parametrize(
    "text",
    [
        "diff --git a/a.py",
        "diff --git a/a.py b/a.py\nold mode 100644",
        "diff --git a/a.py b/a.py\nold mode 100644\nnew mode 1007",
        "diff --git a/n.py b/n.py\nnew file mode 100644",
        "diff --git a/n.py b/n.py\nnew file mode 100644\nindex 0000000..1234567\n",
        "diff --git a/n.py b/n.py\nnew file mode 100644\n--- /dev/null\n+++ b/n.py\n",
        rename("a.py", "src/utils.py")[:-5],
        rename("a.py", "src/utils.py").rsplit("rename to", 1)[0],
        rename("a.py", "b.py", similarity="90%"),
        changed("a.py") + "--- a/b.py",
        changed("a.py") + "--- a/b.py\n+++ b/b",
        changed("a.py") + "diff --gi",
        changed("a.py") + "diff --git a/b.py b/b.py\nindex 1234567..7654321 100644\n",
        changed("a.py") + "@",
        changed("a.py") + "@@ -7",
    ],
)
def test_a_diff_that_stops_in_its_headers_is_refused(text):
    assert codes(refusal(A | {"b.py": FILE}, diff(text)))[0] in ("truncated", "malformed")


@pytest.mark.parametrize(
    "names",
    [
        ("i/src/x y.py", "w/src/x y.py"),
        ("w/src/x y.py", "i/src/x y.py"),
        ("old/src/x y.py", "new/src/x y.py"),
        ("b/src/x y.py", "a/src/x y.py"),
        ("src/x y.py", "src/x y.py"),
        ("project/src/x y.py", "project/src/x y.py"),
        ('"a/src/x\\040y.py"', '"b/src/x y.py"'),
        ("a/src/x y.py\t2024-01-01 00:00:00.000000000 +0000", "b/src/x y.py\t"),
        ("src/x y.py\t(revision 646)", "src/x y.py\t(working copy)"),
        ("src/x y.py (revision 646)", "src/x y.py (working copy)"),
        (
            "a/src/x y.py\tWed Mar 16 08:21:44 2011 +0200",
            "b/src/x y.py\tWed Mar 16 10:08:57 2011 +0200",
        ),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_names_lose_what_they_do_not_share(names, ends):
    text = "--- {}\n+++ {}\n".format(*names).replace("\n", ends) + HUNK
    assert outcome({"src/x y.py": FILE}, diff(text)) == {"src/x y.py": CHANGED}


def test_the_prefix_of_a_new_file_follows_from_its_header_or_the_other_files():
    assert outcome({}, diff(created("n.py").replace("a/", "old/").replace("b/", "new/"))) == {
        "n.py": b"new\n"
    }
    new = "--- /dev/null\n+++ new/n.py\n@@ -0,0 +1 @@\n+new\n"
    assert outcome({}, diff(new)) == {"new/n.py": b"new\n"}
    both = f"--- old/a.py\n+++ new/a.py\n{HUNK}{new}"
    assert outcome(A, diff(both)) == {"a.py": CHANGED, "n.py": b"new\n"}


def test_a_new_file_is_not_put_beside_one_of_the_name_with_its_prefix():
    assert outcome({"b/n.py": b"x\n"}, diff(created("n.py"))) == {
        "b/n.py": b"x\n",
        "n.py": b"new\n",
    }


@pytest.mark.parametrize(("strip", "name"), [(0, "a/x/y.py"), (1, "x/y.py"), (2, "y.py")])
def test_a_strip_that_is_given_is_obeyed(strip, name):
    files = {"a/x/y.py": FILE, "x/y.py": FILE, "y.py": FILE}
    assert outcome(files, diff("--- a/x/y.py\n+++ a/x/y.py\n" + HUNK, strip=strip)) == files | {
        name: CHANGED
    }


def test_names_that_contradict_their_git_line_are_refused():
    text = f"diff --git a/a.py b/a.py\n--- a/b.py\n+++ b/b.py\n{HUNK}"
    assert only_fault(A | {"b.py": FILE}, diff(text)).code == "malformed"


@pytest.mark.parametrize(
    ("stamp", "missing"),
    [
        ("1970-01-01 00:00:00.000000000 +0000", True),
        ("1969-12-31 16:00:00 -0800", True),
        ("1970-01-01 09:00:00.0 +0900", True),
        ("Thu Jan 01 00:00:00 1970 +0000", True),
        ("1970-01-01 09:00:00 -0900", False),
        ("1970-01-01 00:00:01 +0000", False),
    ],
)
def test_the_beginning_of_unix_time_in_any_zone_means_no_file(stamp, missing):
    text = f"--- a.py\t2024-01-01 10:00:00 +0000\n+++ a.py\t{stamp}\n@@ -1 +0,0 @@\n-x\n"
    assert outcome({"a.py": b"x\n", "k": b""}, diff(text)) == (
        {"k": b""} if missing else {"a.py": b"", "k": b""}
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            (
                "diff --cc a.py\nindex 1,2..3\n--- a/a.py\n+++ b/a.py\n@@@ -1,1 -1,1 +1,1 @@@\n-"
                " one\n -two\n++x\n"
            ),
            "malformed",
        ),
        (
            (
                "*** a.py\n--- a.py\n***************\n*** 1,3 ****\n  one\n! two\n--- 1,3 ----\n "
                " one\n! TWO\n"
            ),
            "malformed",
        ),
        ("2c2\n< two\n---\n> TWO\n", "malformed"),
        ("2c\nTWO\n.\n", "malformed"),
        ("Content-Transfer-Encoding: quoted-printable\n\n" + changed("a.py"), "malformed"),
        ("Binary files old/logo.png and new/logo.png differ\n" + changed("a.py"), "binary"),
        (changed("a.py") + "--- a/b.py\n" + HUNK, "malformed"),
        ("  " + changed("a.py").replace("\n", "\n  "), "malformed"),
        ("--- " + " " * 100_000 + "\n+++ x\n" + HUNK, "malformed"),
    ],
)
def test_what_is_no_unified_diff_of_texts_is_refused_as_a_whole(text, code):
    assert code in codes(refusal(A | {"b.py": FILE}, diff(text)))


@pytest.mark.parametrize(
    "hunk",
    [
        "@@ ... @@\n one\n-two\n+TWO\n three\n",
        "@@ one @@\n-two\n+TWO\n",
        "@@\n one\n-two\n+TWO\n",
        " one\n-two\n+TWO\n three\n",
        "@@ -1,3 +1,3 @@ def f(): @@ x\n one\n-two\n+TWO\n three\n",
    ],
)
def test_hunks_of_models_need_no_numbers(hunk):
    assert outcome(A, diff("Sure:\n```diff\n--- a/a.py\n+++ b/a.py\n" + hunk + "```\n")) == {
        "a.py": CHANGED
    }


def test_anchors_above_a_hunk_select_one_of_two_places():
    files = {"a.py": b"class A:\n    def f():\n        x\nclass B:\n    def f():\n        x\n"}
    body = "-        x\n+        y\n"
    after = {"a.py": files["a.py"][:-2] + b"y\n"}
    assert outcome(files, diff("--- a.py\n+++ a.py\n@@ class B:\n@@ def f():\n" + body)) == after
    assert outcome(files, diff("--- a.py\n+++ a.py\n@@ class B: @@\n" + body)) == after


def test_several_fences_are_one_diff():
    fenced = (
        f"First:\n```diff\n{changed('a.py')}```\nThen:\n\n```diff\n{changed('b.py')}```\nDone.\n"
    )
    assert outcome(A | {"b.py": FILE}, diff(fenced)) == {"a.py": CHANGED, "b.py": CHANGED}


def test_the_marker_of_a_missing_newline_is_known_in_any_language_and_only_at_the_end():
    text = "--- a.py\n+++ a.py\n@@ -1 +1 @@\n-a\n\\ Kein Zeilenumbruch am Dateiende.\n+b\n"
    assert outcome({"a.py": b"a"}, diff(text)) == {"a.py": b"b\n"}
    amid = (
        "--- a.py\n+++ a.py\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n\\ No newline at end of file\n"
        " three\n"
    )
    assert only_fault(A, diff(amid)).code == "malformed"


def test_more_files_than_a_diff_may_have_are_refused():
    assert (
        only_fault({}, diff("".join(created(f"{number}.py") for number in range(2001)))).code
        == "limit"
    )
