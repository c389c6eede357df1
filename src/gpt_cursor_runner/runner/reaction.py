"""One reaction for each way in which an attempt can fail: whose fault it was
decides the outcome.
"""

from __future__ import annotations

from collections import Counter

import structlog

from gpt_cursor_runner.landing.git import GitFailed
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.faults import (
    CancelAsked,
    Fault,
    HumanNeeded,
    PatchRefused,
    WorldFailed,
)
from gpt_cursor_runner.patch.outcome import (
    Cancelled,
    Failed,
    Held,
    Interrupted,
    Outcome,
    Rejected,
    Requeued,
    read_outcome,
)
from gpt_cursor_runner.patch.repeating import advised, kinds
from gpt_cursor_runner.patch.status import Status

log = structlog.get_logger()

# An attempt that fails through no fault of the sender is repeated this often.
MAX_RETRIES = 3
# How far back the rejections of the same sender count as repeated.
_RECENT_SECONDS = 3600.0
_MAX_MESSAGE_CHARS = 500


class StopAsked(Exception):
    """The runner was asked to stop; the patch goes back to the queue."""


def outcome_of(error: Exception, claim: StoredPatch, ledger: Ledger) -> Outcome:
    """The outcome of an attempt that ended with this exception."""
    match error:
        case PatchRefused():
            return Rejected.of(_with_advice(error, claim, ledger))
        case HumanNeeded():
            return Held.of(error)
        case CancelAsked():
            return Cancelled.while_running(str(error))
        case StopAsked():
            return Interrupted()
        case WorldFailed():
            log.warning("attempt_failed", code=error.code, reason=error.message)
            if not error.retry:
                return Failed(error.code, error.message, error.next_step)
            return _retry_or_fail(error.fault, claim)
        case _:
            log.exception("attempt_failed", exc_info=error)
            return _retry_or_fail(_unexpected(error), claim)


def _retry_or_fail(fault: Fault, claim: StoredPatch) -> Requeued | Failed:
    if claim.attempts < MAX_RETRIES:
        return Requeued(fault.code, fault.message, fault.next_step)
    return Failed(fault.code, fault.message, fault.next_step)


def _unexpected(error: Exception) -> Fault:
    code = "git_failed" if isinstance(error, GitFailed) else "internal"
    message = str(error)[:_MAX_MESSAGE_CHARS]
    return Fault(code, message, "See the runner's log and `gcr doctor`.")


def _with_advice(refused: PatchRefused, claim: StoredPatch, ledger: Ledger) -> PatchRefused:
    """Add advice to faults that recent patches of this sender had as well."""
    times = Counter(kinds(refused.faults))
    since = ledger.clock() - _RECENT_SECONDS
    for stored in ledger.queries.rejections(claim.submitted_by, claim.repository, since):
        outcome = read_outcome(Status.REJECTED, stored)
        if isinstance(outcome, Rejected):
            times.update(set(kinds(outcome.faults)) & times.keys())
    return advised(refused, times)
