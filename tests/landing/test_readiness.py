"""Whether a patch could land in a repository now."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.landing.readiness import obstacles
from gpt_cursor_runner.patch.faults import Fault
from tests.building import SEARCH_PATH, Repo


def obstacles_at(path: Path, branch: str = "main", search_path: str = SEARCH_PATH) -> list[Fault]:
    return obstacles(Repository(name="app", path=path, branch=branch), search_path)


def test_a_repository_with_a_commit_on_its_branch_has_none(repo: Repo, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", repo.path, bare], check=True)
    assert obstacles_at(repo.path) == []
    assert obstacles_at(bare) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user_has_none(repo: Repo) -> None:
    for directory, _, names in os.walk(repo.path):
        for name in (".", *names):
            os.chown(Path(directory) / name, 12345, 12345)
    assert obstacles_at(repo.path) == []


def test_each_obstacle_has_a_code_a_message_and_a_next_step(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    subprocess.run(["git", "init", "--quiet", tmp_path / "empty"], check=True)
    (broken := Repo.create(tmp_path / "broken")).write({".git/HEAD": "nonsense"})
    found = {
        "missing": obstacles_at(tmp_path / "gone"),
        "file": obstacles_at(tmp_path / "file"),
        "plain": obstacles_at(tmp_path / "plain"),
        "broken": obstacles_at(broken.path),
        "empty": obstacles_at(tmp_path / "empty"),
        "branch": obstacles_at(repo.path, "release"),
        "git": obstacles_at(repo.path, search_path=str(tmp_path)),
    }
    codes = {name: [fault.code for fault in faults] for name, faults in found.items()}
    assert codes == {
        "missing": ["missing"],
        "file": ["missing"],
        "plain": ["not_a_repository"],
        "broken": ["not_a_repository"],
        "empty": ["no_branch"],
        "branch": ["no_branch"],
        "git": ["git_missing"],
    }
    for name, (fault,) in found.items():
        assert fault.message and fault.next_step, name


def test_a_git_that_hangs_is_an_obstacle_and_is_ended(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr("gpt_cursor_runner.landing.readiness.GIT_SECONDS", 0.2)
    (fault,) = obstacles_at(repo.path, search_path=f"{tmp_path}:{SEARCH_PATH}")
    assert fault.code == "no_answer"


def test_asking_changes_nothing_in_the_repository(repo: Repo) -> None:
    before = repo.state()
    obstacles_at(repo.path)
    assert repo.state() == before
