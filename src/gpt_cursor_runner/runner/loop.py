"""The runner's work loop: claim, walk, report, beat; stop politely."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.engine.embedded import Engine
from gpt_cursor_runner.engine.runner_lock import RunnerLock
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.sandbox import Sandbox, choose_sandbox
from gpt_cursor_runner.landing.sealing import sealed_ref
from gpt_cursor_runner.landing.workspace import sweep
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.moves import cancelled_by
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.faults import (
    CancelAsked,
    HumanNeeded,
    LeaseLost,
    PatchRefused,
    WorldFailed,
)
from gpt_cursor_runner.patch.outcome import Held, Rejected
from gpt_cursor_runner.patch.repeating import advised, kinds
from gpt_cursor_runner.patch.status import FINAL, Status
from gpt_cursor_runner.runner.attempt import Attempt, Ending
from gpt_cursor_runner.runner.reporting import write_report

log = structlog.get_logger()

MAX_RETRIES = 3
_IDLE_SECONDS = 0.5
# Also how soon a request to cancel is noticed, which is promised within two seconds.
_CONFIRM_SECONDS = 0.5
_TROUBLE_SECONDS = 1.0
_RECENT_SECONDS = 3600.0
_SETTLED_A_TURN = 20
_SETTLE_AGAIN_SECONDS = 60.0


class StopAsked(Exception):
    """The runner was told to stop; the patch goes back to the queue untouched."""


@dataclass
class Runner:
    """The ghost. `should_stop` is asked often; when it says yes, the patch at
    hand is given back.
    """

    runner_id: str
    state_dir: Path
    patches_dir: Path
    workspaces_dir: Path
    repositories: dict[str, Repository]
    ledger: Ledger
    engine: Engine
    search_path: str
    should_stop: Callable[[], bool]
    _sandboxes: dict[str, Sandbox] = field(default_factory=dict)
    _confirmed_at: float = 0.0
    _recovery_owed: bool = True
    _unsettled: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Work until told to stop. Raises RunnerAlreadyHere when another runner
        has the state directory.
        """
        with RunnerLock(self.state_dir, self.runner_id) as presence:
            log.info("runner_started", runner=self.runner_id)
            while not self.should_stop():
                presence.beat("idle")
                try:
                    self._turn(presence)
                except SQLAlchemyError:
                    # The end of an attempt may not have been written: what we
                    # still seem to hold is taken back later.
                    log.exception("ledger_unavailable")
                    self._recovery_owed = True
                    time.sleep(_TROUBLE_SECONDS)
            log.info("runner_stopped", runner=self.runner_id)

    def _turn(self, presence: RunnerLock) -> None:
        if self._recovery_owed:
            self._recover()
        self._settle_owed()
        claim = self.engine.claim()
        if claim is None:
            self.engine.wait(_IDLE_SECONDS)
            return
        with structlog.contextvars.bound_contextvars(patch_id=claim.id, attempt=claim.attempts):
            presence.beat("working", claim.id)
            self._work(claim, presence)

    def _work(self, claim: StoredPatch, presence: RunnerLock) -> None:
        try:
            self._finish(claim, self._walk(claim, presence))
        except LeaseLost:
            log.warning("lease_lost")

    def _walk(self, claim: StoredPatch, presence: RunnerLock) -> Ending:
        try:
            return self._attempt(claim, presence).walk()
        except StopAsked:
            return Ending(Status.QUEUED, {"code": "runner_stopped"}, counted=False)
        except (LeaseLost, SQLAlchemyError):
            raise  # the lease or the ledger is in trouble, not the patch
        except Exception as trouble:  # noqa: BLE001  the loop's edge: whatever went wrong, the next patch gets its turn
            return self._reaction(claim, trouble)

    def _finish(self, claim: StoredPatch, ending: Ending) -> None:
        now, back_off = self.ledger.clock(), 0.0
        if ending.status is Status.QUEUED and ending.counted:
            back_off = now + 2.0**claim.attempts
        if ending.status in FINAL:
            self._forget_seal(claim)
        status = self.ledger.leases.finish(
            claim, ending.status, now, ending.outcome, back_off, ending.counted
        )
        log.info("patch_ended", status=status, code=ending.outcome.get("code"))

    def _reaction(self, claim: StoredPatch, trouble: Exception) -> Ending:
        """One reaction for each way an attempt can end: whose fault decides the
        state.
        """
        match trouble:
            case PatchRefused():
                outcome = Rejected.of(self._with_advice(claim, trouble))
                return Ending(Status.REJECTED, outcome.to_json())
            case HumanNeeded():
                return Ending(Status.HELD, Held.of(trouble).to_json())
            case CancelAsked():
                return Ending(Status.CANCELLED, cancelled_by(str(trouble)))
            case WorldFailed():
                log.warning("attempt_failed", code=trouble.code, reason=trouble.message)
                facts = {
                    "code": trouble.code,
                    "message": trouble.message,
                    "next_step": trouble.next_step,
                }
            case _:
                log.exception("attempt_failed", exc_info=trouble)
                code = "git_failed" if isinstance(trouble, GitFailed) else "internal"
                facts = {
                    "code": code,
                    "message": str(trouble)[:500],
                    "next_step": "See the runner's log and `gcr doctor`.",
                }
        again = claim.attempts < MAX_RETRIES
        return Ending(Status.QUEUED if again else Status.FAILED, facts)

    def _with_advice(self, claim: StoredPatch, refused: PatchRefused) -> PatchRefused:
        """The refusal, knowing which others this sender's patches met of late."""
        since = self.ledger.clock() - _RECENT_SECONDS
        met = Counter(kinds(refused.faults))
        for outcome in self.ledger.queries.rejections(claim.submitted_by, claim.repository, since):
            errors = outcome.get("errors", [])
            met.update({(error["code"], error.get("path", "")) for error in errors} & met.keys())
        return advised(refused, met)

    def _attempt(self, claim: StoredPatch, presence: RunnerLock) -> Attempt:
        repository = self.repositories.get(claim.repository)
        if repository is None:
            raise WorldFailed(
                "repository_unknown",
                f"runner.toml has no repository named {claim.repository} any more",
                "Register it again, then `gcr retry` the patch.",
            )
        return Attempt(
            claim=claim,
            repository=repository,
            git=Git.at(repository.path, self.search_path),
            sandbox=lambda: self._sandbox(repository),
            evidence=Evidence(self.patches_dir / claim.id),
            workspace=self.workspaces_dir / f"{claim.seq}-{claim.token}",
            history=self.ledger.queries.events(claim.id),
            record=lambda kind, data: self._record(claim, presence, kind, data),
            tick=lambda: self._tick(claim, presence),
        )

    def _record(
        self, claim: StoredPatch, presence: RunnerLock, kind: str, data: dict[str, Any]
    ) -> None:
        presence.beat("working", claim.id)
        self.ledger.leases.record(claim, kind, self.ledger.clock(), data)

    def _tick(self, claim: StoredPatch, presence: RunnerLock) -> None:
        presence.beat("working", claim.id)
        if self.should_stop():
            raise StopAsked
        if time.monotonic() - self._confirmed_at > _CONFIRM_SECONDS:
            self.engine.confirm(claim)
            self._confirmed_at = time.monotonic()

    def _sandbox(self, repository: Repository) -> Sandbox:
        if repository.name not in self._sandboxes:
            chosen = choose_sandbox(
                repository.sandbox, self.search_path, repository.sandbox_read_only
            )
            self._sandboxes[repository.name] = chosen
        return self._sandboxes[repository.name]

    def _settle_owed(self) -> None:
        """Settle what ended without a report, whoever ended it and however long
        ago; some at every turn.
        """
        now = time.monotonic()
        self._unsettled = {patch: until for patch, until in self._unsettled.items() if until > now}
        for stored in self.ledger.queries.unreported(_SETTLED_A_TURN, but_not=self._unsettled):
            try:
                self._settle(stored)
            except SQLAlchemyError:
                raise
            except Exception:  # the loop's edge: a report that cannot be written holds up no patch
                log.exception("report_failed", patch_id=stored.id)
                self._unsettled[stored.id] = now + _SETTLE_AGAIN_SECONDS

    def _settle(self, stored: StoredPatch) -> None:
        """Write the report, and drop the seal that a patch ended by a person,
        in the ledger, still has in git.
        """
        if stored.status in FINAL:
            self._forget_seal(stored)
        history = self.ledger.queries.events(stored.id)
        request = self.ledger.queries.request(stored.id)
        facts = write_report(Evidence(self.patches_dir / stored.id), stored, history, request)
        self.ledger.leases.mark_reported(stored, self.ledger.clock(), facts)

    def _forget_seal(self, stored: StoredPatch) -> None:
        """Drop the sealed ref of a patch that ended; one that cannot be dropped
        harms little and fails nothing.
        """
        repository = self.repositories.get(stored.repository)
        if repository is None or stored.token == 0:
            return
        try:
            git = Git.at(repository.path, self.search_path)
            if git.resolve(sealed_ref(stored.id)) is not None:
                git.run("update-ref", "-d", sealed_ref(stored.id))
        except (GitFailed, WorldFailed, OSError) as trouble:
            log.warning("seal_not_forgotten", patch_id=stored.id, reason=str(trouble)[:300])

    def _recover(self) -> None:
        for name in sweep(self.workspaces_dir):
            log.warning("workspace_swept", workspace=name)
        for patch_id in self.engine.recover():
            log.warning("patch_recovered", patch_id=patch_id)
        self._recovery_owed = False
