from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.monitor.sanitizing import sanitize
from gpt_cursor_runner.health.probes.repositories import RepositoriesProbe
from gpt_cursor_runner.landing.readiness import GIT_SECONDS, obstacles
from tests.building import Repo
from tests.sandboxes import a_machine


def configured(name: str, path: Path, branch: str) -> Repository:
    """A repository of the config, without the check of its path at the start:
    the path may be gone later.
    """
    return Repository.model_construct(name=name, path=path, branch=branch)


class Watching:
    """A probe of repositories, and a runner that works or not."""

    def __init__(self, *watched: Repository) -> None:
        self.at_work = False
        self.probe = RepositoriesProbe(
            lambda: watched,
            lambda repository: obstacles(repository, a_machine()),
            lambda: self.at_work,
        )

    def read(self) -> Reading:
        return self.probe.read()


@pytest.fixture
def watch() -> Callable[..., Watching]:
    return Watching


def leave_lock(file: Path) -> None:
    """A lock file that is older than any git takes."""
    file.touch()
    os.utime(file, (time.time() - 61, time.time() - 61))


def test_a_repository_with_its_branch_is_ok_bare_or_checked_out(watch, repo, tmp_path):
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", repo.path, bare], check=True)
    reading = watch(configured("app", repo.path, "main"), configured("bare", bare, "main")).read()
    assert (reading.status, reading.code, reading.message) == (CheckStatus.OK, "ok", "")
    assert reading.data == {
        "app": {"status": "ok", "code": "ok"},
        "bare": {"status": "ok", "code": "ok"},
    }


def test_each_problem_has_its_code_and_the_worst_is_that_of_the_check(
    watch, repo, make_repo, tmp_path
):
    (tmp_path / "plain").mkdir()
    other = make_repo("other")
    leave_lock(other.path / ".git" / "index.lock")
    watching = watch(
        configured("locked", other.path, "main"),
        configured("gone", tmp_path / "gone", "main"),
        configured("plain", tmp_path / "plain", "main"),
        configured("app", repo.path, "release"),
        configured("well", repo.path, "main"),
    )
    reading = watching.read()
    codes = {name: state["code"] for name, state in reading.data.items()}
    assert codes == {
        "locked": "foreign_lock",
        "gone": "missing",
        "plain": "not_a_repository",
        "app": "no_branch",
        "well": "ok",
    }
    assert (reading.status, reading.code) == (CheckStatus.FAIL, "missing") and reading.remedy
    assert (
        all(name in reading.message for name in ("gone", "plain", "release"))
        and "well:" not in reading.message
    )


def test_a_branch_without_a_commit_is_no_branch(watch, tmp_path):
    subprocess.run(
        ["git", "init", "--quiet", "--initial-branch=main", tmp_path / "empty"], check=True
    )
    assert watch(configured("empty", tmp_path / "empty", "main")).read().code == "no_branch"


@pytest.mark.parametrize(
    "lock", ["index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock", "refs/heads/main.lock"]
)
def test_an_old_lock_is_foreign(watch, repo, lock):
    watching, file = watch(configured("app", repo.path, "main")), repo.path / ".git" / lock
    file.touch()
    assert watching.read().code == "ok"
    leave_lock(file)
    reading = watching.read()
    assert (reading.status, reading.code) == (CheckStatus.WARN, "foreign_lock")
    assert Path(lock).name in reading.message
    # Only the owner removes it.
    assert file.exists()
    file.unlink()
    assert watching.read().code == "ok"


def test_a_lock_is_not_foreign_while_the_runner_works(watch, repo):
    watching = watch(configured("app", repo.path, "main"))
    leave_lock(repo.path / ".git" / "index.lock")
    watching.at_work = True
    assert watching.read().code == "ok"
    watching.at_work = False
    assert watching.read().code == "foreign_lock"


def test_a_git_that_hangs_is_no_answer_before_the_check_is_late():
    assert RepositoriesProbe.spec.deadline_seconds >= 2 * GIT_SECONDS


def test_a_worktree_is_watched_where_its_repository_is(watch, repo: Repo, tmp_path):
    repo.run("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    leave_lock(repo.path / ".git" / "packed-refs.lock")
    watching = watch(configured("side", tmp_path / "side", "side"))
    assert watching.read().code == "foreign_lock"


def test_the_check_changes_nothing(watch, repo):
    before = repo.state()
    watch(configured("app", repo.path, "main")).read()
    assert repo.state() == before


def test_every_one_of_many_repositories_is_checked_and_the_worst_are_shown(watch, repo, tmp_path):
    many = [configured(f"app{number}", repo.path, "main") for number in range(51)]
    reading = watch(*many, configured("last", tmp_path / "gone", "main")).read()
    assert (reading.code, reading.data["last"]["code"], len(reading.data)) == (
        "missing",
        "missing",
        50,
    )
    assert reading.message.startswith("last: ")


def test_many_repositories_fit_into_a_reading(watch, tmp_path):
    many = [configured(f"{number:0100}", tmp_path / "gone", "main") for number in range(60)]
    reading = sanitize(watch(*many).read())
    assert len(reading.data) == 50
