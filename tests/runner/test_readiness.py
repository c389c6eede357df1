"""Blocked repositories: what the runner remembers about them, and their patches
in the queue.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.runner.readiness import BAD_SECONDS, GOOD_SECONDS, Readiness
from tests.building import SEARCH_PATH
from tests.runner.builders import Ghost, shell_check

MISSING = Fault("missing", "it is gone", "Restore it.")


class Asked:
    """Obstacles that a test sets, and the names that were asked about."""

    def __init__(self, *names: str) -> None:
        self.now = 100.0
        self.faults: dict[str, Fault] = {}
        self.names: list[str] = []
        self.answers = 0
        # Answers come at once, instead of from another thread.
        self.readiness = Readiness(
            self.obstacles, self.count_answer, lambda: self.now, lambda answer: answer()
        )
        self.repositories = [Repository(name=name, path=Path("/nowhere")) for name in names]
        self.readiness.configure(self.repositories)

    def count_answer(self) -> None:
        self.answers += 1

    def obstacles(self, repository: Repository) -> list[Fault]:
        self.names.append(repository.name)
        fault = self.faults.get(repository.name)
        return [] if fault is None else [fault]

    def asked_for(self, name: str) -> bool:
        """Whether `is_ready` asked; forgets what was asked before."""
        self.names.clear()
        self.readiness.is_ready(name)
        return self.names == [name]


def test_a_good_answer_is_used_for_some_seconds() -> None:
    asked = Asked("app")
    assert asked.asked_for("app")
    assert not asked.asked_for("app")
    asked.now += GOOD_SECONDS + 1
    assert asked.asked_for("app")
    assert asked.readiness.is_ready("app")


def test_a_claim_waits_for_the_answer() -> None:
    asked = Asked("app")
    assert not asked.readiness.is_ready("app")
    assert asked.answers == 1
    assert asked.readiness.is_ready("app")


def test_a_question_without_an_answer_is_not_repeated() -> None:
    questions: list[object] = []
    readiness = Readiness(lambda _: [], lambda: None, start_thread=questions.append)
    readiness.configure([Repository(name="app", path=Path("/nowhere"))])
    assert not readiness.is_ready("app")
    assert not readiness.is_ready("app")
    readiness.refresh()
    assert len(questions) == 1


def test_a_bad_answer_is_asked_for_again_until_the_obstacle_is_gone() -> None:
    asked = Asked("app", "site")
    asked.faults["app"] = MISSING
    asked.readiness.refresh()
    assert not asked.readiness.is_ready("app")
    assert asked.readiness.is_ready("site")
    assert asked.readiness.blocked() == {"app": MISSING}
    assert not asked.readiness.are_all_blocked()
    asked.faults.clear()
    asked.now += BAD_SECONDS + 1
    assert not asked.asked_for("app")
    asked.readiness.refresh()
    assert asked.readiness.is_ready("app")
    assert asked.readiness.blocked() == {}


def test_every_repository_is_asked_at_the_start_and_the_bad_ones_soon_again() -> None:
    asked = Asked("app", "site")
    asked.faults["app"] = MISSING
    asked.readiness.refresh()
    assert asked.names == ["app", "site"]
    asked.readiness.refresh()
    assert asked.names == ["app", "site"]
    asked.now += BAD_SECONDS + 1
    asked.readiness.refresh()
    assert asked.names == ["app", "site", "app"]


def test_a_changed_repository_is_asked_about_again() -> None:
    asked = Asked("app")
    asked.faults["app"] = MISSING
    asked.readiness.refresh()
    assert set(asked.readiness.blocked()) == {"app"}
    asked.readiness.configure([Repository(name="app", path=Path("/elsewhere"))])
    assert asked.readiness.blocked() == {}
    asked.faults.clear()
    asked.readiness.refresh()
    assert asked.readiness.is_ready("app")


def test_a_repository_that_is_not_configured_is_left_to_the_attempt() -> None:
    asked = Asked("app")
    assert asked.readiness.is_ready("other")
    assert asked.names == []


def test_nothing_is_blocked_where_nothing_is_configured() -> None:
    assert not Asked().readiness.are_all_blocked()


def test_an_unexpected_error_blocks_its_own_repository() -> None:
    def raise_error(repository: Repository) -> list[Fault]:
        if repository.name == "app":
            raise RuntimeError("no sense")
        return []

    readiness = Readiness(raise_error, lambda: None, start_thread=lambda answer: answer())
    readiness.configure([Repository(name=name, path=Path("/nowhere")) for name in ("app", "b")])
    readiness.refresh()
    assert readiness.blocked()["app"].message == "no sense"
    assert readiness.is_ready("b")


def test_a_patch_for_a_missing_repository_waits_and_lands_when_it_is_back(ghost: Ghost) -> None:
    aside = ghost.repo.path.with_name("aside")
    ghost.repo.path.rename(aside)
    patch_id = ghost.send()
    turns: list[None] = []

    def has_waited() -> bool:
        turns.append(None)
        return len(turns) > 20

    ghost.work_until(has_waited)
    waiting = ghost.get(patch_id)
    assert (waiting.status, waiting.attempts) == (Status.QUEUED, 0)
    assert ghost.kinds(patch_id) == ["accepted"]
    aside.rename(ghost.repo.path)
    assert ghost.finish(patch_id).status is Status.LANDED


def test_a_repository_that_vanishes_during_an_attempt_costs_the_patch_none(
    ghost: Ghost, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_id = ghost.send()
    # The obstacle comes after the question of the claim.
    monkeypatch.setattr(Readiness, "is_ready", lambda *_: True)
    aside = ghost.repo.path.with_name("aside")
    ghost.repo.path.rename(aside)
    ghost.work_until(lambda: "requeued" in ghost.kinds(patch_id))
    waiting = ghost.get(patch_id)
    assert (waiting.status, waiting.attempts) == (Status.QUEUED, 0)
    assert waiting.outcome is not None
    assert waiting.outcome["code"] == "missing"
    monkeypatch.undo()
    aside.rename(ghost.repo.path)
    assert ghost.finish(patch_id).status is Status.LANDED


# A patch waits for the owner or for the machine, and then lands by itself.


def test_a_patch_waits_for_the_end_of_a_rebase(ghost: Ghost) -> None:
    ghost.repo.commit({"b.txt": "one\n"})
    ghost.repo.run("checkout", "--quiet", "-b", "side", "HEAD~1")
    ghost.repo.commit({"b.txt": "two\n"})
    ghost.repo.run("checkout", "--quiet", "main")
    with pytest.raises(subprocess.CalledProcessError):
        ghost.repo.run("rebase", "side")
    patch_id = ghost.send()
    looks = iter(range(50))
    ghost.work_until(lambda: next(looks) > 5)
    assert ghost.get(patch_id).status is Status.QUEUED
    assert ghost.get(patch_id).attempts == 0
    ghost.repo.run("rebase", "--abort")
    assert ghost.finish(patch_id).status is Status.LANDED


def test_a_lock_of_the_index_holds_a_patch_up_and_needs_nobody(ghost: Ghost) -> None:
    """As while an editor is open on a commit of the owner's."""
    lock = ghost.repo.path / ".git/index.lock"
    patch_id = ghost.send()
    lock.touch()
    ghost.work_until(lambda: "requeued" in ghost.kinds(patch_id))
    assert ghost.get(patch_id).status is Status.QUEUED
    lock.unlink()
    ghost.clock.ahead += 60
    assert ghost.finish(patch_id).status is Status.LANDED


def test_patches_wait_for_a_required_sandbox(ghost: Ghost, tmp_path: Path) -> None:
    for name in ("git", "sh"):
        program = shutil.which(name)
        assert program is not None
        (tmp_path / name).symlink_to(program)
    ghost.search_path = str(tmp_path)
    checks = (shell_check("true"),)
    ghost.repository = ghost.repository.model_copy(update={"sandbox": "required", "checks": checks})
    patch_id = ghost.send()
    looks = iter(range(50))
    ghost.work_until(lambda: next(looks) > 5)
    assert ghost.get(patch_id).status is Status.QUEUED
    ghost.search_path = SEARCH_PATH
    assert ghost.finish(patch_id).status is Status.LANDED
