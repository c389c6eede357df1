"""`gcr health` and `gcr status`: what the gateway says of the whole path, for
programs and for people.
"""

from __future__ import annotations

import json
import time
from typing import Any

import click

from gpt_cursor_runner.cli.client import Client, anonymous, connect
from gpt_cursor_runner.cli.health_history import past
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command, table
from gpt_cursor_runner.system.clock import format_local, parse_rfc3339

_EXITS = {"healthy": Exit.FINE, "degraded": Exit.DEGRADED}
_WORST_FIRST = {"fail": 0, "unknown": 1, "warn": 2, "ok": 3, "pass": 3}
_GLANCE_SECONDS = 0.2
# The gateway looks for new keys once a second; ours may be too new for its
# first answer.
_KEY_SECONDS = 2.5


@command("health")
@click.option("--quiet", is_flag=True, help="No output, exit code only.")
@click.option(
    "--wait", type=float, default=0, metavar="SECONDS", help="Wait so long until healthy."
)
@click.option(
    "--url", help="Another gateway than the one of runner.toml; GCR_KEY then shows the details too."
)
@click.option("--history", is_flag=True, help="Show how each part did, and what changed last.")
@click.option(
    "--by",
    type=click.Choice(["minute", "hour"]),
    default="minute",
    help="What one sign of a strip stands for.",
)
def health(
    session: Session, quiet: bool, wait: float, url: str | None, history: bool, by: str
) -> None:
    """Print the health answer. Exit code 0 healthy, 3 degraded, 1 unknown or
    error, 5 unreachable.
    """
    if history:
        with connect(session, url, "read") as client:
            body = _ask_for_history(client, by)
        session.say(body, past(body))
        return
    # Without a key of the user's this is the public answer: a probe that runs
    # often must not write to the ledger.
    try:
        body = _ask_until_healthy(anonymous(session, url), time.monotonic() + wait)
    except CommandFailed as failed:
        if quiet:
            raise SystemExit(int(failed.code)) from failed
        raise
    if not quiet:
        session.say(body, json.dumps(body, indent=2))
    raise SystemExit(int(_EXITS.get(body["overall_status"], Exit.FAILED)))


@command("status")
@click.option("--url", help="Another gateway than the one of runner.toml.")
def status(session: Session, url: str | None) -> None:
    """Show every part and how it does, the worst first."""
    with connect(session, url, "read") as client:
        body = _ask_for_checks(client)
    rows = _checks(body) or [(name, said, "", "") for name, said in body["components"].items()]
    advice = "gcr doctor" if body["overall_status"] != "healthy" else "gcr patches"
    lines = [
        *table(("COMPONENT", "STATE", "SINCE", "DETAIL"), rows),
        "",
        f"{body['overall_status']}   next: {advice}",
    ]
    session.say(body, lines)
    raise SystemExit(int(_EXITS.get(body["overall_status"], Exit.FAILED)))


def _ask_for_checks(client: Client) -> dict[str, Any]:
    """The answer with its checks; the public one when the key is not known in
    time.
    """
    give_up_at = time.monotonic() + _KEY_SECONDS
    while "checks" not in (body := _ask(client)) and time.monotonic() < give_up_at:
        time.sleep(_GLANCE_SECONDS)
    return body


def _ask_for_history(client: Client, by: str) -> dict[str, Any]:
    give_up_at = time.monotonic() + _KEY_SECONDS
    while True:
        reply = client.call("GET", f"/health/history?by={by}&limit=10", seconds=10)
        if reply.status != 401 or time.monotonic() > give_up_at:
            return client.expect(reply)
        time.sleep(_GLANCE_SECONDS)


def _checks(body: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each check, the worst first; none where the key may not read
    them.
    """
    checks: dict[str, dict[str, Any]] = body.get("checks", {})
    ordered = sorted(checks.items(), key=lambda item: _WORST_FIRST.get(item[1]["status"], 0))
    return [(name, one["status"], _local(one.get("since")), _detail(one)) for name, one in ordered]


def _detail(one: dict[str, Any]) -> str:
    """Why, and what to do; of a reading that does not count any more only that
    it does not.
    """
    if one["code"] in ("late", "stale"):
        return f"{one['code']}: no word from it for {(one['age_ms'] or 0) / 1000:.0f} s"
    if one["status"] == "ok":
        return str(one["message"] or one["code"])
    return (
        ". ".join(
            part.rstrip(".") for part in (f"{one['code']}: {one['message']}", one["remedy"]) if part
        )
        + "."
    )


def _local(moment: str | None) -> str:
    """A time of the answer in the time zone of this machine."""
    if moment is None:
        return ""
    return format_local(parse_rfc3339(moment))


def _ask_until_healthy(client: Client, give_up_at: float) -> dict[str, Any]:
    while True:
        waiting = time.monotonic() < give_up_at
        try:
            body = _ask(client)
            if body["overall_status"] == "healthy" or not waiting:
                return body
        except CommandFailed as nobody:
            if nobody.code not in (Exit.UNREACHABLE, Exit.TIMED_OUT) or not waiting:
                raise
        time.sleep(_GLANCE_SECONDS)


def _ask(client: Client) -> dict[str, Any]:
    body = client.call("GET", "/health", seconds=5).body
    if "overall_status" not in body:
        message = (
            f"{client.url} gives no health answer:"
            f" {body.get('detail', 'something else listens there')}"
        )
        raise CommandFailed(Exit.UNREACHABLE, message, "gcr doctor")
    return body
