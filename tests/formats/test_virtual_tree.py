from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_cursor_runner.formats import virtual_tree
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.formats.virtual_tree import Refusal, VirtualTree
from tests.formats.builders import (
    MemoryTree,
    after,
    before,
    chmod,
    codes,
    delete,
    hunks,
    insert,
    move,
    only_fault,
    outcome,
    plan,
    refusal,
    str_replace,
    upsert,
)

A = {"a.py": b"x = 1\n"}


def test_changes_to_one_file_build_on_one_another():
    made = outcome(
        {},
        upsert("a.py", "one\n"),
        str_replace("one", "two"),
        insert(1, "three"),
        move("a.py", "b.py"),
    )
    assert made == {"b.py": b"two\nthree\n"}


def test_each_path_occurs_once_in_a_plan_sorted_and_with_its_first_and_last_state():
    made = plan(A, upsert("z.py"), str_replace("1", "2"), str_replace("2", "3"), upsert("b.py"))
    assert [action.path for action in made.actions] == ["a.py", "b.py", "z.py"]
    assert (before(made.actions[0]).data, after(made.actions[0]).data) == (b"x = 1\n", b"x = 3\n")


def test_a_file_moved_twice_is_moved_from_where_it_stood_first():
    assert plan(A, move("a.py", "b.py"), move("b.py", "c.py")).actions[1].moved_from == "a.py"


def test_a_path_may_be_reused_after_its_file_moved_away():
    made = plan(A, move("a.py", "b.py"), upsert("a.py", "new\n"))
    assert [(action.path, action.moved_from) for action in made.actions] == [
        ("a.py", None),
        ("b.py", None),
    ]


def test_a_folder_may_become_a_file_once_it_is_empty():
    assert outcome({"lib/a.py": b"1"}, delete("lib/a.py"), upsert("lib", "x")) == {"lib": b"x"}


def test_a_file_may_become_a_folder_once_it_is_deleted():
    assert outcome({"lib": b"1"}, delete("lib"), upsert("lib/a.py", "x")) == {"lib/a.py": b"x"}


def test_later_changes_of_a_file_are_not_checked_after_a_failed_one():
    refused = refusal(
        A, str_replace("nowhere", "y"), str_replace("also nowhere", "z"), delete("b.py")
    )
    assert [(fault.code, fault.change) for fault in refused.faults] == [
        ("no_match", 0),
        ("missing_file", 2),
    ]
    assert refused.faults[0].next_step.endswith(
        "Not checked, since it builds on this change: change /changes/1."
    )


def test_only_the_last_fault_of_a_change_names_what_waits_for_it():
    refused = refusal(A, hunks("@@ -1 +1 @@\n-y\n+z\n", "@@ -9 +9 @@\n-q\n+r\n"), delete("a.py"))
    assert ["Not checked" in fault.next_step for fault in refused.faults] == [False, True]


def test_a_failed_move_spoils_its_target_too():
    refused = refusal(
        {},
        move("a.py", "b.py"),
        str_replace("1", "2", "b.py"),
        move("b.py", "c.py"),
        delete("c.py"),
    )
    assert codes(refused) == ["missing_file"]
    assert refused.faults[0].next_step.endswith("changes /changes/1, /changes/2, /changes/3.")


@pytest.mark.parametrize(
    ("kind", "code"), [("symlink", "path_escape"), ("submodule", "path_escape")]
)
def test_nothing_is_written_through_a_link_or_a_submodule(kind, code):
    for change in (
        upsert("out/a.py"),
        delete("out/a.py"),
        chmod("out/a.py"),
        hunks("@@ -1 +1 @@\n-a\n+b\n", path="out/a.py"),
    ):
        assert only_fault({}, change, others={"out": kind}).code == code


def test_a_file_is_no_folder():
    fault = only_fault(A, upsert("a.py/b.py"))
    assert (fault.code, "a.py is a file" in fault.message) == ("not_a_file", True)


@pytest.mark.parametrize("kind", ["symlink", "submodule", "directory"])
def test_only_regular_files_are_changed(kind):
    others = {"it": kind} | ({"it/x": "file"} if kind == "directory" else {})
    files = {"it/x": b""} if kind == "directory" else {}
    for change in (upsert("it"), delete("it"), move("it", "b"), str_replace("a", "b", "it")):
        assert only_fault(files, change, others=others).code == "not_a_file"


@pytest.mark.parametrize(
    ("existing", "new", "colliding"),
    [
        ("README.md", "readme.md", "README.md"),
        ("src/app.py", "SRC/other.py", "src"),
        ("src/Lib/a.py", "src/lib/b.py", "src/Lib"),
        ("caf\u00e9.txt", "CAFE\u0301.TXT", "caf\u00e9.txt"),
        ("stra\u00dfe", "STRASSE", "stra\u00dfe"),
    ],
)
def test_a_name_that_differs_only_in_case_or_composition_is_refused(existing, new, colliding):
    fault = only_fault({existing: b""}, upsert(new))
    assert fault.code == "exists"
    assert f"the existing {colliding} differ" in fault.message


def test_two_new_names_may_not_collide_either():
    assert codes(refusal({}, upsert("Doc/a.md"), upsert("doc/b.md"))) == ["exists"]


def test_a_rename_of_the_case_alone_is_allowed():
    assert outcome({"README.md": b"x"}, move("README.md", "Readme.md")) == {"Readme.md": b"x"}


def test_a_name_is_free_again_when_what_it_collided_with_is_deleted():
    assert outcome({"Lib/a": b"1"}, delete("Lib/a"), upsert("lib/a", "2")) == {"lib/a": b"2"}


def test_a_file_over_the_limit_is_neither_edited_nor_made(monkeypatch):
    monkeypatch.setattr(virtual_tree, "MAX_FILE_BYTES", 100)
    assert only_fault({"a.py": b"x" * 101}, str_replace("y", "z")).code == "too_large"
    assert only_fault({}, upsert("a.py", "x" * 101)).code == "too_large"
    assert only_fault({"a.py": b"x" * 90 + b"\n"}, insert(1, "y" * 20)).code == "too_large"


_PLACES = ["a", "a/b", "a/b/c", "a/b/d", "a/e", "f/g/h", "f/g/i"]


@given(st.sets(st.sampled_from(_PLACES)), st.lists(st.sampled_from(_PLACES)))
def test_a_folder_exists_as_long_as_it_has_an_entry(base, touched):
    files = {path for path in base if not any(other.startswith(path + "/") for other in base)}
    tree = VirtualTree(MemoryTree(dict.fromkeys(files, b"x")))
    for path in touched:
        with suppress(Refusal):
            if path in files:
                tree.delete(path)
                files.remove(path)
            else:
                tree.write(path, File(b"y"))
                files.add(path)
        for place in [*_PLACES, "f", "f/g"]:
            below = any(known.startswith(place + "/") for known in files)
            assert tree.kind(place) == (
                "file" if place in files else "directory" if below else None
            ), place


def test_a_binary_file_is_not_edited_as_text():
    for change in (str_replace("a", "b"), insert(0, "x"), hunks("@@ -1 +1 @@\n-a\n+b\n")):
        assert only_fault({"a.py": b"a\0b\n"}, change).code == "binary"


def test_the_message_for_a_missing_file_mentions_a_missing_folder():
    assert (
        "nor is there a folder srcs" in only_fault({"src/a.py": b""}, delete("srcs/a.py")).message
    )
