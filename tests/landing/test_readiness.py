"""Whether a patch could land in a repository now."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpt_cursor_runner.config import Check, Repository, Setup
from gpt_cursor_runner.landing.readiness import obstacles
from gpt_cursor_runner.landing.sandbox.choosing import Proof
from gpt_cursor_runner.patch.faults import Fault
from tests.building import SEARCH_PATH, Repo
from tests.sandboxes import a_machine


def obstacles_at(path: Path, branch: str = "main", search_path: str = SEARCH_PATH) -> list[Fault]:
    return obstacles(Repository(name="app", path=path, branch=branch), a_machine(search_path))


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


# Obstacles of the owner's work.


def test_an_operation_of_the_owner_is_an_obstacle_until_it_ends(repo: Repo) -> None:
    repo.commit({"b.txt": "one\n"})
    repo.run("checkout", "--quiet", "-b", "side", "HEAD~1")
    repo.commit({"b.txt": "two\n"})
    repo.run("checkout", "--quiet", "main")
    with pytest.raises(subprocess.CalledProcessError):
        repo.run("rebase", "side")
    (fault,) = obstacles_at(repo.path)
    assert fault.code == "in_use"
    assert "rebase of main" in fault.message
    repo.run("rebase", "--abort")
    assert obstacles_at(repo.path) == []


def test_a_rebase_that_will_move_the_branch_is_an_obstacle(repo: Repo) -> None:
    repo.run("branch", "onto")
    repo.run("checkout", "--quiet", "onto")
    repo.commit({"b.txt": "theirs\n"})
    repo.run("checkout", "--quiet", "main")
    repo.commit({"a.txt": "one\n"})
    repo.run("checkout", "--quiet", "-b", "top")
    repo.commit({"b.txt": "mine\n"})
    with pytest.raises(subprocess.CalledProcessError):
        repo.run("rebase", "--update-refs", "onto")
    (fault,) = obstacles_at(repo.path)
    assert (fault.code, "will move main" in fault.message) == ("in_use", True)


@pytest.mark.parametrize("lock", ["index.lock", "HEAD.lock"])
def test_a_stale_lock_of_a_linked_worktree_is_an_obstacle(
    repo: Repo, tmp_path: Path, lock: str
) -> None:
    repo.run("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    file = repo.path / ".git/worktrees/side" / lock
    file.touch()
    assert obstacles_at(repo.path, "side") == []
    os.utime(file, (0, 0))
    (fault,) = obstacles_at(repo.path, "side")
    assert (fault.code, lock in fault.message) == ("foreign_lock", True)


# Obstacles of the machine.


def test_a_missing_sandbox_is_an_obstacle_where_one_is_required(repo: Repo) -> None:
    machine = a_machine(proof=lambda: Proof("not_installed", "no bwrap", "Install it."))
    checks = (Check(name="tests", command=("true",)),)
    codes = {}
    for demand in ("required", "best", "none"):
        repository = Repository(name="app", path=repo.path, sandbox=demand, checks=checks)
        codes[demand] = [fault.code for fault in obstacles(repository, machine)]
    assert codes == {"required": ["sandbox_unavailable"], "best": [], "none": []}


@pytest.mark.parametrize(
    ("command", "is_missing"),
    [
        ("true", False),
        ("no-such-program", True),
        ("/usr/bin/env", False),
        ("/no/such/program", True),
        ("./greeting.py", False),
        ("bin/missing", True),
        (".venv/bin/python", False),
    ],
)
def test_a_missing_program_of_a_check_is_an_obstacle(
    repo: Repo, command: str, is_missing: bool
) -> None:
    setup = Setup(command=("true",), keyed_by=("README.md",), provides=(".venv",))
    check = Check(name="tests", command=(command,))
    repository = Repository(name="app", path=repo.path, setup=(setup,), checks=(check,))
    # The first command runs on the tree as it is.
    if not command.startswith(".venv"):
        repository = repository.model_copy(update={"setup": ()})
    codes = [fault.code for fault in obstacles(repository, a_machine())]
    assert codes == (["program_missing"] if is_missing else [])


def test_a_full_disk_is_an_obstacle(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt_cursor_runner.landing.readiness.LEAST_FREE_BYTES", 1 << 60)
    (fault,) = obstacles_at(repo.path)
    assert fault.code == "no_space"
