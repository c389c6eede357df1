"""The completion report: rendered from what the ledger recorded and from nothing else.

What no event tells is printed as "not observed". The sender's own words are quoted as claims.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import jinja2

from gpt_cursor_runner import __version__
from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.stored import Stored

SCHEMA = "report/1"
NOT_OBSERVED = "not observed"

_CONCLUSIONS = {
    "landed": "The patch landed. The tree on the branch is the tree that was checked.",
    "landed_unchecked": "The patch landed. No check ran on it, since the owner configured none.",
    "rejected": "The patch was refused. Nothing in the repository changed.",
    "failed": "The patch could not be carried out, and not through the sender's fault. Nothing on the branch changed.",
    "held": "The patch waits for a person. It is sealed; nothing on the branch changed.",
    "cancelled": "The patch was cancelled. Nothing on the branch changed.",
    "previewed": "This was a preview. Nothing on the branch changed.",
}


def write_report(evidence: Evidence, stored: Stored, history: Sequence[Event], request: bytes) -> dict[str, Any]:
    """Write the report into the evidence, as Markdown and JSON, with the request; the digests of the two."""
    facts = gather(stored, history)
    markdown = render(facts).encode()
    as_json = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
    evidence.keep_report(markdown, as_json, request)
    return {
        "status": stored.status,
        "markdown_sha256": hashlib.sha256(markdown).hexdigest(),
        "json_sha256": hashlib.sha256(as_json).hexdigest(),
    }


def gather(stored: Stored, history: Sequence[Event]) -> dict[str, Any]:
    """The facts of a report. A member is None where nothing was recorded of it."""
    last = {event.kind: event for event in history}
    accepted, claimed, planned, sealed = (_data(last, kind) for kind in ("accepted", "claimed", "planned", "sealed"))
    outcome = stored.outcome or {}
    carried = _data(last, "carried")
    landed = stored.status == "landed"
    checks = [event.data for event in history if event.kind == "checked" and _of_this_attempt(event, last)]
    conclusion = "landed_unchecked" if landed and not checks else str(stored.status)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "patch_id": stored.id,
        "title": stored.title,
        "status": stored.status,
        "objective": {"title": stored.title, "repository": stored.repository, "branch": stored.branch},
        "claims": {key: stored.body.get(key) for key in ("description", "role", "claimed_commands")},
        "execution": {
            "accepted_at": _clock(stored.accepted_at),
            "submitted_by": stored.submitted_by,
            "approved_by": stored.approved_by,
            "claimed_at": _clock(last["claimed"].at) if "claimed" in last else None,
            "ended_at": _clock(stored.updated_at),
            "waited_seconds": _seconds(stored.accepted_at, last["claimed"].at) if "claimed" in last else None,
            "worked_seconds": _seconds(last["claimed"].at, stored.updated_at) if "claimed" in last else None,
            "attempt": claimed.get("attempt"),
            "code": outcome.get("code"),
            "message": outcome.get("message"),
            "errors": outcome.get("errors", []),
            "warnings": accepted.get("warnings", []),
        },
        "implementation": {
            "base": carried.get("base") or sealed.get("base"),
            "plan_digest": planned.get("plan_digest"),
            "hunks": planned.get("hunks"),
            "sealed_commit": carried.get("commit") or sealed.get("commit"),
            "sealed_tree": carried.get("tree") or sealed.get("tree"),
            "files": outcome.get("files"),
        },
        "validation": {
            "checks": [{key: one[key] for key in _CHECK_FACTS} for one in checks],
            "not_checked": _data(last, "not_checked").get("reason"),
            "sandbox_missing": next((one["sandbox_missing"] for one in checks if one["sandbox_missing"]), None),
        },
        "system": {
            "health_when_accepted": accepted.get("health"),
            "runner": last["claimed"].actor if "claimed" in last else None,
        },
        "git": {key: outcome.get(key) if landed else None for key in _GIT_FACTS},
        "impact": {key: outcome.get(key) for key in ("insertions", "deletions")}
        | {"files_changed": len(outcome["files"]) if "files" in outcome else None},
        "next_steps": _next_steps(stored, outcome),
        "conclusion": _CONCLUSIONS[conclusion],
    }


_CHECK_FACTS = ("name", "command", "verdict", "exit_code", "seconds", "tier", "output_bytes", "output_sha256", "tail")
_GIT_FACTS = ("commit", "parent", "tree", "subject", "tag", "tag_taken", "tag_failed", "checkout", "push")


def render(facts: dict[str, Any]) -> str:
    """The report as Markdown."""
    return _TEMPLATES.get_template("report.md.j2").render(facts)


def _next_steps(stored: Stored, outcome: dict[str, Any]) -> list[str]:
    if stored.status == "landed":
        steps = [f"To take it back: git revert {outcome['commit']}"]
        return steps if outcome.get("push") else [*steps, f"To publish it: git push <remote> {stored.branch}"]
    if stored.status == "held":
        return [outcome.get("next_step", ""), f"gcr approve {stored.id}", f"gcr reject {stored.id}"]
    if stored.status == "failed":
        return [outcome.get("next_step", "See `gcr doctor`."), f"gcr retry {stored.id}"]
    return [error["next_step"] for error in outcome.get("errors", []) if error.get("next_step")]


def _of_this_attempt(event: Event, last: dict[str, Event]) -> bool:
    return "claimed" not in last or event.seq > last["claimed"].seq


def _data(last: dict[str, Event], kind: str) -> dict[str, Any]:
    """The data of the last event of a kind, as far as it belongs to the last attempt."""
    event = last.get(kind)
    if event is None or (kind not in ("accepted", "claimed") and not _of_this_attempt(event, last)):
        return {}
    return event.data


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _seconds(start: float, end: float) -> float:
    return round(end - start, 3)


def _observed(value: object) -> object:
    return NOT_OBSERVED if value in (None, "", [], ()) else value


def _quoted(text: str) -> str:
    """Foreign words as a Markdown quotation, fenced so that nothing in them becomes markup of ours."""
    return "\n".join("> " + line.replace("<", "&lt;").replace("`", "'") for line in str(text).splitlines())


def _fenced(text: str) -> str:
    """Text as an indented block, which no fence inside it can end."""
    shown = "".join(c for c in text if c in "\n\t" or c.isprintable())
    return "\n".join("    " + line for line in shown.splitlines())


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("gpt_cursor_runner.runner", "templates"),
    autoescape=False,  # noqa: S701  this renders Markdown for a file and a terminal; foreign words pass `quoted`
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)
_TEMPLATES.filters |= {"observed": _observed, "quoted": _quoted, "fenced": _fenced}
