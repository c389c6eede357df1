"""One attempt at one patch: planned, sealed, checked, landed.

Every step is recorded as an event. The result is one outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.landing import landing
from gpt_cursor_runner.landing.carrying import carry
from gpt_cursor_runner.landing.checking import CheckResult, checks_digest
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.planning import Basis, plan_patch
from gpt_cursor_runner.landing.policy import require_approval, require_setup_approval
from gpt_cursor_runner.landing.preparing import Stores
from gpt_cursor_runner.landing.sandbox.model import Sandbox
from gpt_cursor_runner.landing.sealing import Sealed, seal
from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch import events
from gpt_cursor_runner.patch.events import EventKind, EventPayload, HunkPlace, Landing
from gpt_cursor_runner.patch.faults import HumanNeeded, WorldFailed
from gpt_cursor_runner.patch.landed import Landed, Previewed
from gpt_cursor_runner.patch.outcome import Outcome
from gpt_cursor_runner.runner.checks import Checks
from gpt_cursor_runner.runner.follow_up import (
    LANDING_ERRORS,
    MAX_LISTED,
    follow_up,
    short_reason,
    summarize,
)

# A patch whose attempts end with the runner's own death is not tried more often
# than this: it is probably the patch that kills the runner.
MAX_ATTEMPTS = 5
# How often the owner may commit while the checks run before the patch goes back
# to the queue.
_MAX_ROUNDS = 5


class Record(Protocol):
    """Writes an event under the lease; raises LeaseLost or CancelAsked when the
    attempt must stop.
    """

    def __call__(self, payload: EventPayload) -> None: ...


@dataclass(frozen=True)
class Attempt:
    """One attempt and its parts. `profile` is the digest of the settings that
    judge it. `tick` is called several times a second and
    raises when the attempt must stop.
    """

    claim: StoredPatch
    repository: Repository
    profile: str
    git: Git
    sandbox: Callable[[], Sandbox]
    evidence: Evidence
    workspace: Path
    stores: Stores
    history: list[Event]
    record: Record
    tick: Callable[[], None]

    def run(self) -> Outcome:
        """Run the attempt. Raises one of the exceptions of `patch/faults.py`
        when the patch cannot land.
        """
        landed = self._landed_before()
        if landed is not None:
            return self._follow_up(landed)
        if self.claim.attempts > MAX_ATTEMPTS:
            raise _too_many_attempts()
        plan, sealed = self._plan_and_seal()
        for _ in range(_MAX_ROUNDS):
            sealed = self._carry_to_tip(sealed)
            self._require_setup_approval(plan)
            results = self._check(sealed)
            if self.claim.patch.mode == "preview":
                return Previewed(summarize(self.git, sealed.base, sealed.commit))
            self._require_approval(plan)
            landed = self._land(sealed, results)
            if landed is not None:
                return self._follow_up(landed)
        raise WorldFailed(
            "base_keeps_moving", f"the branch moved {_MAX_ROUNDS} times while the patch was checked"
        )

    def _landed_before(self) -> Landed | None:
        """The landing of an earlier attempt that moved the branch and was lost
        before it could record its end.
        """
        branch = self.claim.branch
        for event in reversed(self.history):
            if event.kind != EventKind.LANDING:
                continue
            intent = Landing.from_json(event.data)
            if landing.has_landed(self.git, branch, intent.commit):
                return Landed(branch, intent, checkout_observed=False)
        return None

    def _plan_and_seal(self) -> tuple[Plan, Sealed]:
        patch = self.claim.patch
        changes = tuple(enumerate(patch.changes))
        base, plan = plan_patch(
            self.git,
            self.claim.branch,
            Basis.of(patch),
            lambda tree: make_plan(changes, tree, patch.tolerance),
        )
        self.tick()
        self.record(_planned(base, plan, self.profile))
        sealed = seal(self.git, plan, self.claim.id, base, self.claim.accepted_at)
        self.record(events.Sealed(base, sealed.commit, sealed.tree))
        return plan, sealed

    def _carry_to_tip(self, sealed: Sealed) -> Sealed:
        tip = self.git.tip(self.claim.branch)
        carried = carry(self.git, sealed, tip, self.claim.accepted_at)
        if carried != sealed:
            self.record(events.Carried(carried.base, carried.commit, carried.tree))
        # Before the checks, so that a person can read the diff of a patch that
        # is refused or held.
        self.evidence.keep_diff(landing.diff(self.git, carried.base, carried.commit))
        return carried

    def _check(self, sealed: Sealed) -> list[CheckResult]:
        checks = Checks(
            self.repository,
            self.git,
            self.sandbox,
            self.stores,
            self.evidence,
            self.workspace,
            self.record,
            self.tick,
            is_approved=self.claim.approved_by is not None,
        )
        return checks.run(sealed)

    def _require_setup_approval(self, plan: Plan) -> None:
        if self.claim.approved_by is None:
            require_setup_approval(plan, self.repository.setup, self.repository.approval)

    def _require_approval(self, plan: Plan) -> None:
        if self.claim.approved_by is None:
            require_approval(plan, self.repository.approval, self.repository.protected)

    def _land(self, sealed: Sealed, results: list[CheckResult]) -> Landed | None:
        """Move the branch to the final commit; None when the branch has moved
        on and the checks must run again.
        """
        branch = self.claim.branch
        intent = self._compose(sealed, results)
        # Recorded before the branch moves: a later attempt finds by it that
        # this one landed, should the runner die in between.
        self.record(intent)
        try:
            checkout = landing.move_branch(self.git, branch, sealed.base, intent.commit)
        except (landing.BaseMoved, HumanNeeded, *LANDING_ERRORS) as error:
            # The owner may have committed on top of ours at once, or git may
            # have died after the move: only the branch shows whether we landed.
            if not landing.has_landed(self.git, branch, intent.commit):
                self._record_not_moved(error, sealed)
                return None
            # The move has happened, but whether the checkout followed is unknown.
            checkout = None
        return Landed(branch, intent, checkout)

    def _compose(self, sealed: Sealed, results: list[CheckResult]) -> Landing:
        patch = self.claim.patch
        subject = patch.identity.subject(patch.title)
        body = _message_body(patch.description or "")
        trailers = self._trailers(sealed, results)
        commit = landing.compose(self.git, sealed, subject, body, trailers, self.claim.accepted_at)
        return Landing(commit, sealed.base, sealed.tree, subject)

    def _trailers(self, sealed: Sealed, results: list[CheckResult]) -> dict[str, str]:
        trailers = {
            "Patch-Id": self.claim.id,
            "Patch-Digest": self.claim.digest,
            "Submitted-By": self.claim.submitted_by,
        }
        # Trailers let history answer later which tree was checked and who approved
        # it, without this ledger.
        if results:
            trailers["Checked-Tree"] = sealed.tree
            trailers["Checks-Digest"] = checks_digest(results)
        if self.claim.approved_by:
            trailers["Approved-By"] = self.claim.approved_by
        return trailers

    def _record_not_moved(self, error: Exception, sealed: Sealed) -> None:
        """Record why the branch was not moved. Raises the error again unless
        another round can cure it.
        """
        if isinstance(error, landing.BaseMoved):
            self.record(events.BaseMoved(sealed.base, self.git.tip(self.claim.branch)))
            return
        self.record(events.NotMoved(sealed.base, short_reason(error)))
        raise error

    def _follow_up(self, landed: Landed) -> Landed:
        return follow_up(landed, self.git, self.repository, self.claim)


def _too_many_attempts() -> WorldFailed:
    return WorldFailed(
        "poison",
        f"{MAX_ATTEMPTS} attempts were made and in each the runner ended before the patch did",
        "Find the cause in the runner's log and in the kernel's, then `gcr retry` the patch.",
    )


def _planned(base: str, plan: Plan, profile: str) -> events.Planned:
    files = [action.path for action in plan.actions[:MAX_LISTED]]
    places = [HunkPlace(hunk.path, hunk.line, hunk.rung) for hunk in plan.hunks[:MAX_LISTED]]
    return events.Planned(base, plan.digest(), tuple(files), tuple(places), profile)


def _message_body(text: str) -> str:
    """The sender's description without the control characters that git rejects
    in a commit message.
    """
    lines = text.replace("\r\n", "\n")
    return "".join(char for char in lines if char in "\n\t" or char.isprintable())
