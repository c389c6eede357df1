"""A sealed change is carried onto a branch that has moved, or refused with the
text of the conflict.
"""

from pathlib import Path

import pytest

from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.landing.carrying import carry
from gpt_cursor_runner.landing.landing import diff_stat
from gpt_cursor_runner.landing.sealing import Sealed
from gpt_cursor_runner.patch.faults import Fault, PatchRefused
from tests.building import Repo
from tests.landing.builders import ACCEPTED_AT, Files, git_that_prints, seal_files

LINES = "".join(f"line {number}\n" for number in range(1, 21))


def changed(**lines: str) -> str:
    """The twenty lines with some of them replaced: changed(n3="new")."""
    return "".join(f"{lines.get(f'n{number}', f'line {number}')}\n" for number in range(1, 21))


@pytest.fixture
def long(repo: Repo) -> Repo:
    repo.commit({"long.txt": LINES, "other.txt": "other\n", "scripts/run.sh": LINES})
    return repo


def carried(repo: Repo, sealed: Sealed) -> Sealed:
    return carry(repo.git, sealed, repo.tip(), ACCEPTED_AT)


def refusal(repo: Repo, sealed: Sealed) -> list[Fault]:
    before = repo.state()
    with pytest.raises(PatchRefused) as refused:
        carried(repo, sealed)
    assert repo.state() == before
    return list(refused.value.faults)


def test_a_change_to_other_lines_is_merged_and_newer_lines_stay(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": changed(n2="ours")})
    tip = long.commit({"long.txt": changed(n18="theirs"), "new.txt": "new\n"})
    moved = carried(long, sealed)
    assert long.show("long.txt", moved.commit) + "\n" == changed(n2="ours", n18="theirs")
    assert long.show("new.txt", moved.commit) == "new"
    assert (moved.base, moved.ref) == (tip, sealed.ref)
    assert long.tip(moved.ref) == moved.commit
    assert long.tip(f"{moved.commit}^") == tip
    assert long.run("log", "-1", "--format=%B", moved.commit).strip() == "Seal patch-1"


def test_a_carried_commit_changes_only_what_was_sealed(long: Repo) -> None:
    base = long.tip()
    sealed = seal_files(long, {"long.txt": changed(n2="ours"), "added.txt": "a\n"})
    for number in range(3):
        long.commit({f"newer-{number}": "x\n", "long.txt": changed(n18=f"theirs {number}")})
    moved = carried(long, sealed)
    assert diff_stat(long.git, moved.base, moved.commit) == diff_stat(long.git, base, sealed.commit)


def test_carrying_twice_gives_the_same_commit(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": changed(n2="ours")})
    long.commit({"other.txt": "newer\n"})
    assert carried(long, sealed) == carried(long, sealed)


def test_a_carried_commit_is_carried_again_with_its_change_alone(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": changed(n2="ours")})
    long.commit({"other.txt": "newer\n"})
    once = carried(long, sealed)
    long.commit({"other.txt": "newest\n"})
    twice = carried(long, once)
    assert long.show("other.txt", twice.commit) == "newest"
    assert diff_stat(long.git, twice.base, twice.commit).files == ("long.txt",)


def test_two_changes_to_a_line_are_refused_with_both_versions(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": changed(n5="ours")})
    tip = long.commit({"long.txt": changed(n5="theirs")})
    (fault,) = refusal(long, sealed)
    assert (fault.code, fault.path) == ("conflict", "long.txt")
    assert tip[:12] in fault.message
    assert "branch tip" in fault.next_step
    marks = ("<<<<<<< the branch", "theirs", "=======", "ours", ">>>>>>> the patch")
    assert fault.expected[: len(marks)] == marks


def test_each_path_in_conflict_is_named(long: Repo) -> None:
    sealed = seal_files(
        long, {"long.txt": changed(n5="ours"), "other.txt": "ours\n", "free.txt": "free\n"}
    )
    long.commit({"long.txt": changed(n5="theirs"), "other.txt": "theirs\n"})
    assert [fault.path for fault in refusal(long, sealed)] == ["long.txt", "other.txt"]


def test_a_change_to_a_deleted_file_is_refused_with_gits_message(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": changed(n5="ours")})
    (long.path / "long.txt").unlink()
    long.commit({})
    (fault,) = refusal(long, sealed)
    assert fault.path == "long.txt"
    assert any("CONFLICT (modify/delete): long.txt deleted in" in line for line in fault.expected)


def test_the_deletion_of_a_file_that_changed_is_refused(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": None})
    long.commit({"long.txt": changed(n5="theirs")})
    (fault,) = refusal(long, sealed)
    assert (fault.code, fault.path) == ("conflict", "long.txt")


def test_a_file_added_on_both_sides_with_different_bytes_is_refused(long: Repo) -> None:
    sealed = seal_files(long, {"fresh.txt": "ours\n"})
    long.commit({"fresh.txt": "theirs\n"})
    (fault,) = refusal(long, sealed)
    assert "ours" in fault.expected


def test_a_binary_conflict_is_refused_with_gits_message(long: Repo) -> None:
    long.commit({"image.bin": b"\0base"})
    sealed = seal_files(long, {"image.bin": b"\0ours"})
    long.commit({"image.bin": b"\0theirs"})
    (fault,) = refusal(long, sealed)
    assert any("Cannot merge binary files" in line or "CONFLICT" in line for line in fault.expected)


def test_a_file_where_the_branch_has_a_directory_is_refused(long: Repo) -> None:
    sealed = seal_files(long, {"place": "a file\n"})
    long.commit({"place/inside": "a directory\n"})
    assert all(fault.code == "conflict" for fault in refusal(long, sealed))


@pytest.mark.parametrize(
    "files",
    [
        {"long.txt": None},
        {"long.txt": changed(n5="same")},
        {"added.txt": "added\n"},
        {"long.txt": File(LINES.encode(), "100755")},
    ],
)
def test_a_change_already_on_the_branch_is_refused_as_applied(long: Repo, files: Files) -> None:
    sealed = seal_files(long, files)
    long.run("merge", "--ff-only", "--quiet", sealed.commit)
    long.commit({"other.txt": "newer\n"})
    (fault,) = refusal(long, sealed)
    assert fault.code == "already_applied"
    assert "Nothing is left to do" in fault.next_step


def test_a_renamed_file_is_not_followed(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": changed(n5="ours")})
    long.run("mv", "long.txt", "renamed.txt")
    long.commit({})
    (fault,) = refusal(long, sealed)
    assert (fault.code, fault.path, fault.candidates) == ("conflict", "long.txt", ("renamed.txt",))


def test_a_file_renamed_and_changed_is_a_conflict(long: Repo) -> None:
    sealed = seal_files(long, {"long.txt": changed(n5="ours")})
    long.run("mv", "long.txt", "renamed.txt")
    long.commit({"renamed.txt": changed(n5="theirs")})
    assert {fault.code for fault in refusal(long, sealed)} == {"conflict"}


def test_a_renamed_directory_moves_no_file_to_a_protected_path(long: Repo) -> None:
    """A sender may choose an old base on purpose, from before `scripts` became
    `.github`.
    """
    sealed = seal_files(long, {"scripts/deploy.yml": "on: push\n"})
    long.run("config", "merge.directoryRenames", "true")
    long.run("mv", "scripts", ".github")
    long.commit({})
    moved = carried(long, sealed)
    assert diff_stat(long.git, moved.base, moved.commit).files == ("scripts/deploy.yml",)


def test_a_commit_that_the_owner_reset_does_not_return_with_the_patch(long: Repo) -> None:
    long.commit({"secret.txt": "taken back\n", "other.txt": "taken back\n"})
    sealed = seal_files(long, {"long.txt": changed(n2="ours")})
    long.run("reset", "--quiet", "--hard", "HEAD~1")
    long.commit({"newer.txt": "newer\n"})
    moved = carried(long, sealed)
    assert diff_stat(long.git, moved.base, moved.commit).files == ("long.txt",)


def test_an_amended_commit_of_the_owner_causes_no_conflict(long: Repo) -> None:
    long.commit({"other.txt": "first try\n"})
    sealed = seal_files(long, {"long.txt": changed(n2="ours")})
    long.write({"other.txt": "second try\n"})
    long.run("commit", "--quiet", "--all", "--amend", "-m", "Amended")
    assert long.show("other.txt", carried(long, sealed).commit) == "second try"


def test_a_merge_driver_of_the_repository_is_ignored(long: Repo) -> None:
    sealed = seal_files(long, {"other.txt": "ours\n"})
    long.run("config", "merge.mine.driver", "true")
    long.run("config", "merge.default", "mine")
    long.commit({"other.txt": "theirs\n", ".gitattributes": "other.txt merge=mine\n"})
    assert [fault.path for fault in refusal(long, sealed)] == ["other.txt"]


def test_a_conflict_without_a_path_is_refused(long: Repo, tmp_path: Path) -> None:
    """git-merge-tree(1): an empty list of paths does not mean a clean merge;
    only the exit code decides.
    """
    sealed = seal_files(long, {"long.txt": changed(n2="ours")})
    long.commit({"other.txt": "newer\n"})
    messages = r"\0\0001\0dir\0CONFLICT (directory rename split)\0CONFLICT: Unclear.\n\0"
    git = git_that_prints(
        long, tmp_path / "bin", "merge-tree", f"{long.tip('main^{tree}')}{messages}", 1
    )
    with pytest.raises(PatchRefused) as refused:
        carry(git, sealed, long.tip(), ACCEPTED_AT)
    (fault,) = refused.value.faults
    assert (fault.code, fault.path, fault.expected) == ("conflict", "dir", ("CONFLICT: Unclear.",))
