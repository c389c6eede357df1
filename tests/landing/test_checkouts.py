"""The owner's checkout follows the branch, and no uncommitted work of the owner
is lost.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.landing import BaseMoved, move_branch
from gpt_cursor_runner.patch.faults import CheckoutInUse, HumanNeeded, WorldFailed
from tests.building import SEARCH_PATH, Repo
from tests.landing.builders import Files, commit_of, git_with_script

HELLO = 'def greet():\n    return "hello"\n'
PATCH: Files = {"greeting.py": HELLO, "added/new.txt": "new\n"}
SHORT = 0.05


def land(repo: Repo, files: Files = PATCH, branch: str = "main") -> str | None:
    return move_branch(repo.git, branch, repo.tip(branch), commit_of(repo, files), SHORT)


def refusal(repo: Repo, files: Files = PATCH) -> HumanNeeded:
    """The error raised for these files, after a check that the repository is
    unchanged.
    """
    old, new, before = repo.tip(), commit_of(repo, files), repo.state()
    with pytest.raises(HumanNeeded) as held:
        move_branch(repo.git, "main", old, new, SHORT)
    assert repo.state() == before
    assert "approve the patch again; it stays sealed." in held.value.next_step
    return held.value


def owners_work(repo: Repo) -> dict[str, bytes]:
    return {name: data for name, data in repo.state().items() if not name.startswith(".git/")}


def test_a_clean_checkout_follows(repo: Repo) -> None:
    assert land(repo) == str(repo.path)
    assert (repo.path / "greeting.py").read_text() == HELLO
    assert (repo.path / "added" / "new.txt").read_text() == "new\n"
    assert repo.run("status", "--porcelain") == ""
    assert not list((repo.path / ".git").glob("*.lock"))


def test_work_elsewhere_in_the_checkout_stays_byte_for_byte(repo: Repo) -> None:
    repo.commit(
        {"staged.txt": "old\n", "dirty.txt": "old\n", "gone.txt": "old\n", ".gitignore": "*.log\n"}
    )
    repo.write({"staged.txt": "staged\n", "fresh.txt": "staged\n"})
    repo.run("add", "staged.txt", "fresh.txt")
    repo.write(
        {
            "staged.txt": "staged, then dirty\n",
            "dirty.txt": "dirty\r\n\0",
            "untracked": "mine\n",
            "a.log": "log",
        }
    )
    (repo.path / "gone.txt").unlink()
    before, status = owners_work(repo), repo.run("status", "--porcelain", "--ignored")
    staged = repo.run("diff", "--cached")
    land(repo)
    after = owners_work(repo)
    assert {name: after.get(name) for name in before if name != "greeting.py"} == {
        name: data for name, data in before.items() if name != "greeting.py"
    }
    assert set(after) - set(before) == {"added/new.txt"}
    assert repo.run("status", "--porcelain", "--ignored") == status
    assert repo.run("diff", "--cached") == staged


def test_the_owners_next_commit_keeps_the_landed_change(repo: Repo) -> None:
    repo.write({"mine.txt": "mine\n"})
    repo.run("add", "mine.txt")
    land(repo)
    repo.run("commit", "--quiet", "-m", "Mine")
    assert repo.show("greeting.py") + "\n" == HELLO
    assert repo.show("mine.txt") == "mine"


def test_a_file_that_was_only_touched_is_not_in_the_way(repo: Repo) -> None:
    (repo.path / "greeting.py").touch()
    assert land(repo) == str(repo.path)


@pytest.mark.parametrize("staged", [False, True])
def test_overlapping_work_is_in_the_way(repo: Repo, staged: bool) -> None:
    repo.write({"greeting.py": "my own idea\n"})
    if staged:
        repo.run("add", "greeting.py")
    held = refusal(repo)
    assert held.code == "checkout_in_the_way"
    assert "greeting.py" in held.message
    assert isinstance(held.cause, CheckoutInUse)
    assert held.cause.checkout == str(repo.path)


@pytest.mark.parametrize("ignored", [False, True])
def test_an_untracked_or_ignored_file_is_in_the_way(repo: Repo, ignored: bool) -> None:
    repo.commit({".gitignore": ".env\n" if ignored else ""})
    repo.write({".env": "SECRET=mine\n"})
    held = refusal(repo, {".env": "SECRET=theirs\n"})
    assert held.code == "checkout_in_the_way"
    assert ".env" in held.message


def test_an_untracked_directory_in_place_of_a_file_is_in_the_way(repo: Repo) -> None:
    repo.write({"place/mine.txt": "mine\n"})
    assert refusal(repo, {"place": "a file\n"}).code == "checkout_in_the_way"


def test_the_deletion_of_a_file_with_local_changes_is_in_the_way(repo: Repo) -> None:
    repo.write({"greeting.py": "my own idea\n"})
    assert refusal(repo, {"greeting.py": None}).code == "checkout_in_the_way"


def test_a_file_named_like_a_lock_is_not_treated_as_a_lock(repo: Repo) -> None:
    repo.commit({"index.lock": "old\n"})
    repo.write({"index.lock": "mine\n"})
    assert refusal(repo, {"index.lock": "theirs\n"}).code == "checkout_in_the_way"


def test_a_refusal_restores_orig_head(repo: Repo) -> None:
    first = repo.tip()
    repo.commit({"b.txt": "b\n"})
    repo.run("update-ref", "ORIG_HEAD", first)
    repo.write({"greeting.py": "my own idea\n"})
    refusal(repo)
    assert repo.tip("ORIG_HEAD") == first


@pytest.mark.parametrize(
    "options",
    ["--squash", "--autostash --no-ff", "--no-commit --no-ff --stat", "--overwrite-ignore"],
)
def test_the_owners_merge_options_change_nothing(repo: Repo, options: str) -> None:
    repo.run("config", "branch.main.mergeOptions", options)
    repo.write({"README.md": "# Dirty\n"})
    written_at = (repo.path / "README.md").stat().st_mtime_ns
    assert land(repo) == str(repo.path)
    assert repo.run("status", "--porcelain") == " M README.md"
    assert (
        repo.path / "README.md"
    ).stat().st_mtime_ns == written_at  # not stashed and put back either
    assert repo.run("stash", "list") == ""
    assert repo.run("rev-list", "--count", "main") == "2"


def test_a_linked_worktree_on_the_branch_follows(repo: Repo, tmp_path: Path) -> None:
    repo.run("checkout", "--quiet", "-b", "side")
    repo.run("worktree", "add", "--quiet", str(tmp_path / "linked"), "main")
    before = owners_work(repo)
    assert land(repo) == str(tmp_path / "linked")
    assert (tmp_path / "linked" / "greeting.py").read_text() == HELLO
    assert Repo(tmp_path / "linked").run("status", "--porcelain") == ""
    assert owners_work(repo) == before


def test_work_in_a_linked_worktree_is_in_the_way(repo: Repo, tmp_path: Path) -> None:
    repo.run("checkout", "--quiet", "-b", "side")
    repo.run("worktree", "add", "--quiet", str(tmp_path / "linked"), "main")
    (tmp_path / "linked" / "greeting.py").write_text("my own idea\n")
    cause = refusal(repo).cause
    assert isinstance(cause, CheckoutInUse)
    assert cause.checkout == str(tmp_path / "linked")
    assert (tmp_path / "linked" / "greeting.py").read_text() == "my own idea\n"


def test_a_deleted_worktree_is_ignored(repo: Repo, tmp_path: Path) -> None:
    repo.run("checkout", "--quiet", "-b", "side")
    repo.run("worktree", "add", "--quiet", str(repo.path / "inner"), "main")
    for file in (repo.path / "inner").iterdir():
        file.unlink()
    (repo.path / "inner" / "notes.txt").write_text("a plain directory now\n")
    assert land(repo) is None
    assert [file.name for file in (repo.path / "inner").iterdir()] == ["notes.txt"]
    (repo.path / "inner" / "notes.txt").unlink()
    (repo.path / "inner").rmdir()
    assert land(repo, {"b.txt": "b\n"}) is None


def test_a_locked_worktree_that_is_missing_holds_the_branch(repo: Repo, tmp_path: Path) -> None:
    repo.run("checkout", "--quiet", "-b", "side")
    repo.run("worktree", "add", "--quiet", "--lock", str(tmp_path / "stick"), "main")
    (tmp_path / "stick").rename(tmp_path / "unplugged")
    held = refusal(repo)
    assert held.code == "branch_in_use"
    assert "not there now" in held.message


def test_a_branch_checked_out_twice_is_held(repo: Repo, tmp_path: Path) -> None:
    repo.run("worktree", "add", "--quiet", "--force", str(tmp_path / "twin"), "main")
    assert refusal(repo).code == "branch_in_use"


def test_a_checkout_with_a_separate_git_directory_follows(
    make_repo: Callable[[str], Repo], tmp_path: Path
) -> None:
    repo = make_repo("apart")
    repo.run("init", "--quiet", "--separate-git-dir", str(tmp_path / "apart.git"))
    assert land(repo) == str(repo.path)
    assert repo.run("status", "--porcelain") == ""
    assert not (tmp_path / "apart.git" / "greeting.py").exists()


def test_a_separate_git_directory_without_its_checkout_is_refused(
    make_repo: Callable[[str], Repo], tmp_path: Path
) -> None:
    repo = make_repo("apart")
    repo.run("init", "--quiet", "--separate-git-dir", str(tmp_path / "apart.git"))
    old, new = repo.tip(), commit_of(repo, PATCH)
    with pytest.raises(WorldFailed, match="checkout") as failed:
        move_branch(Git.at(tmp_path / "apart.git", SEARCH_PATH), "main", old, new)
    assert failed.value.code == "checkout_unknown"
    assert repo.tip() == old


def test_the_checkout_of_a_submodule_follows(repo: Repo, make_repo: Callable[[str], Repo]) -> None:
    outer = make_repo("outer")
    outer.run(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo.path), "inner"
    )
    inner = Repo(outer.path / "inner")
    assert land(inner) == str(inner.path)
    assert inner.run("status", "--porcelain") == ""


def start_rebase(repo: Repo) -> None:
    repo.run("checkout", "--quiet", "-b", "upstream", "HEAD~1")
    repo.commit({"b.txt": "upstream\n"})
    repo.run("checkout", "--quiet", "main")
    with pytest.raises(Exception, match="rebase"):
        repo.run("rebase", "upstream")


def start_bisect(repo: Repo) -> None:
    repo.run("bisect", "start", "main", "HEAD~2")


def start_merge(repo: Repo) -> None:
    repo.run("checkout", "--quiet", "-b", "other", "HEAD~1")
    repo.commit({"other.txt": "other\n"})
    repo.run("checkout", "--quiet", "main")
    repo.run("merge", "--quiet", "--no-commit", "--no-ff", "other")


def start_cherry_pick(repo: Repo) -> None:
    repo.run("checkout", "--quiet", "-b", "other", "HEAD~1")
    repo.commit({"b.txt": "conflict\n"})
    repo.run("checkout", "--quiet", "main")
    with pytest.raises(Exception, match="cherry-pick"):
        repo.run("cherry-pick", "other")


def start_am(repo: Repo) -> None:
    with pytest.raises(Exception, match="am"):
        repo.run(
            "am",
            "--quiet",
            data=b"From: a <a@b>\nSubject: x\n\n--- a/no\n+++ b/no\n@@ -1 +1 @@\n-a\n+b\n",
        )


@pytest.mark.parametrize(
    ("word", "start"),
    [
        ("rebase", start_rebase),
        ("bisect", start_bisect),
        ("merge", start_merge),
        ("cherry-pick", start_cherry_pick),
        ("git am", start_am),
    ],
)
def test_an_unfinished_operation_of_the_owner_holds_the_branch(
    repo: Repo, word: str, start: Callable[[Repo], None]
) -> None:
    repo.commit({"b.txt": "second\n"})
    repo.commit({"b.txt": "third\n"})
    start(repo)
    held = refusal(repo, {"added.txt": "added\n"})
    assert held.code == "branch_in_use"
    assert f"in the middle of a {word}" in held.message


def test_a_rebase_of_another_branch_does_not_hold_this_branch(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"b.txt": "second\n"})
    repo.run("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"), "HEAD~1")
    side = Repo(tmp_path / "side")
    side.commit({"b.txt": "side\n"})
    with pytest.raises(Exception, match="rebase"):
        side.run("rebase", "main")
    assert land(repo) == str(repo.path)


def test_a_lock_that_is_released_soon_is_waited_for(repo: Repo) -> None:
    old, new = repo.tip(), commit_of(repo, PATCH)
    lock = repo.path / ".git" / "index.lock"
    lock.touch()
    release = threading.Timer(0.6, lock.unlink)
    began = time.monotonic()
    release.start()
    assert move_branch(repo.git, "main", old, new, 5.0) == str(repo.path)
    assert time.monotonic() - began >= 0.5
    release.join()


def test_a_lock_that_stays_is_named(repo: Repo) -> None:
    (repo.path / ".git" / "index.lock").touch()
    old, new = repo.tip(), commit_of(repo, PATCH)
    with pytest.raises(WorldFailed, match="another git holds the index") as failed:
        move_branch(repo.git, "main", old, new, SHORT)
    assert failed.value.code == "checkout_locked"
    assert "index.lock" in failed.value.next_step


@pytest.mark.parametrize("lock", ["HEAD.lock", "refs/heads/main.lock"])
def test_a_stale_lock_on_the_branch_leaves_the_checkout_unchanged(repo: Repo, lock: str) -> None:
    old, new = repo.tip(), commit_of(repo, PATCH)
    (repo.path / ".git" / lock).touch()
    before = repo.state()
    with pytest.raises(WorldFailed, match="lock") as failed:
        move_branch(repo.git, "main", old, new, SHORT)
    assert failed.value.code == "branch_locked"
    assert repo.state() == before


# The races: the owner acts after the runner read the branch and before git does.


def race(repo: Repo, tmp_path: Path, script: str, files: Files = PATCH) -> None:
    old, new = repo.tip(), commit_of(repo, files)
    git = git_with_script(repo, tmp_path / "bin", "merge", script)
    with pytest.raises(BaseMoved):
        move_branch(git, "main", old, new, SHORT)
    assert (tmp_path / "bin" / "done").is_dir()


def test_a_reset_during_landing_stays(repo: Repo, tmp_path: Path) -> None:
    first = repo.tip()
    repo.commit({"b.txt": "taken back\n"})
    race(repo, tmp_path, f"$git reset --quiet --hard {first}")
    assert repo.tip() == first
    assert repo.run("status", "--porcelain") == ""
    assert not (repo.path / "b.txt").exists()


def test_a_switch_of_branches_during_landing_moves_neither_branch(
    repo: Repo, tmp_path: Path
) -> None:
    old = repo.tip()
    race(repo, tmp_path, "$git checkout --quiet -b idea")
    assert (repo.tip("idea"), repo.tip("main")) == (old, old)
    assert repo.run("status", "--porcelain") == ""


def test_a_head_detached_during_landing_stays(repo: Repo, tmp_path: Path) -> None:
    old = repo.tip()
    race(repo, tmp_path, "$git checkout --quiet --detach")
    assert (repo.tip("HEAD"), repo.tip("main")) == (old, old)


def test_a_commit_during_landing_stays(repo: Repo, tmp_path: Path) -> None:
    race(repo, tmp_path, "$git -c user.name=o -c user.email=o commit --quiet --allow-empty -m Mine")
    assert repo.run("log", "-1", "--format=%s") == "Mine"
    assert repo.run("status", "--porcelain") == ""


def test_a_commit_right_after_landing_follows_the_landed_one(repo: Repo, tmp_path: Path) -> None:
    old, new = repo.tip(), commit_of(repo, PATCH)
    mine = "$git -c user.name=o -c user.email=o commit --quiet --allow-empty -m Mine"
    git = git_with_script(repo, tmp_path / "bin", "merge", mine, after=True)
    assert move_branch(git, "main", old, new) == str(repo.path)
    assert repo.run("log", "-2", "--format=%s").splitlines() == ["Mine", "[PATCH] patch-1"]
