"""`gcr init`: settings, a first key and the repository one stands in, without
touching that repository's history.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.config import (
    CONFIG_NAME,
    DEFAULT_PORT,
    ConfigRefused,
    load_config,
    search_path,
)
from gpt_cursor_runner.landing.git import Git, GitFailed, run_in
from gpt_cursor_runner.patch.outcome import WorldFailed
from gpt_cursor_runner.wiring.ledger import build_ledger


@command("init")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    show_default=True,
)
@click.option("--branch", help="The branch patches land on; the one checked out, unless said.")
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME=COMMAND",
    help="A check every patch must pass; repeatable.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True)
@click.option(
    "--state", type=click.Path(path_type=Path), help="The state directory, if not the user's own."
)
@click.option(
    "--sandbox", type=click.Choice(["required", "best", "none"]), default="best", show_default=True
)
def init(
    session: Session,
    repository: Path,
    branch: str | None,
    checks: tuple[str, ...],
    port: int,
    state: Path | None,
    sandbox: str,
) -> None:
    """Write runner.toml, make a key and register a repository."""
    path = (session.config_path or Path.cwd() / CONFIG_NAME).expanduser().resolve()
    if path.exists():
        session.say(
            {"created": False, "config": str(path)},
            f"{path} is there already; nothing was changed.",
        )
        return
    git, top = _repository(repository)
    state = state.expanduser().resolve() if state else None
    text = _toml(
        port, state, top, _branch(git, repository, branch), [_check(one) for one in checks], sandbox
    )
    key, url = _set_up(path, text)
    _exclude(git, top, [path, *([state] if state else [])])
    facts = {"created": True, "config": str(path), "key": key, "url": url, "repository": str(top)}
    session.say(facts, _words(path, key, url, bool(checks)))


def _set_up(path: Path, text: str) -> tuple[str, str]:
    """Write the settings and make the first key: its text and the gateway's
    URL. On failure no settings are left.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        message = "the repository's path is not UTF-8, so no settings file can name it"
        raise CommandFailed(
            Exit.FAILED, message, "gcr init, after renaming the directory"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(data)
    try:
        config = load_config(path)
        with closing(build_ledger(config)) as ledger:
            _, key = ledger.keys.create("first", ["submit", "read"], ledger.clock())
    except (ConfigRefused, OSError, SQLAlchemyError) as refused:
        path.unlink()
        raise CommandFailed(Exit.FAILED, str(refused), "gcr init, with other values") from refused
    return key, config.server.url


def _repository(place: Path) -> tuple[Git, Path]:
    try:
        git = Git.at(place.resolve(), search_path())
        top = run_in(
            place.resolve(), search_path(), "rev-parse", "--show-toplevel", also_fine=(128,)
        )
    except (WorldFailed, GitFailed) as none:
        message = f"{place.resolve()} is not a git repository"
        raise CommandFailed(
            Exit.FAILED, message, "git init && git commit --allow-empty -m 'Begin', then gcr init"
        ) from none
    return git, Path(top) if top else git.directory


def _branch(git: Git, place: Path, named: str | None) -> str:
    """The branch patches land on; ends the command when there is no commit on
    it.
    """
    try:
        branch = named or _checked_out(git, place)
        git.tip(branch)
    except (GitFailed, WorldFailed) as nothing:
        message = (
            f"there is no branch {named}"
            if named
            else "the repository has no commit on a branch yet"
        )
        advice = (
            "git branch, to see what there is"
            if named
            else "git commit --allow-empty -m 'Begin', then gcr init"
        )
        raise CommandFailed(Exit.FAILED, message, advice) from nothing
    return branch


def _checked_out(git: Git, place: Path) -> str:
    # Asked from the place itself: each worktree of a repository has a HEAD of
    # its own.
    return run_in(place.resolve(), git.search_path, "symbolic-ref", "--short", "HEAD")


def _check(text: str) -> tuple[str, list[str]]:
    name, equals, words = text.partition("=")
    try:
        split = shlex.split(words)
    except ValueError:
        split = []
    if not equals or not split:
        raise CommandFailed(
            Exit.USAGE,
            f"--check {text!r} is not NAME=COMMAND",
            "gcr init --check 'tests=python3 -m pytest -q'",
        )
    return name, split


def _toml(
    port: int,
    state: Path | None,
    top: Path,
    branch: str,
    checks: list[tuple[str, list[str]]],
    sandbox: str,
) -> str:
    listed = ",\n".join(
        f"  {{ name = {_string(name)}, command = [{', '.join(map(_string, words))}] }}"
        for name, words in checks
    )
    place = (
        f"dir = {_string(str(state))}" if state else '# dir = "…"  # the user\'s state directory'
    )
    example = (
        '# checks = [{ name = "tests", command = ["python3", "-m", "pytest", "-q"], timeout_seconds'
        " = 600 }]"
    )
    return f"""\
# Settings of GPT-Cursor Runner. Every key: docs/operating.md.
# Each can be overridden from the environment, as in GCR_SERVER__PORT=…

[server]
host = "127.0.0.1"
port = {port}
# public_url = "https://…"  # where a tunnel shows this gateway

[state]
{place}

[[repository]]
name = {_string(_name(top))}
path = {_string(str(top))}
branch = {_string(branch)}
{f"checks = [{chr(10)}{listed},{chr(10)}]" if checks else example}
approval = "protected"  # "never" | "protected" | "always"
sandbox = "{sandbox}"  # "required" | "best" | "none"
tag = true
"""


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes are all legal in one; DEL, which JSON
    leaves as it is, is not.
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _name(top: Path) -> str:
    """A name for the repository after its directory, with what a name may not
    hold left out.
    """
    return (
        re.sub(r"[^A-Za-z0-9._-]+", "-", top.name.removesuffix(".git")).strip("-._")[:100] or "app"
    )


def _exclude(git: Git, top: Path, ours: Sequence[Path]) -> None:
    """Keep our files out of the repository's history by its own, uncommitted
    exclude file.
    """
    lines = [
        os.fsencode(_pattern(path.relative_to(top)))
        for path in ours
        if path.is_relative_to(top) and path != top
    ]
    exclude = git.directory / "info" / "exclude"
    present = exclude.read_bytes() if exclude.exists() else b""
    new = [line for line in lines if line not in present.splitlines()]
    if new:
        exclude.parent.mkdir(exist_ok=True)
        gap = b"" if present.endswith(b"\n") or not present else b"\n"
        exclude.write_bytes(present + gap + b"\n".join(new) + b"\n")


def _pattern(path: Path) -> str:
    """The pattern that matches this path and nothing else."""
    return "/" + re.sub(r"([\\*?\[\] ])", r"\\\1", str(path))


def _words(path: Path, key: str, url: str, has_checks: bool) -> list[str]:
    lines = [
        f"settings  {path} (readable by you alone)",
        f"key       {key}",
        "          shown once; scopes submit and read. Give it to the AI that sends patches:",
        "",
        f"  curl -X POST {url}/webhook \\",
        f"    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        """    -d '{"id": "hello-1", "title": "Say hello", "changes": """
        """[{"type": "upsert", "path": "HELLO.md", "contents": "Hello\\n"}]}'""",
        "",
    ]
    if not has_checks:
        lines.append(
            f"note      no checks yet: add your test command to {path.name}, or patches land"
            " unchecked"
        )
    return [*lines, "next      gcr up"]
