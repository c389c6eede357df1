"""`gcr health` and `gcr status`: the health answer of the gateway, for programs
and for people.
"""

from __future__ import annotations

import json
import time
from typing import Any

import click

from gpt_cursor_runner.cli.client import Client, anonymous, connect
from gpt_cursor_runner.cli.health_history import history_lines
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command, table
from gpt_cursor_runner.system.clock import format_local, parse_rfc3339

_EXITS = {"healthy": Exit.FINE, "degraded": Exit.DEGRADED}
_SEVERITY = {"fail": 0, "unknown": 1, "warn": 2, "ok": 3, "pass": 3}
_HEADERS = ("COMPONENT", "STATE", "SINCE", "DETAIL")
_POLL_SECONDS = 0.2
# The gateway reads new keys once a second, so that the key made for this
# command may be unknown at its first request.
_KEY_SECONDS = 2.5


@command("health")
@click.option("--quiet", is_flag=True, help="No output, exit code only.")
@click.option(
    "--wait", type=float, default=0, metavar="SECONDS", help="Wait so long until healthy."
)
@click.option(
    "--url",
    help="Another gateway than the one of runner.toml; GCR_KEY then also shows the details.",
)
@click.option("--history", is_flag=True, help="Show the past states and the latest changes.")
@click.option(
    "--by",
    type=click.Choice(["minute", "hour"]),
    default="minute",
    help="The time that one character of a strip stands for.",
)
def health(
    session: Session, quiet: bool, wait: float, url: str | None, history: bool, by: str
) -> None:
    """Print the health answer. Exit code 0 healthy, 3 degraded, 1 unknown or
    error, 5 unreachable.
    """
    if history:
        with connect(session, url, "read") as client:
            body = _fetch_history(client, by)
        session.print(body, history_lines(body))
        return
    # Without a key of the user's this is the anonymous answer: making a key
    # writes to the ledger, and a probe may run this command every second.
    try:
        body = _fetch_until_healthy(anonymous(session, url), time.monotonic() + wait)
    except CommandFailed as failure:
        if quiet:
            raise SystemExit(int(failure.code)) from failure
        raise
    if not quiet:
        session.print(body, json.dumps(body, indent=2))
    raise SystemExit(_exit_code(body))


@command("status")
@click.option("--url", help="Another gateway than the one of runner.toml.")
def status(session: Session, url: str | None) -> None:
    """Show the state of every component, the worst first."""
    with connect(session, url, "read") as client:
        body = _fetch_checks(client)
    overall = body["overall_status"]
    next_command = "gcr patches" if overall == "healthy" else "gcr doctor"
    lines = [*table(_HEADERS, _rows(body)), "", f"{overall}   next: {next_command}"]
    session.print(body, lines)
    raise SystemExit(_exit_code(body))


def _exit_code(body: dict[str, Any]) -> int:
    return int(_EXITS.get(body["overall_status"], Exit.FAILED))


def _fetch_checks(client: Client) -> dict[str, Any]:
    """The detailed answer, or the anonymous one when the key is not accepted in
    time.
    """
    deadline = time.monotonic() + _KEY_SECONDS
    while True:
        body = _fetch(client)
        if "checks" in body or time.monotonic() > deadline:
            return body
        time.sleep(_POLL_SECONDS)


def _fetch_history(client: Client, by: str) -> dict[str, Any]:
    deadline = time.monotonic() + _KEY_SECONDS
    while True:
        reply = client.call("GET", f"/health/history?by={by}&limit=10", seconds=10)
        if reply.status != 401 or time.monotonic() > deadline:
            return client.expect(reply)
        time.sleep(_POLL_SECONDS)


def _fetch_until_healthy(client: Client, deadline: float) -> dict[str, Any]:
    while time.monotonic() < deadline:
        body = _fetch_if_reachable(client)
        if body is not None and body["overall_status"] == "healthy":
            return body
        time.sleep(_POLL_SECONDS)
    # The last try returns whatever the state is, and raises every failure.
    return _fetch(client)


def _fetch_if_reachable(client: Client) -> dict[str, Any] | None:
    try:
        return _fetch(client)
    except CommandFailed as failure:
        if failure.code not in (Exit.UNREACHABLE, Exit.TIMED_OUT):
            raise
        return None


def _fetch(client: Client) -> dict[str, Any]:
    body = client.call("GET", "/health", seconds=5).body
    if "overall_status" not in body:
        detail = body.get("detail", "another program listens there")
        message = f"{client.url} returns no health answer: {detail}"
        raise CommandFailed(Exit.UNREACHABLE, message, "gcr doctor")
    return body


def _rows(body: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each check, the worst first, or for each component when the key
    may not read checks.
    """
    checks = body.get("checks")
    if not checks:
        return [(name, str(state), "", "") for name, state in body["components"].items()]
    rows = []
    for name, check in sorted(checks.items(), key=_severity):
        rows.append((name, check["status"], _local(check.get("since")), _detail(check)))
    return rows


def _severity(item: tuple[str, dict[str, Any]]) -> int:
    _, check = item
    return _SEVERITY.get(check["status"], 0)


def _detail(check: dict[str, Any]) -> str:
    """The message of a check and its remedy; for an outdated reading only its
    age.
    """
    code, message = str(check["code"]), str(check["message"])
    if code in ("late", "stale"):
        age_seconds = (check["age_ms"] or 0) / 1000
        return f"{code}: its last reading is {age_seconds:.0f} s old"
    if check["status"] == "ok":
        return message or code
    return " ".join(_sentences(f"{code}: {message}", check["remedy"]))


def _sentences(*texts: str | None) -> list[str]:
    return [text.rstrip(".") + "." for text in texts if text]


def _local(moment: str | None) -> str:
    """A time of the answer in the time zone of this machine."""
    if not moment:
        return ""
    return format_local(parse_rfc3339(moment))
