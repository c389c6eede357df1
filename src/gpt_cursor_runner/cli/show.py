"""`gcr show`, `diff`, `log`, `report`: one patch, read from the ledger and its
evidence; no gateway need run.
"""

from __future__ import annotations

import json
import shlex
import sys
import time

import click

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command, plain, table
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch, UnknownPatch
from gpt_cursor_runner.patch.status import FINAL
from gpt_cursor_runner.system.clock import format_local

# A patch ends first and is reported after: whoever was told of the end may ask
# before the report is on the disk.
_REPORT_PATIENCE_SECONDS = 10.0


@command("show")
@click.argument("patch_id", metavar="ID")
def show(session: Session, patch_id: str) -> None:
    """Show what became of a patch, step by step."""
    with session.ledger() as ledger:
        stored = _find(ledger, patch_id)
        history = ledger.queries.events(patch_id)
    outcome = stored.outcome or {}
    facts = [("patch", stored.id), ("title", stored.title), ("status", stored.status)]
    facts += [("target", f"{stored.repository} {stored.branch}"), ("from", stored.submitted_by)]
    facts += [
        (name, outcome[name])
        for name in ("commit", "tag", "checkout", "message", "next_step")
        if outcome.get(name)
    ]
    facts += [
        (error.get("path") or "error", error["message"]) for error in outcome.get("errors", [])
    ]
    start = stored.accepted_at
    steps = [(f"+{event.at - start:.2f} s", event.kind, event.actor) for event in history]
    lines = [
        *(f"{name:9} {plain(str(value))}" for name, value in facts),
        "",
        *table(("AT", "EVENT", "BY"), steps),
    ]
    lines += [
        "",
        f"accepted  {format_local(start)}",
    ]
    session.say(
        {"patch": stored.to_json(), "events": [event.to_json() for event in history]}, lines
    )


@command("diff")
@click.argument("patch_id", metavar="ID")
def diff(session: Session, patch_id: str) -> None:
    """Print the sealed diff of a patch."""
    evidence = _evidence(session, patch_id)
    text = evidence.diff()
    if text is None:
        message = f"{patch_id} was not sealed, so it has no diff"
        raise CommandFailed(Exit.FAILED, message, f"gcr show {shlex.quote(patch_id)}")
    if session.as_json or sys.stdout.isatty():
        shown = text.decode(errors="replace")
        session.say({"patch_id": patch_id, "diff": shown}, plain(shown).rstrip("\n"))
    else:
        click.echo(text, nl=False)  # byte for byte, so that `git apply` can read it


@command("log")
@click.argument("patch_id", metavar="ID")
def log(session: Session, patch_id: str) -> None:
    """Print what the checks of a patch printed."""
    logs = _evidence(session, patch_id).check_logs()
    lines = [
        line for name, text in logs.items() for line in (f"== {name}", plain(text).rstrip("\n"), "")
    ]
    session.say({"patch_id": patch_id, "checks": logs}, lines or "No check of this patch has run.")


@command("report")
@click.argument("patch_id", metavar="ID")
def report(session: Session, patch_id: str) -> None:
    """Print the completion report of a patch."""
    evidence = _evidence(session, patch_id)
    give_up_at = time.monotonic() + _REPORT_PATIENCE_SECONDS
    while (markdown := evidence.report()) is None or (facts := evidence.report_json()) is None:
        with session.ledger() as ledger:
            ended = _find(ledger, patch_id).status in FINAL
        if not ended or time.monotonic() > give_up_at:
            why = (
                "has ended, but its report is not written yet"
                if ended
                else "has not ended, so it has no report"
            )
            raise CommandFailed(
                Exit.FAILED, f"{patch_id} {why}", f"gcr show {shlex.quote(patch_id)}"
            )
        time.sleep(0.05)
    session.say(
        {"patch_id": patch_id, "report": json.loads(facts)},
        plain(markdown.decode(errors="replace")).rstrip("\n"),
    )


def _find(ledger: Ledger, patch_id: str) -> StoredPatch:
    try:
        return ledger.queries.get(patch_id)
    except UnknownPatch:
        raise CommandFailed(Exit.FAILED, f"there is no patch {patch_id}", "gcr patches") from None


def _evidence(session: Session, patch_id: str) -> Evidence:
    with session.ledger() as ledger:
        _find(ledger, patch_id)
    return Evidence(session.config().state.patches_dir / patch_id)
