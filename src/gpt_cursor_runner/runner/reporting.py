"""The completion report, gathered from the recorded events and the outcome and
from nothing else.

A member is None when no event records it, and printed as "not observed". The
sender's own words are quoted as claims.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from gpt_cursor_runner import __version__
from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import Reported
from gpt_cursor_runner.patch.landed import DiffSummary, Landed, Previewed
from gpt_cursor_runner.patch.outcome import Outcome, Rejected, message_of, read_outcome
from gpt_cursor_runner.runner.attempt_record import AttemptRecord
from gpt_cursor_runner.runner.conclusion import conclude, next_steps
from gpt_cursor_runner.runner.rendering import render
from gpt_cursor_runner.system.clock import format_rfc3339

SCHEMA = "report/1"

_CLAIMS = ("description", "role", "claimed_commands")
_IMPLEMENTATION_MEMBERS = (
    "base",
    "plan_digest",
    "hunks",
    "sealed_commit",
    "sealed_tree",
    "files",
)
_GIT_MEMBERS = (
    "commit",
    "parent",
    "tree",
    "subject",
    "tag",
    "tag_taken",
    "tag_failed",
    "checkout",
    "push",
)
_ABOUT_THE_ROUND = ("tree", "sandbox_missing")


def write_report(
    evidence: Evidence, stored: StoredPatch, history: Sequence[Event], request: bytes | None
) -> Reported:
    """Write the report into the evidence, as Markdown and JSON, beside the
    request; return the digests of the two.
    """
    facts = gather(stored, history)
    # A path from git that is not UTF-8 is kept as an escape, which JSON reads
    # back.
    markdown = render(facts).encode(errors="backslashreplace")
    body = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode(
        errors="backslashreplace"
    )
    evidence.keep_report(markdown, body, request)
    return Reported(
        stored.status, hashlib.sha256(markdown).hexdigest(), hashlib.sha256(body).hexdigest()
    )


def gather(stored: StoredPatch, history: Sequence[Event]) -> dict[str, Any]:
    """The report as JSON, one member for each of its sections."""
    outcome = read_outcome(stored.status, stored.outcome or {})
    record = AttemptRecord.of(outcome, history)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "patch_id": stored.id,
        "title": stored.title,
        "status": stored.status,
        "objective": {
            "title": stored.title,
            "repository": stored.repository,
            "branch": stored.branch,
        },
        "claims": {name: stored.body.get(name) for name in _CLAIMS},
        "execution": _execution(stored, record, outcome),
        "implementation": _implementation(record, outcome),
        "validation": _validation(record),
        "system": {"health_when_accepted": record.accepted.health, "runner": record.claimed_by},
        "git": _git(outcome),
        "impact": _impact(outcome),
        "next_steps": next_steps(stored, outcome),
        "conclusion": conclude(stored.status, outcome, record),
    }


def _execution(stored: StoredPatch, record: AttemptRecord, outcome: Outcome) -> dict[str, Any]:
    return {
        "accepted_at": _utc(stored.accepted_at),
        "submitted_by": stored.submitted_by,
        "approved_by": stored.approved_by,
        "claimed_at": _utc(record.claimed_at),
        "ended_at": _utc(stored.updated_at),
        "waited_seconds": _seconds(stored.accepted_at, record.first_claimed_at),
        "worked_seconds": _seconds(record.claimed_at, record.ended_at),
        "attempts": record.attempts,
        "code": outcome.code or None,
        "message": message_of(outcome),
        "errors": _errors(outcome),
        "warnings": list(record.accepted.warnings),
    }


def _errors(outcome: Outcome) -> list[dict[str, Any]]:
    if not isinstance(outcome, Rejected):
        return []
    return [fault.to_json() for fault in outcome.faults]


def _implementation(record: AttemptRecord, outcome: Outcome) -> dict[str, Any]:
    body: dict[str, Any] = dict.fromkeys(_IMPLEMENTATION_MEMBERS)
    sealed = record.sealed
    if sealed is not None:
        body |= {
            "base": sealed.base,
            "sealed_commit": sealed.commit,
            "sealed_tree": sealed.tree,
        }
    planned = record.planned
    if planned is not None:
        planned_body = planned.to_json()
        for name in ("plan_digest", "hunks", "files"):
            body[name] = planned_body[name]
    change = _change(outcome)
    if change is not None:
        body["files"] = change.files
    return body


def _validation(record: AttemptRecord) -> dict[str, Any]:
    checks = []
    sandbox_missing = None
    for check in record.checks:
        sandbox_missing = sandbox_missing or check.sandbox_missing
        body = check.to_json()
        for name in _ABOUT_THE_ROUND:
            del body[name]
        checks.append(body)
    not_checked = record.not_checked
    compared = record.compared
    profile = None
    if record.planned is not None:
        profile = record.planned.profile_digest or None
    return {
        "profile_digest": profile,
        "setup": [setup.to_json() for setup in record.setup],
        "checks": checks,
        "without_patch": None if compared is None else compared.to_json(),
        "not_checked": None if not_checked is None else not_checked.reason,
        "sandbox_missing": sandbox_missing,
    }


def _git(outcome: Outcome) -> dict[str, Any]:
    body = outcome.to_json() if isinstance(outcome, Landed) else {}
    return {name: body.get(name) for name in _GIT_MEMBERS}


def _impact(outcome: Outcome) -> dict[str, Any]:
    change = _change(outcome)
    if change is None:
        return {"files_changed": None, "insertions": None, "deletions": None}
    return {
        "files_changed": change.files_changed,
        "insertions": change.insertions,
        "deletions": change.deletions,
    }


def _change(outcome: Outcome) -> DiffSummary | None:
    if isinstance(outcome, Landed | Previewed):
        return outcome.change
    return None


def _utc(at: float | None) -> str | None:
    if at is None:
        return None
    return format_rfc3339(at)


def _seconds(start: float | None, end: float | None) -> float | None:
    if start is None or end is None:
        return None
    return round(end - start, 3)
