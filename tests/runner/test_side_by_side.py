"""Several patches at work at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpt_cursor_runner.config import Config, Repository, RunnerLimits
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.runner.loop import Runner
from gpt_cursor_runner.runner.work import Work
from tests.building import Repo
from tests.runner.builders import Ghost, shell_check

NAMES = ("app", "site")


class SideBySide:
    """A ghost with two repositories, whose checks note when they run in `marks`.

    A check waits for the file `released`.
    """

    def __init__(self, ghost: Ghost, directory: Path) -> None:
        self.ghost = ghost
        self.marks = directory
        self.parallel = 4
        self.branches: list[str] = []
        Repo.create(ghost.place / "site")
        self.check = shell_check(
            f"touch {directory}/$(basename $PWD)-$$.started;"
            f" cp notes/*.txt {directory} 2>/dev/null;"
            f" while ! test -e {directory}/released; do sleep 0.02; done"
        )

    def repository(self, name: str) -> Repository:
        checks = (self.check,)
        return Repository(name=name, path=self.ghost.place / name, sandbox="none", checks=checks)

    @property
    def settings(self) -> Settings:
        config = Config(
            state=self.ghost.state,
            repository=tuple(self.repository(name) for name in NAMES),
            runner=RunnerLimits(parallel=self.parallel),
        )
        return Settings(config)

    def started(self) -> int:
        return len(list(self.marks.glob("*.started")))

    def release(self) -> None:
        (self.marks / "released").touch()

    def work_until(self, is_done: Callable[[], bool]) -> None:
        self.ghost.work_until(is_done, self.settings)

    def finish(self, *patch_ids: str) -> None:
        self.work_until(lambda: all(self.ghost.is_settled(patch_id) for patch_id in patch_ids))

    def status(self, patch_id: str) -> Status:
        return self.ghost.get(patch_id).status

    def order(self, *patch_ids: str) -> list[tuple[str, str]]:
        """The claims and ends of these patches as they followed each other."""
        events = [
            (event.seq, patch_id, event.kind)
            for patch_id in patch_ids
            for event in self.ghost.ledger.queries.events(patch_id)
            if event.kind in ("claimed", "landed")
        ]
        return [(patch_id, kind) for _, patch_id, kind in sorted(events)]

    def were_apart(self, *patch_ids: str) -> bool:
        order = self.order(*patch_ids)
        return all(
            (claim[0], claim[1], end[1]) == (end[0], "claimed", "landed")
            for claim, end in zip(order[::2], order[1::2], strict=True)
        )

    def claimed_during(self, patch_id: str, *others: str) -> list[str]:
        """The patches that were claimed while this one was at work."""
        order = self.order(patch_id, *others)
        begin = max(i for i, item in enumerate(order) if item == (patch_id, "claimed"))
        end = order.index((patch_id, "landed"))
        return [name for name, kind in order[begin + 1 : end] if kind == "claimed"]


@pytest.fixture
def both(ghost: Ghost, tmp_path: Path) -> Iterator[SideBySide]:
    marks = tmp_path / "marks"
    marks.mkdir()
    made = SideBySide(ghost, marks)
    yield made
    made.release()


def test_patches_for_two_repositories_are_checked_at_the_same_time(both: SideBySide) -> None:
    first, second = both.ghost.send(repository="app"), both.ghost.send(repository="site")

    # Each check waits until both have started: one after the other they would
    # wait until the timeout.
    def release_when_both_run() -> bool:
        if both.started() == 2:
            both.release()
        return all(both.ghost.is_settled(patch_id) for patch_id in (first, second))

    both.work_until(release_when_both_run)
    assert {both.status(first), both.status(second)} == {Status.LANDED}


def test_patches_for_one_branch_follow_each_other(both: SideBySide) -> None:
    patch_ids = [both.ghost.send(repository="app") for _ in range(3)]
    both.release()
    both.finish(*patch_ids)
    expected = [(patch_id, kind) for patch_id in patch_ids for kind in ("claimed", "landed")]
    assert both.order(*patch_ids) == expected


def test_no_more_patches_are_at_work_than_the_owner_allows(both: SideBySide) -> None:
    both.parallel = 1
    first, second = both.ghost.send(repository="app"), both.ghost.send(repository="site")
    both.release()
    both.finish(first, second)
    assert both.were_apart(first, second)


def test_a_cancel_ends_one_of_two_patches(both: SideBySide) -> None:
    first, second = both.ghost.send(repository="app"), both.ghost.send(repository="site")
    both.work_until(lambda: both.started() == 2)
    for mark in both.marks.glob("*.started"):
        mark.unlink()
    asked: list[bool] = []

    def cancel_then_release() -> bool:
        if both.started() == 2 and not asked:
            asked.append(True)
            both.ghost.ledger.decisions.cancel(first, "the sender", both.ghost.clock())
        if both.status(first) is Status.CANCELLED:
            both.release()
        return both.ghost.is_settled(first) and both.ghost.is_settled(second)

    both.work_until(cancel_then_release)
    assert (both.status(first), both.status(second)) == (Status.CANCELLED, Status.LANDED)


def test_a_stop_reaches_every_patch_at_work(both: SideBySide) -> None:
    patch_ids = [both.ghost.send(repository=name) for name in NAMES]
    both.work_until(lambda: both.started() == 2)
    for patch_id in patch_ids:
        stored = both.ghost.get(patch_id)
        assert (stored.status, stored.attempts) == (Status.QUEUED, 0)
    assert list(both.ghost.state.workspaces_dir.iterdir()) == []
    both.release()
    both.finish(*patch_ids)
    assert {both.status(patch_id) for patch_id in patch_ids} == {Status.LANDED}


def test_a_blocked_repository_does_not_hold_up_another(both: SideBySide) -> None:
    aside = both.ghost.place / "aside"
    (both.ghost.place / "app").rename(aside)
    waiting, other = both.ghost.send(repository="app"), both.ghost.send(repository="site")
    both.release()
    both.finish(other)
    stored = both.ghost.get(waiting)
    assert (stored.status, stored.attempts) == (Status.QUEUED, 0)
    aside.rename(both.ghost.place / "app")
    both.finish(waiting)
    assert both.status(waiting) is Status.LANDED


def test_work_whose_end_could_not_be_written_is_queued_again_beside_other_work(
    both: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = both.ghost.send(repository="app"), both.ghost.send(repository="site")
    finish = Work._finish
    failed: list[str] = []

    def fail_once(work: Work, outcome: object) -> None:
        if work.claim.id == broken and not failed:
            failed.append(work.claim.id)
            raise RuntimeError("the disk was full")
        finish(work, outcome)  # type: ignore[arg-type]

    monkeypatch.setattr(Work, "_finish", fail_once)
    other_was_at_work: list[bool] = []

    def release_when_both_run() -> bool:
        if both.started() == 2:
            both.release()
        if "lease_lost" in both.ghost.kinds(broken):
            other_was_at_work.append(True)
        return both.ghost.is_settled(broken) and both.ghost.is_settled(other)

    both.work_until(release_when_both_run)
    assert (both.status(broken), both.status(other)) == (Status.LANDED, Status.LANDED)
    assert both.ghost.kinds(broken).count("lease_lost") == 1
    assert both.ghost.kinds(other).count("claimed") == 1
    assert other_was_at_work


def test_a_patch_that_was_lost_twice_is_worked_on_alone(both: SideBySide) -> None:
    suspect = both.ghost.send(repository="app")
    for _ in range(2):
        assert both.ghost.ledger.leases.claim("doomed", both.ghost.clock()) is not None
        both.ghost.ledger.leases.reclaim(both.ghost.clock())
    other = both.ghost.send(repository="site")
    both.release()
    both.finish(suspect, other)
    # Which of them is first depends on the answers about their repositories.
    assert both.claimed_during(suspect, other) == []


def test_a_repository_whose_disk_hangs_does_not_hold_up_another(both: SideBySide) -> None:
    let_go = threading.Event()

    def hang(repository: Repository) -> list[Fault]:
        if repository.name == "app":
            let_go.wait(30)
        return []

    both.ghost.send(repository="app")
    patch_id = both.ghost.send(repository="site")
    both.release()
    runner: Runner = both.ghost.runner(
        lambda: both.ghost.is_settled(patch_id), both.settings, obstacles=hang
    )
    runner.run()
    let_go.set()
    assert both.status(patch_id) is Status.LANDED
