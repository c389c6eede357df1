"""The completion report: gathered from what the ledger recorded and from
nothing else.

A member is None where no event tells of it, and printed as "not observed". The
sender's own words are quoted as claims.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt_cursor_runner import __version__
from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.runner.rendering import render
from gpt_cursor_runner.system.clock import format_rfc3339

SCHEMA = "report/1"

_CHECK_FACTS = (
    "name",
    "command",
    "verdict",
    "exit_code",
    "seconds",
    "tier",
    "output_bytes",
    "output_sha256",
    "tail",
)
_GIT_FACTS = (
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

_CONCLUSIONS = {
    "landed": "The patch landed. The tree on the branch is the tree that was checked.",
    "landed_unchecked": "The patch landed. No check ran on it, since the owner configured none.",
    "landed_unobserved": "The patch landed. Whether checks ran on it was not observed.",
    "rejected": "The patch was refused. Nothing in the repository changed.",
    "failed": (
        "The patch could not be carried out, and not through the sender's fault. Nothing on the"
        " branch changed."
    ),
    "failed_unobserved": (
        "The patch was about to land when git failed. Whether the branch moved was not observed."
    ),
    "held": "The patch waits for a person. It is sealed; nothing on the branch changed.",
    "cancelled": "The patch was cancelled. Nothing on the branch changed.",
    "previewed": "This was a preview. Nothing on the branch changed.",
}


def write_report(
    evidence: Evidence, stored: StoredPatch, history: Sequence[Event], request: bytes | None
) -> dict[str, Any]:
    """Write the report into the evidence, as Markdown and JSON, with the
    request; the digests of the two.
    """
    facts = gather(stored, history)
    # A path of git's that is no UTF-8 is kept as an escape, which JSON reads back.
    markdown = render(facts).encode(errors="backslashreplace")
    as_json = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode(
        errors="backslashreplace"
    )
    evidence.keep_report(markdown, as_json, request)
    return {
        "status": stored.status,
        "markdown_sha256": hashlib.sha256(markdown).hexdigest(),
        "json_sha256": hashlib.sha256(as_json).hexdigest(),
    }


def gather(stored: StoredPatch, history: Sequence[Event]) -> dict[str, Any]:
    """The facts of a report, one member for each of its sections."""
    told = _Told.of(stored, history)
    outcome = stored.outcome or {}
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
        "claims": {
            key: stored.body.get(key) for key in ("description", "role", "claimed_commands")
        },
        "execution": _execution(stored, told, outcome),
        "implementation": _implementation(told, outcome),
        "validation": {
            "checks": [{key: check[key] for key in _CHECK_FACTS} for check in told.checks],
            "not_checked": told.step("not_checked").get("reason"),
            "sandbox_missing": next(
                (one["sandbox_missing"] for one in told.checks if one["sandbox_missing"]), None
            ),
        },
        "system": {"health_when_accepted": told.accepted.get("health"), "runner": told.claimed_by},
        "git": {
            key: outcome.get(key) if stored.status is Status.LANDED else None for key in _GIT_FACTS
        },
        "impact": {key: outcome.get(key) for key in ("files_changed", "insertions", "deletions")},
        "next_steps": _next_steps(stored, outcome),
        "conclusion": _CONCLUSIONS[_conclusion(stored, told, outcome)],
    }


@dataclass(frozen=True)
class _Told:
    """What the events tell of the attempt that decided: the one that moved the
    branch, or else the last one.

    An attempt that was lost after it had moved the branch is finished by a
    later one, which checks nothing again.
    """

    history: Sequence[Event]
    attempt: Sequence[Event]

    @classmethod
    def of(cls, stored: StoredPatch, history: Sequence[Event]) -> _Told:
        starts = [number for number, event in enumerate(history) if event.kind == "claimed"]
        if not starts:
            return cls(history, ())
        decided_at = len(history) - 1
        if stored.status is Status.LANDED:
            commit = (stored.outcome or {}).get("commit")
            decided_at = max(
                (
                    at
                    for at, one in enumerate(history)
                    if one.kind == "landing" and one.data.get("commit") == commit
                ),
                default=decided_at,
            )
        start = max(number for number in starts if number <= decided_at)
        end = next((number for number in starts if number > start), len(history))
        return cls(history, history[start:end])

    @property
    def accepted(self) -> dict[str, Any]:
        return next((event.data for event in self.history if event.kind == "accepted"), {})

    @property
    def attempts(self) -> int:
        return sum(event.kind == "claimed" for event in self.history)

    @property
    def claimed_at(self) -> float | None:
        return self.attempt[0].at if self.attempt else None

    @property
    def claimed_by(self) -> str | None:
        return self.attempt[0].actor if self.attempt else None

    @property
    def first_claimed_at(self) -> float | None:
        return next((event.at for event in self.history if event.kind == "claimed"), None)

    @property
    def ended_at(self) -> float | None:
        """When the runner was done with the patch; None where it was lost."""
        ends = {*Status, "requeued"}
        return next(
            (one.at for one in self.attempt if one.kind in ends and one.actor == self.claimed_by),
            None,
        )

    @property
    def sealed(self) -> dict[str, Any]:
        """What was sealed last, which is what was checked."""
        return self.step("carried") or self.step("sealed")

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The checks of the last round; what ran before the branch moved on
        judged another tree.
        """
        seals = [event.seq for event in self.attempt if event.kind in ("sealed", "carried")]
        return [
            one.data
            for one in self.attempt
            if one.kind == "checked" and seals and one.seq > seals[-1]
        ]

    def step(self, kind: str) -> dict[str, Any]:
        return next((event.data for event in reversed(self.attempt) if event.kind == kind), {})

    def about_to_land(self) -> bool:
        """Whether the last landing that was begun has no known end."""
        steps = [
            one.kind for one in self.history if one.kind in ("landing", "base_moved", "not_moved")
        ]
        return bool(steps) and steps[-1] == "landing"


def _execution(stored: StoredPatch, told: _Told, outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "accepted_at": _clock(stored.accepted_at),
        "submitted_by": stored.submitted_by,
        "approved_by": stored.approved_by,
        "claimed_at": _clock(told.claimed_at),
        "ended_at": _clock(stored.updated_at),
        "waited_seconds": _seconds(stored.accepted_at, told.first_claimed_at),
        "worked_seconds": _seconds(told.claimed_at, told.ended_at),
        "attempts": told.attempts,
        "code": outcome.get("code"),
        "message": outcome.get("message"),
        "errors": outcome.get("errors", []),
        "warnings": told.accepted.get("warnings", []),
    }


def _implementation(told: _Told, outcome: Mapping[str, Any]) -> dict[str, Any]:
    planned = told.step("planned")
    return {
        "base": told.sealed.get("base"),
        "plan_digest": planned.get("plan_digest"),
        "hunks": planned.get("hunks"),
        "sealed_commit": told.sealed.get("commit"),
        "sealed_tree": told.sealed.get("tree"),
        "files": outcome.get("files", planned.get("files")),
    }


def _conclusion(stored: StoredPatch, told: _Told, outcome: Mapping[str, Any]) -> str:
    if stored.status is Status.FAILED and told.about_to_land():
        return "failed_unobserved"
    if stored.status is not Status.LANDED:
        return str(stored.status)
    if told.step("not_checked"):
        return "landed_unchecked"
    tree = outcome.get("tree")
    proved = bool(told.checks) and all(
        one["tree"] == tree and one["verdict"] == "passed" for one in told.checks
    )
    return "landed" if proved else "landed_unobserved"


def _next_steps(stored: StoredPatch, outcome: Mapping[str, Any]) -> list[str]:
    match stored.status:
        case Status.LANDED:
            publish = f"To publish it: git push REMOTE {stored.branch}"
            published = (outcome.get("push") or {}).get("pushed")
            return [
                f"To take it back: git revert {outcome.get('commit')}",
                *([] if published else [publish]),
            ]
        case Status.HELD:
            said = [outcome["next_step"]] if outcome.get("next_step") else []
            return [
                *said,
                f"To let it go on: gcr approve {stored.id}",
                f"To refuse it: gcr reject {stored.id}",
            ]
        case Status.FAILED:
            return [
                outcome.get("next_step") or "See `gcr doctor`.",
                f"To try again: gcr retry {stored.id}",
            ]
        case Status.PREVIEWED:
            return ["To land it: send it under a new id, with mode apply."]
        case Status.CANCELLED:
            return ["If it is still wanted: send it again under a new id."]
    steps = [error["next_step"] for error in outcome.get("errors", []) if error.get("next_step")]
    return list(dict.fromkeys(steps)) or ["None: the owner refused the patch."]


def _clock(at: float | None) -> str | None:
    if at is None:
        return None
    return format_rfc3339(at)


def _seconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 3)
