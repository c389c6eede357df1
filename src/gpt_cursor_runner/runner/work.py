"""The work on one claimed patch, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.config import Config, Repository
from gpt_cursor_runner.config.profile import profile_digest
from gpt_cursor_runner.engine.embedded import Engine
from gpt_cursor_runner.landing.preparing import Stores
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import EventPayload
from gpt_cursor_runner.patch.faults import LeaseLost
from gpt_cursor_runner.patch.outcome import Blocked, Failed, Outcome, Requeued
from gpt_cursor_runner.patch.status import FINAL
from gpt_cursor_runner.runner.attempt import Attempt
from gpt_cursor_runner.runner.reaction import StopAsked, outcome_of
from gpt_cursor_runner.runner.readiness import Readiness
from gpt_cursor_runner.runner.repositories import Repositories

log = structlog.get_logger()

# A request to cancel is noticed when the lease is confirmed. The promise is two
# seconds, of which a check that is being ended needs the rest.
CONFIRM_SECONDS = 0.5


@dataclass(frozen=True)
class Surroundings:
    """The parts that every patch is worked on with. The settings are those at
    the claim: later ones are for later patches.
    """

    config: Config
    repositories: Repositories
    readiness: Readiness
    ledger: Ledger
    engine: Engine
    should_stop: Callable[[], bool]


@dataclass
class Work:
    """One attempt at one patch, from its claim to its outcome in the ledger.

    `sequence` grows while it proceeds. `was_written` is False when the work
    ended and the ledger may still show the patch as running.
    """

    claim: StoredPatch
    surroundings: Surroundings
    is_alone: bool = False
    sequence: int = 0
    has_ended: bool = False
    was_written: bool = False
    _confirmed_at: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        # A daemon: when the loop itself fails, the process ends, and the next
        # runner recovers the patch.
        name = f"patch-{self.claim.seq}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        # Every line that is logged below names the patch.
        named = {"patch_id": self.claim.id, "attempt": self.claim.attempts}
        with structlog.contextvars.bound_contextvars(**named):
            try:
                self._finish(self._attempt())
                self.was_written = True
            except LeaseLost:
                log.warning("lease_lost")
                self.was_written = True
            except SQLAlchemyError:
                log.exception("ledger_unavailable")
            except Exception:
                log.exception("work_failed")
        self.has_ended = True
        self.surroundings.engine.wake()

    def _attempt(self) -> Outcome:
        repositories, ledger = self.surroundings.repositories, self.surroundings.ledger
        try:
            return self._prepare().run()
        except (LeaseLost, SQLAlchemyError):
            raise  # a fault of the lease or the ledger, not of this attempt
        except Exception as error:  # noqa: BLE001  the attempt's edge: after any error the next patch gets its turn
            # The repository may be gone or moved: it is found again at the next
            # attempt.
            repositories.forget_git(self.claim.repository)
            outcome = outcome_of(error, self.claim, ledger)
            if isinstance(outcome, Requeued | Failed) or outcome.code == "branch_in_use":
                return self._blocked_or(outcome)
            return outcome

    def _blocked_or(self, outcome: Outcome) -> Outcome:
        """A patch does not fail by an obstacle that holds up every patch of its
        repository.
        """
        repository = self.surroundings.config.repository_named(self.claim.repository)
        if repository is None:
            return outcome
        obstacle = self.surroundings.readiness.ask(repository)
        if obstacle is None:
            return outcome
        return Blocked.by(obstacle)

    def _prepare(self) -> Attempt:
        claim = self.claim
        config, repositories = self.surroundings.config, self.surroundings.repositories
        state = config.state
        repository = self._repository(repositories)
        return Attempt(
            claim=claim,
            repository=repository,
            profile=profile_digest(repository, config.sandbox),
            git=repositories.git(repository),
            sandbox=lambda: repositories.sandbox(repository),
            evidence=Evidence(state.patches_dir / claim.id),
            workspace=state.workspaces_dir / f"{claim.seq}-{claim.token}",
            stores=Stores.of(state, repository),
            history=self.surroundings.ledger.queries.events(claim.id),
            record=self._record,
            tick=self._tick,
        )

    def _repository(self, repositories: Repositories) -> Repository:
        """The repository with the branch of the patch, which the settings may no
        longer name: what is kept for a branch is used by one patch at a time.
        """
        repository = repositories.get(self.claim.repository)
        if repository.branch == self.claim.branch:
            return repository
        return repository.model_copy(update={"branch": self.claim.branch})

    def _record(self, payload: EventPayload) -> None:
        self.sequence += 1
        ledger = self.surroundings.ledger
        ledger.leases.record(self.claim, payload, ledger.clock())

    def _tick(self) -> None:
        self.sequence += 1
        if self.surroundings.should_stop():
            raise StopAsked
        if time.monotonic() - self._confirmed_at > CONFIRM_SECONDS:
            self.surroundings.engine.confirm(self.claim)
            self._confirmed_at = time.monotonic()

    def _finish(self, outcome: Outcome) -> None:
        claim, ledger = self.claim, self.surroundings.ledger
        now = ledger.clock()
        not_before = 0.0
        # A fault of this machine may pass: wait 2, then 4 seconds.
        if isinstance(outcome, Requeued):
            not_before = now + 2.0**claim.attempts
        if outcome.status in FINAL:
            # Before the ledger shows the end, so that a client which reads it
            # finds no sealed ref left.
            self.surroundings.repositories.delete_seal(claim)
        status = ledger.leases.finish(claim, outcome, now, not_before)
        log.info("patch_ended", status=status, code=outcome.code)
