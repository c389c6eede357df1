"""The last words of a report: one conclusion, and what to do next."""

from __future__ import annotations

from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.landed import Landed
from gpt_cursor_runner.patch.outcome import Failed, Held, Outcome, Rejected
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.runner.attempt_record import AttemptRecord

_LANDED_CHECKED = "The patch landed. The tree on the branch is the tree that was checked."
_LANDED_UNCHECKED = "The patch landed. No check ran on it, since the owner configured none."
_LANDED_UNOBSERVED = "The patch landed. Whether checks ran on it was not observed."
_FAILED_LANDING = (
    "The patch was about to land when git failed. Whether the branch moved was not observed."
)
_CONCLUSIONS = {
    Status.REJECTED: "The patch was refused. Nothing in the repository changed.",
    Status.FAILED: (
        "The patch failed through no fault of the sender. Nothing on the branch changed."
    ),
    Status.HELD: "The patch waits for a person. It is sealed; nothing on the branch changed.",
    Status.CANCELLED: "The patch was cancelled. Nothing on the branch changed.",
    Status.PREVIEWED: "This was a preview. Nothing on the branch changed.",
}


def conclude(status: Status, outcome: Outcome, record: AttemptRecord) -> str:
    """The conclusion that the recorded events prove, and no stronger one."""
    if isinstance(outcome, Landed):
        return _conclude_landing(outcome, record)
    if status is Status.FAILED and record.was_about_to_land:
        return _FAILED_LANDING
    return _CONCLUSIONS[status]


def _conclude_landing(outcome: Landed, record: AttemptRecord) -> str:
    if record.not_checked is not None:
        return _LANDED_UNCHECKED
    # The branch may have moved after the checks: then they ran on another tree,
    # and prove nothing about this one.
    verdicts = {check.verdict for check in record.checks}
    trees = {check.tree for check in record.checks}
    if verdicts == {"passed"} and trees == {outcome.landing.tree}:
        return _LANDED_CHECKED
    return _LANDED_UNOBSERVED


def next_steps(stored: StoredPatch, outcome: Outcome) -> list[str]:
    """The next steps of the owner or the sender."""
    match outcome:
        case Landed():
            return _after_landing(stored.branch, outcome)
        case Held():
            return _while_held(stored.id, outcome)
        case Failed():
            step = outcome.next_step or "See `gcr doctor`."
            return [step, f"To try again: gcr retry {stored.id}"]
        case Rejected():
            return _after_rejection(outcome)
    return [_ADVICE[stored.status]]


_ADVICE = {
    Status.PREVIEWED: "To land it: send it under a new id, with mode apply.",
    Status.CANCELLED: "If it is still wanted: send it again under a new id.",
    Status.REJECTED: "None: the owner refused the patch.",
}


def _after_landing(branch: str, outcome: Landed) -> list[str]:
    steps = [f"To take it back: git revert {outcome.landing.commit}"]
    if outcome.push is None or not outcome.push.pushed:
        steps.append(f"To publish it: git push REMOTE {branch}")
    return steps


def _while_held(patch_id: str, outcome: Held) -> list[str]:
    steps = [f"To let it go on: gcr approve {patch_id}", f"To refuse it: gcr reject {patch_id}"]
    if outcome.next_step:
        steps.insert(0, outcome.next_step)
    return steps


def _after_rejection(outcome: Rejected) -> list[str]:
    """The advice of each fault in order, the same advice once."""
    steps = dict.fromkeys(fault.next_step for fault in outcome.faults if fault.next_step)
    return list(steps) or [_ADVICE[Status.REJECTED]]
