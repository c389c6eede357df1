"""The runner's work loop: claim patches, have each worked on in a thread of its
own, beat.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.config import Config, Repository
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.engine.embedded import Engine
from gpt_cursor_runner.engine.runner_lock import Blockage, RunnerLock
from gpt_cursor_runner.landing.workspace import sweep
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import EventKind
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.runner.owed_reports import OwedReports
from gpt_cursor_runner.runner.readiness import Readiness
from gpt_cursor_runner.runner.repositories import Repositories
from gpt_cursor_runner.runner.work import Surroundings, Work
from gpt_cursor_runner.system.periodic import PeriodicThread

log = structlog.get_logger()

_IDLE_SECONDS = 0.5
_SETTLING_SECONDS = 0.1
_STOPPING_SECONDS = 0.05
_REPORTS_SECONDS = 1.0
_LEDGER_ERROR_SECONDS = 1.0
_JOIN_SECONDS = 10.0
# A patch that was at work at the death of so many runners may be the cause: the
# next death must not count against others.
_SUSPECT_LOSSES = 2


@dataclass
class Runner:
    """Works on patches side by side, one for each branch. `should_stop` is
    called several times a second, by many threads; once it returns True, the
    patches at work go back to the queue. `obstacles` returns the reasons why no
    patch can land in a repository now.
    """

    runner_id: str
    settings: Settings
    open_repositories: Callable[[Config], Repositories]
    ledger: Ledger
    engine: Engine
    should_stop: Callable[[], bool]
    obstacles: Callable[[Repository], list[Fault]]
    ledger_error_seconds: float = _LEDGER_ERROR_SECONDS
    _config: Config = field(init=False)
    _repositories: Repositories = field(init=False)
    _reports: OwedReports = field(init=False)
    _reporter: PeriodicThread = field(init=False)
    _readiness: Readiness = field(init=False)
    _at_work: list[Work] = field(default_factory=list)
    _has_recovered: bool = False
    # When patches that a failed write left running are queued again.
    _reclaim_at: float | None = None

    def __post_init__(self) -> None:
        self._config = self.settings.config
        self._repositories = self.open_repositories(self._config)
        patches_dir = self._config.state.patches_dir
        self._reports = OwedReports(self.ledger, self._repositories, patches_dir)
        self._reporter = PeriodicThread("reports", self._write_reports, _JOIN_SECONDS)
        self._readiness = Readiness(self.obstacles, self.engine.wake)
        self._readiness.configure(self._config.repository)

    def run(self) -> None:
        """Work until asked to stop. Raises RunnerAlreadyHere when another
        runner holds the state directory.
        """
        with RunnerLock(self._config.state.dir, self.runner_id) as lock:
            log.info("runner_started", runner=self.runner_id)
            self._readiness.start()
            self._reporter.start()
            while not self.should_stop():
                self._beat(lock)
                try:
                    self._turn()
                except SQLAlchemyError:
                    log.exception("ledger_unavailable")
                    # The ledger may have stored a claim whose answer was lost.
                    self._reclaim_at = time.monotonic()
                    time.sleep(self.ledger_error_seconds)
            self._await_ends(lock)
            self._readiness.stop()
            self._reporter.stop()
            log.info("runner_stopped", runner=self.runner_id)

    def _turn(self) -> None:
        if not self._has_recovered:
            self._recover()
        self._dismiss_ended()
        self._reclaim_lost()
        self._reporter.wake()
        if not self._follow_settings():
            # A patch that is claimed now might be judged by settings that the
            # owner has just replaced.
            self.engine.wait(_SETTLING_SECONDS)
            return
        claim = None
        if self._has_room():
            claim = self.engine.claim(self._readiness.is_ready)
        if claim is None:
            self.engine.wait(_IDLE_SECONDS)
            return
        work = Work(claim, self._surroundings(), self._is_suspect(claim))
        self._at_work.append(work)
        work.start()

    def _recover(self) -> None:
        """Take over from a runner that was lost."""
        for name in sweep(self._config.state.workspaces_dir):
            log.warning("workspace_swept", workspace=name)
        self._reclaim()
        self._has_recovered = True

    def _dismiss_ended(self) -> None:
        ended = [work for work in self._at_work if work.has_ended]
        self._at_work = [work for work in self._at_work if not work.has_ended]
        if any(not work.was_written for work in ended):
            # Not at once: the ledger or the disk needs a moment.
            self._reclaim_at = time.monotonic() + self.ledger_error_seconds

    def _reclaim_lost(self) -> None:
        if self._reclaim_at is not None and time.monotonic() >= self._reclaim_at:
            self._reclaim()
            self._reclaim_at = None

    def _reclaim(self) -> None:
        at_work = [work.claim.id for work in self._at_work]
        for patch_id in self.engine.recover(at_work):
            log.warning("patch_recovered", patch_id=patch_id)

    def _has_room(self) -> bool:
        if any(work.is_alone for work in self._at_work):
            return False
        return len(self._at_work) < (self._config.runner.parallel or _cores())

    def _is_suspect(self, claim: StoredPatch) -> bool:
        if claim.attempts <= _SUSPECT_LOSSES:
            return False
        events = self.ledger.queries.events(claim.id)
        losses = [event for event in events if event.kind == EventKind.LEASE_LOST]
        return len(losses) >= _SUSPECT_LOSSES

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            self._config,
            self._repositories,
            self._readiness,
            self.ledger,
            self.engine,
            self.should_stop,
        )

    def _follow_settings(self) -> bool:
        """Apply a change of the settings to the patches that are claimed from
        now on; False while a change has not settled.
        """
        has_settled = self.settings.refresh()
        config = self.settings.config
        if config is not self._config:
            self._config = config
            self._repositories = self.open_repositories(config)
            self._reports.repositories = self._repositories
            self._readiness.configure(config.repository)
        return has_settled

    def _write_reports(self) -> float:
        self._reports.write_some()
        return _REPORTS_SECONDS

    def _await_ends(self, lock: RunnerLock) -> None:
        while True:
            self._dismiss_ended()
            if not self._at_work:
                return
            self._beat(lock, "stopping")
            time.sleep(_STOPPING_SECONDS)

    def _beat(self, lock: RunnerLock, activity: str | None = None) -> None:
        if activity is None:
            activity = "working" if self._at_work else "idle"
        at_work = {work.claim.id: work.sequence for work in self._at_work}
        blocked = Blockage(self._readiness.blocked(), self._readiness.are_all_blocked())
        lock.beat(activity, at_work, blocked)


def _cores() -> int:
    """The processors that this process may use: a container may have fewer than
    the machine.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
