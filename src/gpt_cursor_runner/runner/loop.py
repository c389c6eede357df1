"""The runner's work loop: claim a patch, attempt it, report it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.config import Config, Repository
from gpt_cursor_runner.config.profile import profile_digest
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.engine.embedded import Engine
from gpt_cursor_runner.engine.runner_lock import Blockage, RunnerLock
from gpt_cursor_runner.landing.preparing import Stores
from gpt_cursor_runner.landing.workspace import sweep
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import EventPayload
from gpt_cursor_runner.patch.faults import Fault, LeaseLost
from gpt_cursor_runner.patch.outcome import Blocked, Failed, Outcome, Requeued
from gpt_cursor_runner.patch.status import FINAL
from gpt_cursor_runner.runner.attempt import Attempt
from gpt_cursor_runner.runner.owed_reports import OwedReports
from gpt_cursor_runner.runner.reaction import StopAsked, outcome_of
from gpt_cursor_runner.runner.readiness import Readiness
from gpt_cursor_runner.runner.repositories import Repositories

log = structlog.get_logger()

_IDLE_SECONDS = 0.5
_SETTLING_SECONDS = 0.1
# A request to cancel is noticed when the lease is confirmed. The promise is two
# seconds, of which a check that is being ended needs the rest.
CONFIRM_SECONDS = 0.5
_LEDGER_ERROR_SECONDS = 1.0


@dataclass
class Runner:
    """Works on one patch at a time. `should_stop` is called several times a
    second; once it returns True, the patch at work goes back to the queue.
    `obstacles` returns the reasons why no patch can land in a repository now.
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
    _readiness: Readiness = field(init=False)
    _confirmed_at: float = 0.0
    _recovery_owed: bool = True

    def __post_init__(self) -> None:
        self._config = self.settings.config
        self._repositories = self.open_repositories(self._config)
        self._readiness = Readiness(self.obstacles)
        patches_dir = self._config.state.patches_dir
        self._reports = OwedReports(self.ledger, self._repositories, patches_dir)

    def run(self) -> None:
        """Work until asked to stop. Raises RunnerAlreadyHere when another
        runner holds the state directory.
        """
        self._readiness.configure(self._config.repository)
        self._readiness.start()
        try:
            self._run()
        finally:
            self._readiness.stop()

    def _run(self) -> None:
        with RunnerLock(self._config.state.dir, self.runner_id) as lock:
            log.info("runner_started", runner=self.runner_id)
            while not self.should_stop():
                lock.beat("idle", blocked=self._blocked())
                try:
                    self._turn(lock)
                except SQLAlchemyError:
                    log.exception("ledger_unavailable")
                    # The end of an attempt may not have been written: a patch
                    # that the ledger still leases to us is reclaimed later.
                    self._recovery_owed = True
                    time.sleep(self.ledger_error_seconds)
            log.info("runner_stopped", runner=self.runner_id)

    def _turn(self, lock: RunnerLock) -> None:
        if self._recovery_owed:
            self._recover()
        self._reports.write_some()
        if not self._follow_settings():
            # A patch that is claimed now might be judged by settings that the
            # owner has just replaced.
            self.engine.wait(_SETTLING_SECONDS)
            return
        claim = self.engine.claim(self._readiness.is_ready)
        if claim is None:
            self.engine.wait(_IDLE_SECONDS)
            return
        # Every line that is logged below names the patch.
        with structlog.contextvars.bound_contextvars(patch_id=claim.id, attempt=claim.attempts):
            lock.beat("working", claim.id, self._blocked())
            try:
                self._finish(claim, self._attempt(claim, lock))
            except LeaseLost:
                log.warning("lease_lost")

    def _follow_settings(self) -> bool:
        """Apply a change of the settings, between patches; False while a change
        has not settled.
        """
        has_settled = self.settings.refresh()
        config = self.settings.config
        if config is not self._config:
            self._config = config
            self._repositories = self.open_repositories(config)
            self._reports.repositories = self._repositories
            self._readiness.configure(config.repository)
        return has_settled

    def _blocked(self) -> Blockage:
        return Blockage(self._readiness.blocked(), self._readiness.are_all_blocked())

    def _recover(self) -> None:
        for name in sweep(self._config.state.workspaces_dir):
            log.warning("workspace_swept", workspace=name)
        for patch_id in self.engine.recover():
            log.warning("patch_recovered", patch_id=patch_id)
        self._recovery_owed = False

    def _attempt(self, claim: StoredPatch, lock: RunnerLock) -> Outcome:
        try:
            return self._prepare(claim, lock).run()
        except (LeaseLost, SQLAlchemyError):
            raise  # a fault of the lease or the ledger, not of this attempt
        except Exception as error:  # noqa: BLE001  the loop's edge: after any error the next patch gets its turn
            # The repository may be gone or moved: it is found again at the next
            # attempt.
            self._repositories.forget_git(claim.repository)
            outcome = outcome_of(error, claim, self.ledger)
            if isinstance(outcome, Requeued | Failed) or outcome.code == "branch_in_use":
                return self._blocked_or(outcome, claim)
            return outcome

    def _blocked_or(self, outcome: Outcome, claim: StoredPatch) -> Outcome:
        """A patch does not fail by an obstacle that holds up every patch of its
        repository.
        """
        repository = self._config.repository_named(claim.repository)
        if repository is None:
            return outcome
        obstacle = self._readiness.ask(repository)
        if obstacle is None:
            return outcome
        return Blocked.by(obstacle)

    def _prepare(self, claim: StoredPatch, lock: RunnerLock) -> Attempt:
        repositories, state = self._repositories, self._config.state
        repository = repositories.get(claim.repository)
        return Attempt(
            claim=claim,
            repository=repository,
            profile=profile_digest(repository, self._config.sandbox),
            git=repositories.git(repository),
            sandbox=lambda: repositories.sandbox(repository),
            evidence=Evidence(state.patches_dir / claim.id),
            workspace=state.workspaces_dir / f"{claim.seq}-{claim.token}",
            stores=Stores.of(state, repository),
            history=self.ledger.queries.events(claim.id),
            record=lambda payload: self._record(claim, lock, payload),
            tick=lambda: self._tick(claim, lock),
        )

    def _record(self, claim: StoredPatch, lock: RunnerLock, payload: EventPayload) -> None:
        lock.beat("working", claim.id, self._blocked())
        self.ledger.leases.record(claim, payload, self.ledger.clock())

    def _tick(self, claim: StoredPatch, lock: RunnerLock) -> None:
        lock.beat("working", claim.id, self._blocked())
        if self.should_stop():
            raise StopAsked
        if time.monotonic() - self._confirmed_at > CONFIRM_SECONDS:
            self.engine.confirm(claim)
            self._confirmed_at = time.monotonic()

    def _finish(self, claim: StoredPatch, outcome: Outcome) -> None:
        now = self.ledger.clock()
        not_before = 0.0
        # A fault of this machine may pass: wait 2, then 4 seconds.
        if isinstance(outcome, Requeued):
            not_before = now + 2.0**claim.attempts
        if outcome.status in FINAL:
            # Before the ledger shows the end, so that a client which reads it
            # finds no sealed ref left.
            self._repositories.delete_seal(claim)
        status = self.ledger.leases.finish(claim, outcome, now, not_before)
        log.info("patch_ended", status=status, code=outcome.code)
