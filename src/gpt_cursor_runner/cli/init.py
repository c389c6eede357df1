"""`gcr init`: finds checks that work, writes the settings, makes a first key and
registers a repository, without touching that repository's history.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.cli.ecosystems import proposals_for
from gpt_cursor_runner.cli.ecosystems.project import Project, Proposal
from gpt_cursor_runner.cli.init_report import InitReport
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.cli.registries import Registries
from gpt_cursor_runner.cli.settings_text import FirstSettings, settings_text
from gpt_cursor_runner.cli.trying import Attempt, Trial
from gpt_cursor_runner.config import (
    CONFIG_NAME,
    DEFAULT_PORT,
    Check,
    Config,
    ConfigRefused,
    SandboxDemand,
    parse_config,
    search_path,
)
from gpt_cursor_runner.landing.git import Git, GitFailed, run_in
from gpt_cursor_runner.landing.sandbox.choosing import Proof, prove_sandbox
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.wiring.ledger import build_ledger

_FIRST_COMMIT = "git commit --allow-empty -m 'Begin', then gcr init"


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
    "--sandbox",
    type=click.Choice(get_args(SandboxDemand)),
    default="required",
    show_default=True,
    help="Weaker than required: checks may run unconfined.",
)
@click.option("--no-try", is_flag=True, help="Do not run checks now, and propose none.")
def init(
    session: Session,
    repository: Path,
    branch: str | None,
    checks: tuple[str, ...],
    port: int,
    state: Path | None,
    sandbox: str,
    no_try: bool,
) -> None:
    """Find checks that work, write runner.toml, make a key and register a
    repository.
    """
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
    settings = FirstSettings(
        port=port,
        state=state,
        name=_repository_name(top),
        repository=top,
        branch=_branch(git, repository, branch),
        sandbox=sandbox,
        checks=tuple(map(_parse_check, checks)),
    )
    config = _load(path, settings)
    proof = _prove(config)
    attempts: list[Attempt] = []
    refused: tuple[str, ...] = ()
    if not no_try:
        attempts, refused = _try(config, proof, git, settings)
    settings = _with_what_worked(settings, attempts)
    key = _set_up(path, settings)
    _exclude_from_repository(git, top, own_paths)
    report = InitReport(
        path=path,
        key=key,
        url=config.server.url,
        settings=settings,
        proof=proof,
        attempts=attempts,
        is_tried=not no_try,
        refused_variables=refused,
    )
    session.print(report.to_json(), report.lines())


def _load(path: Path, settings: FirstSettings) -> Config:
    """The settings before they are written; makes the state directory. Raises
    CommandFailed for values that cannot be used.
    """
    text = settings_text(settings)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        message = "the repository's path is not UTF-8, so no settings file can name it"
        next_command = "gcr init, after renaming the directory"
        raise CommandFailed(Exit.FAILED, message, next_command) from None
    try:
        config = parse_config(data, path)
        build_ledger(config).close()
    except (ConfigRefused, OSError, SQLAlchemyError) as error:
        raise CommandFailed(Exit.FAILED, str(error), "gcr init, with other values") from error
    return config


def _prove(config: Config) -> Proof:
    return prove_sandbox(search_path(), config.sandbox, config.state.workspaces_dir)


def _try(
    config: Config, proof: Proof, git: Git, settings: FirstSettings
) -> tuple[list[Attempt], tuple[str, ...]]:
    """Try the checks that the user gave, or those that fit the project. Returns
    the attempts, and the variables that hold a password.
    """
    if proof.code != "works" and settings.sandbox == "required":
        return [], ()
    repository = config.repository[0].model_copy(update={"checks": ()})
    trial = Trial(config, repository, proof)
    if settings.checks:
        given = Proposal("", "the checks of --check", (), settings.checks)
        return trial.first_that_works([given]), ()
    proposals = proposals_for(Project.at(git, git.tip(settings.branch)))
    if not proposals:
        return [], ()
    registries = Registries.of_user()
    applied = [registries.applied_to(proposal) for proposal in proposals]
    return trial.first_that_works(applied), registries.refused


def _with_what_worked(settings: FirstSettings, attempts: Sequence[Attempt]) -> FirstSettings:
    for attempt in attempts:
        if attempt.worked:
            proposal = attempt.proposal
            return replace(
                settings,
                setup=proposal.setup,
                checks=proposal.checks,
                sandbox_read_only=proposal.shown,
            )
    return settings


def _set_up(path: Path, settings: FirstSettings) -> str:
    """Write the settings and make the first key. Returns the key's text; on
    failure no settings file is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mode is set before the file has content.
    path.touch(mode=0o600)
    try:
        data = settings_text(settings).encode()
        path.write_bytes(data)
        config = parse_config(data, path)
        with closing(build_ledger(config)) as ledger:
            _, key = ledger.keys.create("first", ["submit", "read"], ledger.clock())
    except (ConfigRefused, OSError, SQLAlchemyError) as error:
        path.unlink()
        raise CommandFailed(Exit.FAILED, str(error), "gcr init, with other values") from error
    return key


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


def _parse_check(text: str) -> Check:
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
    # Not validated yet: the name may be wrong, which is reported with its key.
    members: dict[str, Any] = {"name": name, "command": tuple(words)}
    return Check.model_construct(**members)


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
