"""The branch moves from the expected commit to the landed one, or stays."""

import threading
from pathlib import Path

import pytest

from gpt_cursor_runner.landing.landing import BaseMoved, has_landed, move_branch
from gpt_cursor_runner.patch.faults import HumanNeeded, WorldFailed
from tests.building import Repo
from tests.landing.builders import commit_of, git_with_script


@pytest.fixture
def apart(repo: Repo) -> Repo:
    """A repository whose owner is on another branch: main is not checked out."""
    repo.run("checkout", "--quiet", "-b", "side")
    return repo


@pytest.fixture
def bare(repo: Repo, tmp_path: Path) -> Repo:
    repo.run("clone", "--quiet", "--bare", str(repo.path), str(tmp_path / "bare.git"))
    return Repo(tmp_path / "bare.git")


def test_a_branch_without_a_checkout_moves_alone(apart: Repo) -> None:
    old, before = apart.tip(), apart.state()
    new = commit_of(apart, {"a.txt": "a\n"})
    assert move_branch(apart.git, "main", old, new) is None
    assert apart.tip() == new
    changed = {name for name, data in apart.state().items() if before.get(name) != data}
    assert changed == {
        ".git/refs/heads/main",
        ".git/logs/refs/heads/main",
        ".git/refs/gcr/sealed/patch-1",
    }


def test_a_bare_repository_is_landed_on(bare: Repo) -> None:
    old, new = bare.tip(), commit_of(bare, {"a.txt": "a\n"})
    assert move_branch(bare.git, "main", old, new) is None
    assert bare.tip() == new


def test_a_branch_at_another_commit_stays(apart: Repo) -> None:
    old, new = apart.tip(), commit_of(apart, {"a.txt": "a\n"})
    apart.commit({"b.txt": "b\n"})
    apart.run("branch", "--force", "main", "side")
    before = apart.state()
    with pytest.raises(BaseMoved):
        move_branch(apart.git, "main", old, new)
    assert apart.state() == before


def test_a_commit_just_before_the_swap_wins(apart: Repo, tmp_path: Path) -> None:
    old, new = apart.tip(), commit_of(apart, {"a.txt": "a\n"})
    apart.commit({"b.txt": "b\n"})
    theirs = apart.tip("side")
    git = git_with_script(
        apart, tmp_path / "bin", "update-ref", f"$git update-ref refs/heads/main {theirs}"
    )
    with pytest.raises(BaseMoved):
        move_branch(git, "main", old, new)
    assert apart.tip() == theirs


def race(repo: Repo, writers: int, refusals: tuple[type[Exception], ...]) -> list[str]:
    """Many threads move the branch from its tip at once; returns the commits of
    those that were not refused.
    """
    old = repo.tip()
    commits = [
        commit_of(repo, {"a.txt": f"{number}\n"}, f"patch-{number}") for number in range(writers)
    ]
    start, won = threading.Barrier(writers), []

    def write(commit: str) -> None:
        start.wait()
        try:
            move_branch(repo.git, "main", old, commit)
        except refusals:
            return
        won.append(commit)

    threads = [threading.Thread(target=write, args=(commit,)) for commit in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_exactly_one_of_twenty_writers_wins(bare: Repo) -> None:
    assert race(bare, 20, (BaseMoved,)) == [bare.tip()]
    assert bare.run("rev-list", "--count", "main") == "2"


def test_exactly_one_of_eight_writers_to_a_checkout_wins(repo: Repo) -> None:
    assert race(repo, 8, (BaseMoved, HumanNeeded)) == [repo.tip()]
    assert repo.run("rev-list", "--count", "main") == "2"
    assert repo.run("status", "--short") == ""


def test_a_stale_lock_on_the_branch_is_named_and_nothing_changes(apart: Repo) -> None:
    old, new = apart.tip(), commit_of(apart, {"a.txt": "a\n"})
    (apart.path / ".git" / "refs" / "heads" / "main.lock").touch()
    before = apart.state()
    with pytest.raises(WorldFailed, match=r"main\.lock") as failed:
        move_branch(apart.git, "main", old, new)
    assert failed.value.code == "branch_locked"
    assert apart.state() == before


def test_a_symbolic_branch_moves_its_target_and_the_checkout(repo: Repo) -> None:
    repo.run("symbolic-ref", "refs/heads/master", "refs/heads/main")
    old, new = repo.tip(), commit_of(repo, {"a.txt": "a\n"})
    assert move_branch(repo.git, "master", old, new) == str(repo.path)
    assert repo.run("status", "--porcelain") == ""
    assert repo.run("symbolic-ref", "refs/heads/master") == "refs/heads/main"


def test_a_landed_commit_is_recognized_on_the_branch(repo: Repo) -> None:
    new = commit_of(repo, {"a.txt": "a\n"})
    assert not has_landed(repo.git, "main", new)
    move_branch(repo.git, "main", repo.tip(), new)
    repo.commit({"newer": "newer\n"})
    assert has_landed(repo.git, "main", new)
    assert not has_landed(repo.git, "main", "0" * 39 + "1")


def test_landing_twice_is_refused_as_moved(repo: Repo) -> None:
    old, new = repo.tip(), commit_of(repo, {"a.txt": "a\n"})
    move_branch(repo.git, "main", old, new)
    with pytest.raises(BaseMoved):
        move_branch(repo.git, "main", old, new)


def test_a_tag_named_like_the_branch_is_ignored(repo: Repo) -> None:
    old = repo.tip()
    repo.run("tag", "main", repo.commit({"b.txt": "b\n"}))
    repo.run("reset", "--quiet", "--hard", old)
    new = commit_of(repo, {"a.txt": "a\n"})
    assert move_branch(repo.git, "main", old, new) == str(repo.path)
    assert repo.tip("refs/heads/main") == new
