"""`gcr init`: writes the settings, makes a first key and registers a repository,
without touching that repository's history.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.config import (
    CONFIG_NAME,
    DEFAULT_PORT,
    ConfigRefused,
    SandboxDemand,
    load_config,
    search_path,
)
from gpt_cursor_runner.landing.git import Git, GitFailed, run_in
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.wiring.ledger import build_ledger

_FIRST_COMMIT = "git commit --allow-empty -m 'Begin', then gcr init"
_EXAMPLE_CHECKS = (
    '# checks = [{ name = "tests", command = ["python3", "-m", "pytest", "-q"], '
    "timeout_seconds = 600 }]"
)
_EXAMPLE_PATCH = (
    '{"id": "hello-1", "title": "Say hello", "changes": '
    '[{"type": "upsert", "path": "HELLO.md", "contents": "Hello\\n"}]}'
)


@dataclass(frozen=True)
class _Check:
    name: str
    command: list[str]


@dataclass(frozen=True)
class _Settings:
    """The values that `init` writes; a state directory of None is the user's."""

    port: int
    state: Path | None
    repository: Path
    branch: str
    checks: list[_Check]
    sandbox: str


@command("init")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    show_default=True,
)
@click.option("--branch", help="The branch patches land on. Default: the one checked out.")
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME=COMMAND",
    help="A check that every patch must pass; repeatable.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True)
@click.option(
    "--state", type=click.Path(path_type=Path), help="The state directory. Default: the user's."
)
@click.option(
    "--sandbox", type=click.Choice(get_args(SandboxDemand)), default="best", show_default=True
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
        facts = {"created": False, "config": str(path)}
        session.print(facts, f"{path} exists already; nothing was changed.")
        return
    git, top = _open_repository(repository)
    own_paths = [path]
    if state is not None:
        state = state.expanduser().resolve()
        own_paths.append(state)
    settings = _Settings(
        port=port,
        state=state,
        repository=top,
        branch=_branch(git, repository, branch),
        checks=list(map(_parse_check, checks)),
        sandbox=sandbox,
    )
    key, url = _set_up(path, _toml(settings))
    _exclude_from_repository(git, top, own_paths)
    facts = {"created": True, "config": str(path), "key": key, "url": url, "repository": str(top)}
    session.print(facts, _instructions(path, key, url, bool(checks)))


def _set_up(path: Path, text: str) -> tuple[str, str]:
    """Write the settings and make the first key. Returns the key's text and the
    gateway's URL; on failure no settings file is left behind.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        message = "the repository's path is not UTF-8, so no settings file can name it"
        next_command = "gcr init, after renaming the directory"
        raise CommandFailed(Exit.FAILED, message, next_command) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mode is set before the file has content.
    path.touch(mode=0o600)
    path.write_bytes(data)
    try:
        config = load_config(path)
        with closing(build_ledger(config)) as ledger:
            _, key = ledger.keys.create("first", ["submit", "read"], ledger.clock())
    except (ConfigRefused, OSError, SQLAlchemyError) as error:
        path.unlink()
        raise CommandFailed(Exit.FAILED, str(error), "gcr init, with other values") from error
    return key, config.server.url


def _open_repository(directory: Path) -> tuple[Git, Path]:
    """The repository around a directory, and the top of its work tree (a bare
    repository's own directory).
    """
    directory = directory.resolve()
    try:
        git = Git.at(directory, search_path())
        # git exits with 128 in a bare repository, which has no work tree.
        arguments = ("rev-parse", "--show-toplevel")
        top = run_in(directory, search_path(), *arguments, also_fine=(128,))
    except (WorldFailed, GitFailed) as error:
        message = f"{directory} is not a git repository"
        raise CommandFailed(Exit.FAILED, message, f"git init && {_FIRST_COMMIT}") from error
    if not top:
        return git, git.directory
    return git, Path(top)


def _branch(git: Git, directory: Path, wanted: str | None) -> str:
    """The branch that patches land on. Raises CommandFailed when it has no
    commit.
    """
    try:
        branch = wanted or _checked_out_branch(git, directory)
        git.tip(branch)
    except (GitFailed, WorldFailed) as error:
        if wanted:
            message = f"there is no branch {wanted}"
            raise CommandFailed(Exit.FAILED, message, "git branch, to list them") from error
        message = "the repository has no commit on a branch yet"
        raise CommandFailed(Exit.FAILED, message, _FIRST_COMMIT) from error
    return branch


def _checked_out_branch(git: Git, directory: Path) -> str:
    # Run in the directory itself: each worktree of a repository has its own HEAD.
    return run_in(directory.resolve(), git.search_path, "symbolic-ref", "--short", "HEAD")


def _parse_check(text: str) -> _Check:
    name, _, command_line = text.partition("=")
    try:
        words = shlex.split(command_line)
    except ValueError:
        # A quotation mark without its pair.
        words = []
    if not words:
        message = f"--check {text!r} is not NAME=COMMAND"
        example = "gcr init --check 'tests=python3 -m pytest -q'"
        raise CommandFailed(Exit.USAGE, message, example)
    return _Check(name, words)


def _toml(settings: _Settings) -> str:
    state = '# dir = "…"  # the user\'s state directory'
    if settings.state is not None:
        state = f"dir = {_quoted(str(settings.state))}"
    return f"""\
# Settings of GPT-Cursor Runner. Every key: docs/operating.md.
# Each can be overridden from the environment, as in GCR_SERVER__PORT=…

[server]
host = "127.0.0.1"
port = {settings.port}
# public_url = "https://…"  # where a tunnel shows this gateway

[state]
{state}

[[repository]]
name = {_quoted(_repository_name(settings.repository))}
path = {_quoted(str(settings.repository))}
branch = {_quoted(settings.branch)}
{_checks_toml(settings.checks)}
approval = "protected"  # "never" | "protected" | "always"
sandbox = "{settings.sandbox}"  # "required" | "best" | "none"
tag = true
"""


def _checks_toml(checks: Sequence[_Check]) -> str:
    if not checks:
        return _EXAMPLE_CHECKS
    lines = ["checks = ["]
    for check in checks:
        words = ", ".join(map(_quoted, check.command))
        lines.append(f"  {{ name = {_quoted(check.name)}, command = [{words}] }},")
    return "\n".join([*lines, "]"])


def _quoted(text: str) -> str:
    """A TOML basic string."""
    # JSON's escapes are all legal in TOML. TOML forbids a bare DEL, which JSON
    # leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _repository_name(top: Path) -> str:
    """The directory's name, reduced to the characters that a name may hold."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", top.name.removesuffix(".git"))
    return name.strip("-._")[:100] or "app"


def _exclude_from_repository(git: Git, top: Path, paths: Sequence[Path]) -> None:
    """Add our files to the repository's own exclude file, which is never
    committed.
    """
    exclude = git.directory / "info" / "exclude"
    present = _ended_lines(exclude)
    missing = [line for line in _exclude_lines(top, paths) if line not in present]
    if missing:
        exclude.parent.mkdir(exist_ok=True)
        exclude.write_bytes(b"".join([*present, *missing]))


def _ended_lines(path: Path) -> list[bytes]:
    """The lines of a file, which need not exist, each with a line end."""
    if not path.exists():
        return []
    data = path.read_bytes()
    # The owner's last line may lack its newline.
    if data and not data.endswith(b"\n"):
        data += b"\n"
    return data.splitlines(keepends=True)


def _exclude_lines(top: Path, paths: Sequence[Path]) -> Iterator[bytes]:
    """The gitignore lines for the paths that lie in the work tree."""
    for path in paths:
        if path.is_relative_to(top) and path != top:
            yield os.fsencode(_exclude_pattern(path.relative_to(top))) + b"\n"


def _exclude_pattern(path: Path) -> str:
    """The gitignore pattern that matches this path and no other."""
    escaped = re.sub(r"([\\*?\[\] ])", r"\\\1", str(path))
    return f"/{escaped}"


def _instructions(path: Path, key: str, url: str, has_checks: bool) -> list[str]:
    lines = [
        f"settings  {path} (readable by you alone)",
        f"key       {key}",
        "          shown once; scopes submit and read. Give it to the AI that sends patches:",
        "",
        f"  curl -X POST {url}/webhook \\",
        f"    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        f"    -d '{_EXAMPLE_PATCH}'",
        "",
    ]
    if not has_checks:
        note = f"note      no checks yet: add your test command to {path.name},"
        lines.append(f"{note} or patches land unchecked")
    return [*lines, "next      gcr up"]
