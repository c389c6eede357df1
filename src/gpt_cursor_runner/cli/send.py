"""`gcr send`: a patch from a file or standard input to the webhook, followed to its end when asked."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

import click

from gpt_cursor_runner.cli.answering import CommandFailed, Exit, Session, command, plain
from gpt_cursor_runner.cli.client import Client, connect
from gpt_cursor_runner.patch.parsing import Unreadable, read_json
from gpt_cursor_runner.patch.status import FINAL, Status

_ROUND_SECONDS = 20
_LEAST_ROUND_SECONDS = 0.25


@command("send")
@click.argument("file", type=click.File("rb"))
@click.option("--id", "patch_id", help="The id of the patch; needed when FILE is a raw diff.")
@click.option("--title", help="Its title; needed when FILE is a raw diff.")
@click.option("--repository", help="Which repository, when there are several.")
@click.option("--wait", is_flag=True, help="Follow the patch to its end.")
@click.option("--timeout", type=float, default=3600, show_default=True, help="How long --wait waits, in seconds.")
@click.option("--preview", is_flag=True, help="Plan, seal and check it, but do not land it.")
@click.option("--url", help="Another gateway than the one of runner.toml; needs GCR_KEY.")
def send(
    session: Session,
    file: Any,  # noqa: ANN401  click's binary stream
    patch_id: str | None,
    title: str | None,
    repository: str | None,
    wait: bool,
    timeout: float,
    preview: bool,
    url: str | None,
) -> None:
    """Send a patch (JSON, or a raw diff with --id and --title) from FILE, or - for standard input."""
    said = {"id": patch_id, "title": title, "repository": repository, "mode": "preview" if preview else None}
    body = _body(file.read(), {name: value for name, value in said.items() if value is not None})
    with connect(session, url, "submit", "read") as client:
        headers = {"Content-Type": "application/json"}
        accepted = client.expect(client.call("POST", "/webhook", body, headers))
        if not wait:
            session.say(accepted, _line(accepted))
            return
        if not session.as_json:
            click.echo(_line(accepted))
        ended = _follow(client, accepted["patch_id"], time.monotonic() + timeout)
    _conclude(session, ended)


def _body(data: bytes, said: dict[str, str]) -> bytes:
    """The request's body: JSON with what was said on the command line put in, or a diff wrapped into a patch."""
    # No diff begins like this, and JSON that is broken must not be taken for one.
    raw = _object(data) if data.lstrip()[:1] in (b"{", b"[") else _wrapped(data, said)
    return json.dumps(raw | said).encode() if said else data


def _object(data: bytes) -> dict[str, Any]:
    try:
        return read_json(data)
    except Unreadable as unreadable:
        raise CommandFailed(Exit.USAGE, f"FILE: {unreadable}", "gcr send FILE, with one JSON object in it") from None


def _wrapped(data: bytes, said: dict[str, str]) -> dict[str, Any]:
    missing = [f"--{name}" for name in ("id", "title") if name not in said]
    if missing:
        message = f"a raw diff needs {' and '.join(missing)}"
        raise CommandFailed(Exit.USAGE, message, "gcr send FILE --id ID --title TITLE")
    try:
        return {"changes": [{"type": "unified_diff", "text": data.decode()}]}
    except UnicodeDecodeError as bad:
        message = f"FILE is not UTF-8 at byte {bad.start}"
        raise CommandFailed(Exit.USAGE, message, "gcr send FILE, with contents_b64 for bytes") from None


def _follow(client: Client, patch_id: str, give_up_at: float) -> dict[str, Any]:
    while time.monotonic() < give_up_at:
        rest = max(1, min(_ROUND_SECONDS, int(give_up_at - time.monotonic())))
        asked_at = time.monotonic()
        stored = client.expect(client.call("GET", f"/v1/patches/{patch_id}?wait={rest}", seconds=rest + 10))
        if stored["status"] in FINAL | {Status.HELD}:
            return stored
        # A gateway where too many wait already answers at once.
        time.sleep(max(0.0, asked_at + _LEAST_ROUND_SECONDS - time.monotonic()))
    advice = f"gcr show {shlex.quote(patch_id)}"
    raise CommandFailed(Exit.TIMED_OUT, f"{patch_id} has not ended yet", advice, {"patch_id": patch_id})


def _conclude(session: Session, ended: dict[str, Any]) -> None:
    patch_id, outcome = shlex.quote(ended["patch_id"]), ended["outcome"] or {}
    if ended["status"] in (Status.LANDED, Status.PREVIEWED):
        session.say(ended, [_line(ended), f"next: gcr report {patch_id}"])
        return
    errors = [line for error in outcome.get("errors", []) for line in _told(error)]
    words = "\n".join([_line(ended), *errors, *filter(None, [outcome.get("message")])])
    advice = f"gcr approve {patch_id}" if ended["status"] == Status.HELD else f"gcr report {patch_id}"
    raise CommandFailed(Exit.FAILED, words, advice, {"patch": ended})


def _told(error: dict[str, Any]) -> list[str]:
    """A fault with the lines that show it: the end of what a check printed, or what the patch looked for."""
    return [f"  {plain(error['message'])}", *(f"    | {plain(line)}" for line in error.get("expected", []))]


def _line(facts: dict[str, Any]) -> str:
    outcome = facts.get("outcome") or {}
    commit = f"  {outcome['commit'][:12]}" if "commit" in outcome else ""
    warnings = "".join(f"\nwarning: {one}" for one in facts.get("warnings", []))
    return plain(f"{facts['patch_id']}: {facts['status']}{commit}{warnings}")
