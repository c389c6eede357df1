"""Attempts that are cut short: cancelled, stopped, lost. Each patch still ends
once, and lands at most once.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from gpt_cursor_runner.engine.runner_lock import RunnerAlreadyHere, RunnerLock
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import EventKind, EventPayload
from gpt_cursor_runner.patch.landed import Landed
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.runner.attempt import MAX_ATTEMPTS
from gpt_cursor_runner.runner.work import CONFIRM_SECONDS
from gpt_cursor_runner.system.processes import TICK_SECONDS
from tests.runner.builders import Ghost, Killed, KillingGit, LateGit, check_of_patches, shell_check
from tests.runner.conftest import MakeGhost
from tests.running import is_alive

EDIT = [{"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}]


def _a_check_that_sleeps(mark: Path, pid: Path) -> str:
    return f"echo $$ > {pid}; sleep 300 & echo $! >> {pid}; touch {mark}; wait"


def _survivors(pid: Path) -> list[int]:
    return [number for number in map(int, pid.read_text().split()) if is_alive(number)]


def _when(mark: Path, act: Any) -> threading.Thread:
    """Do something as soon as a check has left its mark."""

    def watch() -> None:
        while not mark.exists():
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_cancel_is_noticed_by_a_running_check_well_within_two_seconds() -> None:
    assert (CONFIRM_SECONDS, TICK_SECONDS) == (0.5, 0.2)


def test_a_cancel_during_a_check_ends_it_with_no_survivor(
    make_ghost: MakeGhost, tmp_path: Path
) -> None:
    mark, pid = tmp_path / "mark", tmp_path / "pid"
    ghost = make_ghost(checks=[shell_check(_a_check_that_sleeps(mark, pid), timeout_seconds=60)])
    before = ghost.repo.state()
    patch_id = ghost.send(changes=EDIT)

    def cancel() -> None:
        status = ghost.ledger.decisions.cancel(patch_id, "the sender", ghost.clock())
        assert status is Status.RUNNING

    _when(mark, cancel)
    ended = ghost.finish(patch_id)
    assert ended.status is Status.CANCELLED
    assert _survivors(pid) == []
    assert ghost.repo.state() == before
    assert ghost.sealed_refs() == []
    assert list((ghost.state.workspaces_dir).iterdir()) == []
    assert "cancelled by the sender while it ran" in ghost.report(patch_id)


def test_a_patch_cancelled_before_it_ran_gets_a_report(ghost: Ghost) -> None:
    patch_id = ghost.send()
    assert ghost.ledger.decisions.cancel(patch_id, "the sender", ghost.clock()) is Status.CANCELLED
    ghost.finish(patch_id)
    report = ghost.report(patch_id)
    assert "The patch was cancelled." in report
    assert "| claimed | not observed |" in report


def test_a_stop_during_a_check_queues_the_patch_without_counting_the_attempt(
    make_ghost: MakeGhost, tmp_path: Path
) -> None:
    mark, pid = tmp_path / "mark", tmp_path / "pid"
    ghost = make_ghost(checks=[shell_check(_a_check_that_sleeps(mark, pid), timeout_seconds=60)])
    patch_id = ghost.send(changes=EDIT)
    ghost.work_until(mark.exists)
    given_back = ghost.get(patch_id)
    assert (given_back.status, given_back.attempts) == (Status.QUEUED, 0)
    assert _survivors(pid) == []
    ghost.repository = ghost.repository.model_copy(update={"checks": ()})
    assert ghost.finish(patch_id).status is Status.LANDED


def _wait_out(ghost: Ghost, patch_id: str, attempts: int) -> StoredPatch:
    ghost.work_until(
        lambda: ghost.get(patch_id).attempts == attempts and ghost.get(patch_id).leased_by is None
    )
    return ghost.get(patch_id)


def test_a_fault_of_the_machine_is_retried_with_back_off_then_fails_until_retried_by_hand(
    ghost: Ghost,
) -> None:
    tree = ghost.repo.tip("main^{tree}")
    damaged = ghost.repo.path / ".git" / "objects" / tree[:2] / tree[2:]
    hidden = ghost.place / "hidden"
    damaged.rename(hidden)
    patch_id = ghost.send(changes=EDIT)
    first = _wait_out(ghost, patch_id, 1)
    assert (first.status, first.outcome and first.outcome["code"]) == (
        Status.QUEUED,
        "branch_missing",
    )
    assert ghost.ledger.leases.claim("too early", ghost.clock() + 1) is None
    ghost.clock.ahead += 2.1
    assert _wait_out(ghost, patch_id, 2).status is Status.QUEUED
    assert ghost.ledger.leases.claim("too early", ghost.clock() + 3) is None
    ghost.clock.ahead += 4.1
    failed = ghost.finish(patch_id)
    assert (failed.status, failed.attempts) == (Status.FAILED, 3)
    assert f"gcr retry {patch_id}" in ghost.report(patch_id)

    hidden.rename(damaged)
    ghost.ledger.decisions.retry(patch_id, "the owner", ghost.clock())
    landed = ghost.finish(patch_id)
    assert (landed.status, landed.attempts) == (Status.LANDED, 1)


def test_a_patch_that_kills_its_runner_repeatedly_fails_and_frees_the_branch(
    ghost: Ghost,
) -> None:
    poison, sound = ghost.send(changes=EDIT), ghost.send()
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Killed):
            ghost.attempt(
                KillingGit(
                    ghost.repo.git.directory, ghost.repo.git.search_path, kills_at="fast-import"
                )
            )
        ghost.ledger.leases.reclaim(ghost.clock())
    failed = ghost.finish(poison, sound)
    assert ghost.get(poison).status is Status.FAILED
    assert (ghost.get(poison).outcome or {})["code"] == "poison"
    assert failed.status is Status.LANDED


def test_a_runner_lost_after_the_branch_moved_has_landed_the_patch_once(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    with pytest.raises(Killed):
        ghost.attempt(
            KillingGit(ghost.repo.git.directory, ghost.repo.git.search_path, kills_at="tag")
        )
    moved_to = ghost.repo.tip()
    assert ghost.get(patch_id).status is Status.RUNNING
    landed = ghost.finish(patch_id)
    assert landed.status is Status.LANDED
    assert ghost.repo.tip() == moved_to == (landed.outcome or {})["commit"]
    assert ghost.repo.tip(f"refs/tags/{patch_id}^{{commit}}") == moved_to
    assert ghost.kinds(patch_id).count("landing") == 1
    assert "The tree on the branch is the tree that was checked." in ghost.report(patch_id)
    assert "**tests: passed**" in ghost.report(patch_id)


def test_a_lost_landing_is_recognised_under_newer_commits_of_the_owner(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    with pytest.raises(Killed):
        ghost.attempt(
            KillingGit(ghost.repo.git.directory, ghost.repo.git.search_path, kills_at="tag")
        )
    landed_as = ghost.repo.tip()
    tip = ghost.repo.commit({"greeting.py": "the owner went on\n"})
    assert (ghost.finish(patch_id).outcome or {})["commit"] == landed_as
    assert ghost.repo.tip() == tip


def _die_at_the_intent(payload: EventPayload) -> None:
    if payload.kind is EventKind.LANDING:
        raise Killed


def test_a_runner_lost_between_the_intent_and_the_move_lands_once(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    before = ghost.repo.tip()
    with pytest.raises(Killed):
        ghost.attempt(record=_die_at_the_intent)
    assert ghost.repo.tip() == before
    assert ghost.finish(patch_id).status is Status.LANDED
    assert ghost.repo.run("rev-list", "--count", f"{before}..main") == "1"


def test_a_move_that_git_reports_as_failed_is_read_from_the_branch(ghost: Ghost) -> None:
    before = ghost.repo.tip()
    ghost.repo.run("checkout", "--quiet", "--detach")
    ghost.send(changes=EDIT)
    outcome = ghost.attempt(LateGit(ghost.repo.git.directory, ghost.repo.git.search_path))
    assert isinstance(outcome, Landed)
    assert outcome.landing.commit == ghost.repo.tip() != before


def test_a_patch_lost_after_the_move_lands_in_spite_of_a_cancel(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    with pytest.raises(Killed):
        ghost.attempt(
            KillingGit(ghost.repo.git.directory, ghost.repo.git.search_path, kills_at="tag")
        )
    ghost.ledger.leases.reclaim(ghost.clock())
    assert ghost.ledger.decisions.cancel(patch_id, "the sender", ghost.clock()) is Status.QUEUED
    assert ghost.finish(patch_id).status is Status.LANDED


def test_a_patch_lost_before_the_move_is_cancelled_on_request(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    before = ghost.repo.tip()
    with pytest.raises(Killed):
        ghost.attempt(record=_die_at_the_intent)
    ghost.ledger.leases.reclaim(ghost.clock())
    ghost.ledger.decisions.cancel(patch_id, "the sender", ghost.clock())
    assert ghost.finish(patch_id).status is Status.CANCELLED
    assert ghost.repo.tip() == before


def test_a_tag_that_cannot_be_written_does_not_undo_the_landing(ghost: Ghost) -> None:
    (ghost.repo.path / ".git/refs/tags/patch-x").mkdir(parents=True)
    (ghost.repo.path / ".git/refs/tags/patch-x/in-the-way").write_text(ghost.repo.tip() + "\n")
    landed = ghost.finish(ghost.send(id="patch-x"))
    assert landed.status is Status.LANDED
    assert "tag_failed" in (landed.outcome or {})


def test_a_seal_that_cannot_be_deleted_does_not_stop_the_runner(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(checks=[])
    lock = ghost.repo.path / ".git/refs/gcr/sealed/patch-y.lock"
    script = f"mkdir -p {lock.parent}; touch {lock}; exit 1"
    ghost.repository = ghost.repository.model_copy(update={"checks": (check_of_patches(script),)})
    assert ghost.finish(ghost.send(id="patch-y")).status is Status.REJECTED


def test_a_report_that_cannot_be_written_delays_no_other_patch(ghost: Ghost) -> None:
    stuck = ghost.send(id="stuck")
    ghost.state.patches_dir.mkdir()
    (ghost.state.patches_dir / "stuck").write_text("a file where the folder should be")
    ghost.ledger.decisions.cancel(stuck, "the sender", ghost.clock())
    assert ghost.finish(ghost.send()).status is Status.LANDED
    assert ghost.get(stuck).reported_at is None


def test_a_clock_that_is_set_back_does_not_cost_a_patch_its_report(ghost: Ghost) -> None:
    held = ghost.finish(
        ghost.send(changes=[{"type": "upsert", "path": "Makefile", "contents": "all:\n"}])
    )
    ghost.clock.ahead = -3600
    ghost.ledger.decisions.approve(held.id, "the owner", ghost.clock())
    assert ghost.finish(held.id).status is Status.LANDED
    assert "The patch landed." in ghost.report(held.id)


def test_a_repository_removed_from_the_settings_fails_only_its_own_patches(ghost: Ghost) -> None:
    gone = ghost.send(repository="gone")
    ghost.clock.ahead = -100
    with ghost.ledger.database.write() as connection:
        connection.execute(
            text("UPDATE patches SET repository = 'gone', attempts = 2 WHERE id = :id"),
            {"id": gone},
        )
    assert ghost.finish(gone, ghost.send()).status is Status.LANDED
    assert (ghost.get(gone).outcome or {})["code"] == "repository_unknown"


def test_a_git_directory_that_moves_is_found_again_at_the_next_attempt(
    make_ghost: MakeGhost,
) -> None:
    ghost = make_ghost(checks=[])
    mark, elsewhere = ghost.place / "moved", ghost.place / "elsewhere"
    move = f"git -C {ghost.repo.path} init --quiet --separate-git-dir {elsewhere}"
    check = shell_check(f"test -e {mark} || {{ touch {mark}; {move}; }}")
    ghost.repository = ghost.repository.model_copy(update={"checks": (check,)})
    patch_id = ghost.send(changes=EDIT)

    def is_settled() -> bool:
        if ghost.get(patch_id).status is Status.QUEUED and mark.exists():
            ghost.clock.ahead = 10  # past the back-off, for the same runner
        return ghost.is_settled(patch_id)

    ghost.work_until(is_settled)
    assert ghost.get(patch_id).status is Status.LANDED
    assert ghost.kinds(patch_id).count("requeued") == 1


def test_the_workspace_of_a_killed_runner_is_removed(ghost: Ghost) -> None:
    left = ghost.state.workspaces_dir / "1-1" / "tree"
    left.mkdir(parents=True)
    ghost.finish(ghost.send())
    assert not left.exists()


def test_an_unavailable_ledger_does_not_end_the_runner(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    with ghost.ledger.database.write() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO events_away"))
    mended = threading.Timer(0.3, _mend, [ghost])
    mended.start()
    assert ghost.finish(patch_id).status is Status.LANDED
    mended.join()


def _mend(ghost: Ghost) -> None:
    with ghost.ledger.database.write() as connection:
        connection.execute(text("ALTER TABLE events_away RENAME TO events"))


def test_a_patch_whose_lease_was_lost_is_not_touched(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    script = ghost.place / "lose"
    check = shell_check(f"touch {script}; sleep 1")
    ghost.repository = ghost.repository.model_copy(update={"checks": (check,)})

    def take_away() -> None:
        ghost.ledger.leases.reclaim(ghost.clock())
        ghost.ledger.decisions.cancel(patch_id, "the sender", ghost.clock())

    _when(script, take_away)
    assert ghost.finish(patch_id).status is Status.CANCELLED
    assert "landed" not in ghost.kinds(patch_id)


def test_a_second_runner_refuses_the_same_state_directory(ghost: Ghost) -> None:
    state = ghost.state.dir
    with RunnerLock(state, "first"), pytest.raises(RunnerAlreadyHere) as refused:
        ghost.work_until(lambda: True)
    assert refused.value.pid == psutil.Process().pid
