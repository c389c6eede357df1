"""`gcr show`, `diff`, `log`, `report`: one patch, read from the ledger and its evidence; no gateway need run."""

from __future__ import annotations

import json
from datetime import datetime

import click

from gpt_cursor_runner.cli.answering import CommandFailed, Exit, Session, command, table
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.stored import Stored, UnknownPatch


@command("show")
@click.argument("patch_id", metavar="ID")
def show(session: Session, patch_id: str) -> None:
    """Show what became of a patch, step by step."""
    ledger, stored = _find(session, patch_id)
    history = ledger.reading.events(patch_id)
    outcome = stored.outcome or {}
    facts = [("patch", stored.id), ("title", stored.title), ("status", stored.status)]
    facts += [("target", f"{stored.repository} {stored.branch}"), ("from", stored.submitted_by)]
    facts += [
        (name, outcome[name]) for name in ("commit", "tag", "checkout", "message", "next_step") if outcome.get(name)
    ]
    facts += [(error.get("path") or "error", error["message"]) for error in outcome.get("errors", [])]
    start = stored.accepted_at
    steps = [(f"+{event.at - start:.2f} s", event.kind, event.actor) for event in history]
    lines = [*(f"{name:9} {value}" for name, value in facts), "", *table(("AT", "EVENT", "BY"), steps)]
    lines += ["", f"accepted  {datetime.fromtimestamp(start).astimezone().isoformat(sep=' ', timespec='seconds')}"]
    session.say({"patch": stored.to_json(), "events": [event.to_json() for event in history]}, lines)


@command("diff")
@click.argument("patch_id", metavar="ID")
def diff(session: Session, patch_id: str) -> None:
    """Print the sealed diff of a patch."""
    evidence = _evidence(session, patch_id)
    text = evidence.diff()
    if text is None:
        raise CommandFailed(Exit.FAILED, f"{patch_id} was not sealed, so it has no diff", f"gcr show {patch_id}")
    shown = text.decode(errors="replace")
    session.say({"patch_id": patch_id, "diff": shown}, shown.rstrip("\n"))


@command("log")
@click.argument("patch_id", metavar="ID")
def log(session: Session, patch_id: str) -> None:
    """Print what the checks of a patch printed."""
    logs = _evidence(session, patch_id).check_logs()
    lines = [line for name, text in logs.items() for line in (f"== {name}", text.rstrip("\n"), "")]
    session.say({"patch_id": patch_id, "checks": logs}, lines or "No check of this patch has run.")


@command("report")
@click.argument("patch_id", metavar="ID")
def report(session: Session, patch_id: str) -> None:
    """Print the completion report of a patch."""
    evidence = _evidence(session, patch_id)
    markdown, facts = evidence.report(), evidence.report_json()
    if markdown is None or facts is None:
        raise CommandFailed(Exit.FAILED, f"{patch_id} has not ended, so it has no report", f"gcr show {patch_id}")
    session.say({"patch_id": patch_id, "report": json.loads(facts)}, markdown.decode().rstrip("\n"))


def _find(session: Session, patch_id: str) -> tuple[Ledger, Stored]:
    ledger = session.ledger()
    try:
        return ledger, ledger.reading.get(patch_id)
    except UnknownPatch:
        raise CommandFailed(Exit.FAILED, f"there is no patch {patch_id}", "gcr patches") from None


def _evidence(session: Session, patch_id: str) -> Evidence:
    _find(session, patch_id)
    return Evidence(session.config().state.patches_dir / patch_id)
