import hashlib

from tests.formats.builders import (
    after,
    before,
    chmod,
    codes,
    delete,
    move,
    only_fault,
    outcome,
    plan,
    refusal,
    upsert,
)

A = {"a.py": b"x = 1\n"}


def test_an_upsert_creates_a_file_with_the_mode_asked_for():
    action = plan({}, upsert("bin/run", "#!/bin/sh\n", mode="0755")).actions[0]
    assert (action.path, action.before, after(action).data, after(action).mode) == (
        "bin/run", None, b"#!/bin/sh\n", "100755",
    )  # fmt: skip


def test_an_upsert_without_a_mode_keeps_the_mode_of_the_file():
    action = plan({"run": b"old\n"}, upsert("run", "new\n"), others={"run": "executable"}).actions[
        0
    ]
    assert (before(action).mode, after(action).mode) == ("100755", "100755")


def test_an_upsert_of_the_same_contents_is_already_applied_when_it_is_all_there_is():
    fault = only_fault(A, upsert("a.py", "x = 1\n"))
    assert (fault.code, fault.pointer) == ("already_applied", "/changes/0/path")


def test_an_upsert_of_the_same_contents_is_left_out_of_a_plan_that_does_something():
    assert [
        action.path for action in plan(A, upsert("a.py", "x = 1\n"), upsert("b.py")).actions
    ] == ["b.py"]


def test_an_upsert_may_refuse_to_overwrite():
    made = plan({}, upsert("n.py", "x\n", on_exists="refuse", mode="755")).actions[0]
    assert (after(made).data, after(made).mode) == (b"x\n", "100755")
    assert only_fault(A, upsert("a.py", "y\n", on_exists="refuse")).code == "exists"
    assert only_fault(A, upsert("a.py", "x = 1\n", on_exists="refuse")).code == "already_applied"
    assert outcome(A, upsert("a.py", "y\n", on_exists="overwrite")) == {"a.py": b"y\n"}


def test_a_change_made_for_another_version_is_refused_with_the_present_digest():
    fault = only_fault(A, upsert("a.py", "y\n", expect_sha256="0" * 64))
    assert (fault.code, fault.file_sha256) == (
        "base_mismatch",
        hashlib.sha256(A["a.py"]).hexdigest(),
    )
    assert outcome(A, upsert("a.py", "y\n", expect_sha256=fault.file_sha256)) == {"a.py": b"y\n"}


def test_a_delete_made_for_another_version_is_refused():
    assert only_fault(A, delete("a.py", expect_sha256="0" * 64)).code == "base_mismatch"


def test_an_upsert_that_expects_a_file_which_is_gone_is_refused():
    assert only_fault({}, upsert("a.py", "y\n", expect_sha256="0" * 64)).code == "base_mismatch"


def test_a_delete_removes_the_file():
    assert outcome(A, delete("a.py")) == {}


def test_a_delete_of_a_missing_file_names_similar_ones_beside_it():
    fault = only_fault({"src/config.py": b"", "src/main.py": b""}, delete("src/confg.py"))
    assert (fault.code, fault.candidates[0]) == ("missing_file", "src/config.py")
    assert "src/config.py" in fault.next_step


def test_a_move_is_two_actions_that_know_each_other():
    gone, made = plan(A, move("a.py", "lib/b.py")).actions
    assert (gone.path, gone.after, made.path, made.moved_from) == ("a.py", None, "lib/b.py", "a.py")
    assert made.after == gone.before


def test_a_move_onto_a_file_is_refused():
    fault = only_fault({"a.py": b"1", "b.py": b"2"}, move("a.py", "b.py"))
    assert (fault.code, fault.pointer) == ("exists", "/changes/0/to")


def test_a_move_of_a_missing_file_points_at_its_source():
    fault = only_fault({}, move("a.py", "b.py"))
    assert (fault.code, fault.pointer) == ("missing_file", "/changes/0/from")


def test_a_move_onto_itself_does_nothing_and_is_refused():
    assert only_fault(A, move("a.py", "a.py")).code == "no_op"


def test_chmod_changes_the_mode_alone():
    action = plan(A, chmod("a.py", "755")).actions[0]
    assert (before(action).data, after(action).data, after(action).mode) == (
        b"x = 1\n",
        b"x = 1\n",
        "100755",
    )


def test_chmod_to_the_present_mode_is_already_applied():
    assert only_fault(A, chmod("a.py", "644")).code == "already_applied"


def test_changes_that_undo_one_another_are_no_op():
    assert only_fault(A, upsert("a.py", "y\n"), upsert("a.py", "x = 1\n")).code == "no_op"


def test_faults_of_all_changes_come_at_once():
    assert (
        codes(refusal(A, delete("b.py"), upsert("c.py"), move("d.py", "e.py"), chmod("f.py")))
        == ["missing_file"] * 3
    )
