"""`gcr show`, `diff`, `log`, `report`: read one patch from the ledger and its
evidence. They work without a running gateway.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence

import click

from gpt_cursor_runner.cli.output import (
    CommandFailed,
    Exit,
    Session,
    command,
    plain,
    table,
)
from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch, UnknownPatch
from gpt_cursor_runner.patch.faults import CheckoutInUse, Fault
from gpt_cursor_runner.patch.landed import Landed, Previewed
from gpt_cursor_runner.patch.outcome import (
    Blocked,
    Cancelled,
    Failed,
    Held,
    Interrupted,
    Outcome,
    Rejected,
    RejectedByOwner,
    Requeued,
    read_outcome,
)
from gpt_cursor_runner.patch.status import FINAL
from gpt_cursor_runner.system.clock import format_local

# A patch ends before its report is written, and `gcr send --wait` names `gcr
# report` as the next command: the report may be some moments away.
_REPORT_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.05


@command("show")
@click.argument("patch_id", metavar="ID")
def show(session: Session, patch_id: str) -> None:
    """Show the state and the events of a patch."""
    with session.ledger() as ledger:
        stored = _find(ledger, patch_id)
        events = ledger.queries.events(patch_id)
    lines = [f"{name:9} {plain(str(value))}" for name, value in _facts(stored)]
    lines += ["", *_event_table(stored, events)]
    accepted_at = format_local(stored.accepted_at)
    lines += ["", f"accepted  {accepted_at}"]
    facts = {"patch": stored.to_json(), "events": [event.to_json() for event in events]}
    session.print(facts, lines)


def _facts(stored: StoredPatch) -> Iterator[tuple[str, object]]:
    yield "patch", stored.id
    yield "title", stored.title
    yield "status", stored.status
    yield "target", f"{stored.repository} {stored.branch}"
    yield "from", stored.submitted_by
    if stored.outcome is not None:
        for name, value in _outcome_facts(read_outcome(stored.status, stored.outcome)):
            if value:
                yield name, value


def _outcome_facts(outcome: Outcome) -> list[tuple[str, str | None]]:
    match outcome:
        case Landed():
            return [
                ("commit", outcome.landing.commit),
                ("tag", outcome.tag),
                ("checkout", outcome.checkout),
            ]
        case Held(cause=CheckoutInUse(checkout=checkout)):
            return [("checkout", checkout), *_reason(outcome)]
        case Held() | Failed() | Requeued() | Blocked():
            return _reason(outcome)
        case Rejected():
            return list(map(_fault_fact, outcome.faults))
        case RejectedByOwner() | Cancelled():
            return [("message", outcome.message)]
        case Previewed() | Interrupted():
            return []


def _fault_fact(fault: Fault) -> tuple[str, str]:
    return fault.path or "error", fault.message


def _reason(outcome: Held | Failed | Requeued | Blocked) -> list[tuple[str, str | None]]:
    return [("message", outcome.message), ("next_step", outcome.next_step)]


def _event_table(stored: StoredPatch, events: Sequence[Event]) -> list[str]:
    rows = []
    for event in events:
        rows.append((f"+{event.at - stored.accepted_at:.2f} s", event.kind, event.actor))
    return table(("AT", "EVENT", "BY"), rows)


@command("diff")
@click.argument("patch_id", metavar="ID")
def diff(session: Session, patch_id: str) -> None:
    """Print the sealed diff of a patch."""
    data = _evidence(session, patch_id).diff()
    if data is None:
        message = f"{patch_id} was not sealed, so it has no diff"
        raise CommandFailed(Exit.FAILED, message, f"gcr show {shlex.quote(patch_id)}")
    if session.as_json or sys.stdout.isatty():
        text = data.decode(errors="replace")
        session.print({"patch_id": patch_id, "diff": text}, plain(text).rstrip("\n"))
    else:
        # Byte for byte, so that `git apply` can read it.
        click.echo(data, nl=False)


@command("log")
@click.argument("patch_id", metavar="ID")
def log(session: Session, patch_id: str) -> None:
    """Print the output of the checks of a patch."""
    logs = _evidence(session, patch_id).check_logs()
    lines = []
    for name, text in logs.items():
        lines += [f"== {name}", plain(text).rstrip("\n"), ""]
    session.print(
        {"patch_id": patch_id, "checks": logs}, lines or "No check of this patch has run."
    )


@command("report")
@click.argument("patch_id", metavar="ID")
def report(session: Session, patch_id: str) -> None:
    """Print the completion report of a patch."""
    markdown, as_json = _wait_for_report(session, patch_id)
    text = plain(markdown.decode(errors="replace")).rstrip("\n")
    session.print({"patch_id": patch_id, "report": json.loads(as_json)}, text)


def _wait_for_report(session: Session, patch_id: str) -> tuple[bytes, bytes]:
    """The report in Markdown and JSON. Raises CommandFailed when the patch has
    not ended, or its report is not written in time.
    """
    evidence = _evidence(session, patch_id)
    deadline = time.monotonic() + _REPORT_TIMEOUT_SECONDS
    while True:
        markdown, as_json = evidence.report(), evidence.report_json()
        if markdown is not None and as_json is not None:
            return markdown, as_json
        if not _has_ended(session, patch_id):
            raise _no_report(patch_id, "has not ended, so it has no report")
        if time.monotonic() > deadline:
            raise _no_report(patch_id, "has ended, but its report is not written yet")
        time.sleep(_POLL_SECONDS)


def _has_ended(session: Session, patch_id: str) -> bool:
    with session.ledger() as ledger:
        return _find(ledger, patch_id).status in FINAL


def _no_report(patch_id: str, reason: str) -> CommandFailed:
    return CommandFailed(Exit.FAILED, f"{patch_id} {reason}", f"gcr show {shlex.quote(patch_id)}")


def _find(ledger: Ledger, patch_id: str) -> StoredPatch:
    try:
        return ledger.queries.get(patch_id)
    except UnknownPatch:
        raise CommandFailed(Exit.FAILED, f"there is no patch {patch_id}", "gcr patches") from None


def _evidence(session: Session, patch_id: str) -> Evidence:
    with session.ledger() as ledger:
        _find(ledger, patch_id)
    return Evidence(session.running_config().state.patches_dir / patch_id)
