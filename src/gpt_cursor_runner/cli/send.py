"""`gcr send`: a patch from a file or standard input to the webhook, followed to
its end when asked.
"""

from __future__ import annotations

import json
import shlex
import time
from typing import Any, get_args

import click

from gpt_cursor_runner.cli.client import Client, connect
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command, plain
from gpt_cursor_runner.cli.previewing import DIFF_CHARS, preview_lines
from gpt_cursor_runner.formats.sniffing import sniff
from gpt_cursor_runner.patch.model import Tolerance
from gpt_cursor_runner.patch.outcome import PatchRefused
from gpt_cursor_runner.patch.parsing import Unreadable, read_json
from gpt_cursor_runner.patch.status import FINAL, Status

_JSON = {"Content-Type": "application/json"}
# Names of options, where they are not those of the members of a patch.
_MEMBERS = {"patch_id": "id"}
_ROUND_SECONDS = 20
_LEAST_ROUND_SECONDS = 0.25


@command("send")
@click.argument("file", type=click.File("rb"))
@click.option("--id", "patch_id", help="The id of the patch; needed when FILE has none.")
@click.option("--title", help="Its title; needed when FILE has none.")
@click.option("--path", help="The file that a raw text is for, when the text does not name it.")
@click.option("--repository", help="Which repository, when there are several.")
@click.option("--base", help="The commit it was made against; a branch that moved on is merged.")
@click.option(
    "--tolerance", type=click.Choice(get_args(Tolerance)), help="How exactly it has to fit."
)
@click.option(
    "--expect-plan",
    metavar="DIGEST",
    help="Refuse it unless its plan is the one that a preview showed.",
)
@click.option(
    "--preview",
    is_flag=True,
    help="Show what it would change and send nothing; with --wait also check it.",
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
    path: str | None,
    preview: bool,
    wait: bool,
    timeout: float,
    url: str | None,
    **said: str | None,
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
    members = {_MEMBERS.get(name, name): value for name, value in said.items() if value is not None}
    members |= {"mode": "preview"} if preview and wait else {}
    body = _body(file.read(), members, path)
    with connect(session, url, "submit", "read") as client:
        if preview and not wait:
            told = client.expect(
                client.call("POST", f"/v1/patches:preview?diff={DIFF_CHARS}", body, _JSON)
            )
            advice = _landing_command(session, told["plan_digest"])
            session.say(
                {"preview": told, "next_command": advice}, list(preview_lines(told, advice))
            )
            return
        accepted = client.expect(client.call("POST", "/webhook", body, _JSON))
        if not wait:
            session.say(accepted, _line(accepted))
            return
        if not session.as_json:
            click.echo(_line(accepted))
        ended = _follow(client, accepted["patch_id"], time.monotonic() + timeout)
    _conclude(session, ended)


def _landing_command(session: Session, digest: str) -> str:
    """This command again, with the plan that was shown in place of the wish to
    see it.
    """
    given = click.get_current_context().params
    name = getattr(given["file"], "name", "<stdin>")
    words = ["gcr", "send", "-" if name == "<stdin>" else name]
    options = {
        name: given[name]
        for name in ("patch_id", "title", "path", "repository", "base", "tolerance", "url")
    }
    for option, value in {**options, "config": session.config_path, "expect_plan": digest}.items():
        words += (
            [f"--{_MEMBERS.get(option, option).replace('_', '-')}", str(value)]
            if value is not None
            else []
        )
    return shlex.join([*words, "--wait"])


def _body(data: bytes, said: dict[str, str], path: str | None) -> bytes:
    """The request's body: JSON with what was said on the command line put in,
    or a raw text made a patch.
    """
    # No other form begins like this, and JSON that is broken must not be taken
    # for one.
    if data.lstrip()[:1] not in (b"{", b"["):
        return json.dumps(_wrapped(data, said, path) | said).encode()
    raw = _object(data)
    if path is not None:
        message = "--path names the file of a raw text; JSON names its own"
        raise CommandFailed(Exit.USAGE, message, "gcr send FILE, without --path")
    return json.dumps(raw | said).encode() if said else data


def _object(data: bytes) -> dict[str, Any]:
    try:
        return read_json(data)
    except Unreadable as unreadable:
        raise CommandFailed(
            Exit.USAGE, f"FILE: {unreadable}", "gcr send FILE, with one JSON object in it"
        ) from None


def _wrapped(data: bytes, said: dict[str, str], path: str | None) -> dict[str, Any]:
    missing = [f"--{name}" for name in ("id", "title") if name not in said]
    if missing:
        message = f"a raw text needs {' and '.join(missing)}"
        raise CommandFailed(Exit.USAGE, message, "gcr send FILE --id ID --title TITLE")
    try:
        return {"changes": [sniff(data.decode(), path)]}
    except UnicodeDecodeError as bad:
        message = f"FILE is not UTF-8 at byte {bad.start}"
        raise CommandFailed(
            Exit.USAGE, message, "gcr send FILE, with contents_b64 for bytes"
        ) from None
    except PatchRefused as refused:
        fault = refused.faults[0]
        raise CommandFailed(
            Exit.USAGE, f"{fault.message}\n{fault.next_step}", "gcr send --help"
        ) from None


def _follow(client: Client, patch_id: str, give_up_at: float) -> dict[str, Any]:
    while time.monotonic() < give_up_at:
        rest = max(1, min(_ROUND_SECONDS, int(give_up_at - time.monotonic())))
        asked_at = time.monotonic()
        stored = client.expect(
            client.call("GET", f"/v1/patches/{patch_id}?wait={rest}", seconds=rest + 10)
        )
        if stored["status"] in FINAL | {Status.HELD}:
            return stored
        # A gateway where too many wait already answers at once.
        time.sleep(max(0.0, asked_at + _LEAST_ROUND_SECONDS - time.monotonic()))
    advice = f"gcr show {shlex.quote(patch_id)}"
    raise CommandFailed(
        Exit.TIMED_OUT, f"{patch_id} has not ended yet", advice, {"patch_id": patch_id}
    )


def _conclude(session: Session, ended: dict[str, Any]) -> None:
    patch_id, outcome = shlex.quote(ended["patch_id"]), ended["outcome"] or {}
    if ended["status"] in (Status.LANDED, Status.PREVIEWED):
        session.say(ended, [_line(ended), f"next: gcr report {patch_id}"])
        return
    errors = [line for error in outcome.get("errors", []) for line in _told(error)]
    words = "\n".join([_line(ended), *errors, *filter(None, [outcome.get("message")])])
    advice = (
        f"gcr approve {patch_id}" if ended["status"] == Status.HELD else f"gcr report {patch_id}"
    )
    raise CommandFailed(Exit.FAILED, words, advice, {"patch": ended})


def _told(error: dict[str, Any]) -> list[str]:
    """A fault with the lines that show it: the end of what a check printed, or
    what the patch looked for.
    """
    return [
        f"  {plain(error['message'])}",
        *(f"    | {plain(line)}" for line in error.get("expected", [])),
    ]


def _line(facts: dict[str, Any]) -> str:
    outcome = facts.get("outcome") or {}
    commit = f"  {outcome['commit'][:12]}" if "commit" in outcome else ""
    warnings = "".join(f"\nwarning: {one}" for one in facts.get("warnings", []))
    return plain(f"{facts['patch_id']}: {facts['status']}{commit}{warnings}")
