"""`gcr send`: sends a patch from a file or standard input, and follows it to its
end when asked.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from typing import Any, get_args

import click

from gpt_cursor_runner.cli.client import Client, connect
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command, plain
from gpt_cursor_runner.cli.preview_text import DIFF_CHARACTERS, preview_lines
from gpt_cursor_runner.formats.sniffing import sniff
from gpt_cursor_runner.patch.faults import Fault, PatchRefused
from gpt_cursor_runner.patch.model import Tolerance
from gpt_cursor_runner.patch.outcome import Outcome, Rejected, message_of, read_outcome
from gpt_cursor_runner.patch.parsing import Unreadable, read_json
from gpt_cursor_runner.patch.status import FINAL, Status

_JSON = {"Content-Type": "application/json"}
# Long polling in rounds: a proxy may cut a request that stays open for minutes.
_ROUND_SECONDS = 20
# Soon enough to show why a patch waits.
_FIRST_ROUND_SECONDS = 3
_SHORTEST_ROUND_SECONDS = 0.25
# Options that a repeated command needs, with the parameter each stands in.
_REPEATED_OPTIONS = {
    "--id": "patch_id",
    "--title": "title",
    "--path": "path",
    "--repository": "repository",
    "--base": "base",
    "--tolerance": "tolerance",
    "--url": "url",
}


@command("send")
@click.argument("file", type=click.File("rb"))
@click.option("--id", "patch_id", help="The id of the patch; needed when FILE has none.")
@click.option("--title", help="Its title; needed when FILE has none.")
@click.option("--path", help="The file that a raw text is for, when the text does not name it.")
@click.option("--repository", help="The repository, when there are several.")
@click.option("--base", help="The commit it was made against; a branch that moved on is merged.")
@click.option(
    "--tolerance", type=click.Choice(get_args(Tolerance)), help="How exactly it must fit."
)
@click.option(
    "--expect-plan",
    metavar="DIGEST",
    help="Reject the patch unless its plan is the one that a preview showed.",
)
@click.option(
    "--preview",
    is_flag=True,
    help="Show what the patch would change, without sending it; with --wait also check it.",
)
@click.option("--wait", is_flag=True, help="Follow the patch to its end.")
@click.option(
    "--timeout",
    type=float,
    default=3600,
    show_default=True,
    help="How long --wait waits, in seconds.",
)
@click.option("--url", help="Another gateway than the one of runner.toml; needs GCR_KEY.")
def send(
    session: Session,
    file: Any,  # noqa: ANN401  click's binary stream
    patch_id: str | None,
    path: str | None,
    preview: bool,
    wait: bool,
    timeout: float,
    url: str | None,
    **members: str | None,
) -> None:
    """Send a patch from FILE, or - for standard input: JSON, or a raw text with
    --id and --title.

    A raw text is a unified diff, search/replace blocks or an apply_patch
    envelope. JSON is a whole patch, or a single change or tool call with --id
    and --title.

    --preview alone plans the patch and shows the diff and the place of each
    hunk; nothing is recorded. With --wait it is sent as a patch of mode
    preview: recorded, sealed and checked, but not landed.
    """
    members["id"] = patch_id
    if preview and wait:
        members["mode"] = "preview"
    body = _body(file.read(), _given(members), path)
    with connect(session, url, "submit", "read") as client:
        if wait:
            _send_and_follow(session, client, body, timeout)
        elif preview:
            _preview(session, client, body)
        else:
            accepted = _submit(client, body)
            session.print(accepted, _summary(accepted))


def _given(options: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _submit(client: Client, body: bytes) -> dict[str, Any]:
    return client.expect(client.call("POST", "/webhook", body, _JSON))


def _send_and_follow(session: Session, client: Client, body: bytes, timeout: float) -> None:
    accepted = _submit(client, body)
    # With --json the one answer is that of the end.
    if not session.as_json:
        click.echo(_summary(accepted))
    deadline = time.monotonic() + timeout
    ended = _follow(session, client, accepted["patch_id"], deadline)
    _conclude(session, ended)


def _preview(session: Session, client: Client, body: bytes) -> None:
    route = f"/v1/patches:preview?diff={DIFF_CHARACTERS}"
    preview = client.expect(client.call("POST", route, body, _JSON))
    next_command = _landing_command(session, preview["plan_digest"])
    facts = {"preview": preview, "next_command": next_command}
    session.print(facts, list(preview_lines(preview, next_command)))


def _landing_command(session: Session, digest: str) -> str:
    """This command again, without --preview and bound to the plan just shown."""
    given = click.get_current_context().params
    words = ["gcr", "send", _file_argument(given["file"])]
    options = {option: given[parameter] for option, parameter in _REPEATED_OPTIONS.items()}
    options |= {"--config": session.config_path, "--expect-plan": digest}
    for option, value in options.items():
        if value is not None:
            words += [option, str(value)]
    return shlex.join([*words, "--wait"])


def _file_argument(file: Any) -> str:  # noqa: ANN401  click's binary stream
    name: str = getattr(file, "name", "<stdin>")
    if name == "<stdin>":
        return "-"
    return name


def _body(data: bytes, members: dict[str, str], path: str | None) -> bytes:
    """The request body: JSON with the members given as options put in, or a raw
    text made into a patch.
    """
    # Only JSON begins with a brace or a bracket. Broken JSON must be reported
    # as such, not taken for a raw text.
    if data.lstrip()[:1] not in (b"{", b"["):
        return json.dumps(_patch_of_raw_text(data, members, path) | members).encode()
    raw = _json_object(data)
    if path is not None:
        message = "--path names the file of a raw text; JSON names its own"
        raise CommandFailed(Exit.USAGE, message, "gcr send FILE, without --path")
    if not members:
        return data
    return json.dumps(raw | members).encode()


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        return read_json(data)
    except Unreadable as error:
        next_command = "gcr send FILE, with one JSON object in it"
        raise CommandFailed(Exit.USAGE, f"FILE: {error}", next_command) from None


def _patch_of_raw_text(data: bytes, members: dict[str, str], path: str | None) -> dict[str, Any]:
    _require_id_and_title(members)
    try:
        return {"changes": [sniff(data.decode(), path)]}
    except UnicodeDecodeError as error:
        message = f"FILE is not UTF-8 at byte {error.start}"
        next_command = "gcr send FILE, with contents_b64 for bytes"
        raise CommandFailed(Exit.USAGE, message, next_command) from None
    except PatchRefused as refusal:
        fault = refusal.faults[0]
        message = f"{fault.message}\n{fault.next_step}"
        raise CommandFailed(Exit.USAGE, message, "gcr send --help") from None


def _require_id_and_title(members: dict[str, str]) -> None:
    missing = [f"--{name}" for name in ("id", "title") if name not in members]
    if missing:
        message = f"a raw text needs {' and '.join(missing)}"
        raise CommandFailed(Exit.USAGE, message, "gcr send FILE --id ID --title TITLE")


def _follow(session: Session, client: Client, patch_id: str, deadline: float) -> dict[str, Any]:
    longest_seconds = _FIRST_ROUND_SECONDS
    obstacle = None
    while time.monotonic() < deadline:
        started_at = time.monotonic()
        round_seconds = max(1, min(longest_seconds, int(deadline - started_at)))
        route = f"/v1/patches/{patch_id}?wait={round_seconds}"
        stored = client.expect(client.call("GET", route, seconds=round_seconds + 10))
        if stored["status"] in FINAL | {Status.HELD}:
            return stored
        if stored.get("waiting_for") != obstacle:
            obstacle = stored.get("waiting_for")
            _print_obstacle(session, stored, obstacle)
        longest_seconds = _ROUND_SECONDS
        # A gateway with too many waiting clients answers at once.
        time.sleep(max(0.0, started_at + _SHORTEST_ROUND_SECONDS - time.monotonic()))
    message = f"{patch_id} has not ended yet"
    next_command = f"gcr show {shlex.quote(patch_id)}"
    raise CommandFailed(Exit.TIMED_OUT, message, next_command, {"patch_id": patch_id})


def _print_obstacle(
    session: Session, stored: dict[str, Any], obstacle: dict[str, str] | None
) -> None:
    # With --json the one answer is that of the end.
    if session.as_json:
        return
    text = f"{stored['repository']} is ready again"
    if obstacle is not None:
        text = f"waiting: {stored['repository']} is blocked: {obstacle['message']}"
        text += f"\nnext: {obstacle['next_step']}"
    click.echo(plain(text), err=True)


def _conclude(session: Session, ended: dict[str, Any]) -> None:
    """Print a good end; raise CommandFailed for every other one."""
    patch_id = shlex.quote(ended["patch_id"])
    if ended["status"] in (Status.LANDED, Status.PREVIEWED):
        session.print(ended, [_summary(ended), f"next: gcr report {patch_id}"])
        return
    outcome = read_outcome(Status(ended["status"]), ended["outcome"] or {})
    lines = [_summary(ended), *_outcome_lines(outcome)]
    next_command = f"gcr report {patch_id}"
    if ended["status"] == Status.HELD:
        next_command = f"gcr approve {patch_id}"
    raise CommandFailed(Exit.FAILED, "\n".join(lines), next_command, {"patch": ended})


def _outcome_lines(outcome: Outcome) -> Iterator[str]:
    if isinstance(outcome, Rejected):
        for fault in outcome.faults:
            yield from _fault_lines(fault)
    message = message_of(outcome)
    if message:
        yield message


def _fault_lines(fault: Fault) -> list[str]:
    """A fault and its excerpt: the end of a check's output, or the lines that
    the patch looked for.
    """
    excerpt = [f"    | {plain(line)}" for line in fault.expected]
    return [f"  {plain(fault.message)}", *excerpt]


def _summary(facts: dict[str, Any]) -> str:
    outcome = facts.get("outcome") or {}
    text = f"{facts['patch_id']}: {facts['status']}"
    if "commit" in outcome:
        text += f"  {outcome['commit'][:12]}"
    for warning in facts.get("warnings", []):
        text += f"\nwarning: {warning}"
    return plain(text)
