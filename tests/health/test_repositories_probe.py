from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.monitor.sanitizing import sanitize
from gpt_cursor_runner.health.probes.repositories import RepositoriesProbe
from gpt_cursor_runner.landing.readiness import GIT_SECONDS, obstacles
from tests.building import SEARCH_PATH, Repo
from tests.health.builders import Clock


def configured(name: str, path: Path, branch: str) -> Repository:
    """A repository of the config, without the check of its path at the start:
    the path may be gone later.
    """
    return Repository.model_construct(name=name, path=path, branch=branch)


class Watching:
    """A probe of repositories, with its clock and a runner that works or not."""

    def __init__(self, *watched: Repository) -> None:
        self.clock, self.at_work = Clock(), False
        self.probe = RepositoriesProbe(
            lambda: watched,
            lambda repository: obstacles(repository, SEARCH_PATH),
            SEARCH_PATH,
            lambda: self.at_work,
            self.clock,
        )

    def after(self, seconds: float) -> Reading:
        self.clock.now += seconds
        return self.probe.read()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watching]]:
    made: list[Watching] = []

    def watch_these(*watched: Repository) -> Watching:
        made.append(Watching(*watched))
        return made[-1]

    yield watch_these
    for watching in made:
        watching.probe.close()


def test_a_repository_with_its_branch_is_ok_bare_or_checked_out(watch, repo, tmp_path):
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", repo.path, bare], check=True)
    reading = watch(configured("app", repo.path, "main"), configured("bare", bare, "main")).after(0)
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
    (other.path / ".git" / "index.lock").touch()
    watching = watch(
        configured("locked", other.path, "main"),
        configured("gone", tmp_path / "gone", "main"),
        configured("plain", tmp_path / "plain", "main"),
        configured("app", repo.path, "release"),
        configured("well", repo.path, "main"),
    )
    watching.after(0)
    reading = watching.after(61)
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
    assert watch(configured("empty", tmp_path / "empty", "main")).after(0).code == "no_branch"


@pytest.mark.parametrize(
    "lock", ["index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock", "refs/heads/main.lock"]
)
def test_a_lock_that_stays_for_a_minute_is_foreign(watch, repo, lock):
    watching, file = watch(configured("app", repo.path, "main")), repo.path / ".git" / lock
    file.touch()
    assert watching.after(0).code == "ok"
    assert watching.after(60).code == "ok"
    reading = watching.after(1)
    assert (reading.status, reading.code, Path(lock).name in reading.message) == (
        CheckStatus.WARN,
        "foreign_lock",
        True,
    )
    # Only the owner removes it.
    assert file.exists()
    file.unlink()
    assert watching.after(1).code == "ok"


def test_a_lock_file_that_changes_is_new_whatever_its_own_time(watch, repo):
    watching, file = (
        watch(configured("app", repo.path, "main")),
        repo.path / ".git" / "index.lock",
    )
    for number in range(4):
        file.touch()
        os.utime(file, (number, number))
        assert watching.after(40).code == "ok"


def test_a_lock_is_not_foreign_while_the_runner_works(watch, repo):
    watching = watch(configured("app", repo.path, "main"))
    (repo.path / ".git" / "index.lock").touch()
    watching.at_work = True
    watching.after(0)
    assert watching.after(3600).code == "ok"
    watching.at_work = False
    assert watching.after(1).code == "foreign_lock"


def test_a_git_that_hangs_is_no_answer_before_the_check_is_late():
    assert RepositoriesProbe.spec.deadline_seconds >= 2 * GIT_SECONDS


def test_a_worktree_is_watched_where_its_repository_is(watch, repo: Repo, tmp_path):
    repo.run("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    (repo.path / ".git" / "packed-refs.lock").touch()
    watching = watch(configured("side", tmp_path / "side", "side"))
    watching.after(0)
    assert watching.after(61).code == "foreign_lock"


def test_the_check_changes_nothing(watch, repo):
    before = repo.state()
    watch(configured("app", repo.path, "main")).after(0)
    assert repo.state() == before


def test_every_one_of_many_repositories_is_checked_and_the_worst_are_shown(watch, repo, tmp_path):
    many = [configured(f"app{number}", repo.path, "main") for number in range(51)]
    reading = watch(*many, configured("last", tmp_path / "gone", "main")).after(0)
    assert (reading.code, reading.data["last"]["code"], len(reading.data)) == (
        "missing",
        "missing",
        50,
    )
    assert reading.message.startswith("last: ")


def test_many_repositories_fit_into_a_reading(watch, tmp_path):
    many = [configured(f"{number:0100}", tmp_path / "gone", "main") for number in range(60)]
    reading = sanitize(watch(*many).after(0))
    assert len(reading.data) == 50
