"""`gcr doctor`: every precondition, with the fact that was seen, why it matters
and what to type.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.cli.client import anonymous
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.config import Config, Repository, find_config, search_path
from gpt_cursor_runner.engine.runner_lock import lock_is_held
from gpt_cursor_runner.gateway.serve import PortTaken, refuse_taken_port
from gpt_cursor_runner.landing import sandbox
from gpt_cursor_runner.landing.git import OLDEST_GIT, Git, version
from gpt_cursor_runner.landing.rehearsal import rehearse
from gpt_cursor_runner.patch.outcome import WorldFailed
from gpt_cursor_runner.wiring.ledger import build_ledger

Result = Literal["PASS", "WARN", "FAIL"]
_COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}
# Before this one SQLite could, very rarely, lose a commit when two connections
# reset the WAL at the same instant.
_SOUND_SQLITE = (3, 51, 3)
_NEWER_SQLITE = "use a Python with SQLite 3.51.3 or newer"


@dataclass(frozen=True)
class Finding:
    """One precondition: `fact` is what was seen, `why` what depends on it,
    `next_command` what mends it.
    """

    id: str
    result: Result
    fact: str
    why: str
    next_command: str = ""


@command("doctor")
@click.option(
    "--checks", "run_checks", is_flag=True, help="Run every check on its branch as it stands, too."
)
def doctor(session: Session, run_checks: bool) -> None:
    """Check everything the path depends on."""
    findings = list(_machine())
    try:
        config = session.config()
    except CommandFailed as refused:
        findings.append(
            Finding(
                "settings", "FAIL", refused.message, "nothing can start without them", "gcr init"
            )
        )
    else:
        findings += _settings(session, config)
        for repository in config.repository if run_checks else ():
            findings += _rehearsed(repository)
    failed = sum(one.result == "FAIL" for one in findings)
    warned = sum(one.result == "WARN" for one in findings)
    lines = [line for one in findings for line in _lines(one)]
    lines.append(f"{len(findings)} looked at, {failed} failed, {warned} with a warning")
    session.say(
        {"findings": [asdict(one) for one in findings], "failed": failed, "warned": warned}, lines
    )
    raise SystemExit(int(Exit.FAILED if failed else Exit.FINE))


def _machine() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "python", "PASS", f"Python {python}", "3.11 is the oldest"
    )  # an older one cannot read this file
    try:
        git = version(search_path())
        fine = git[:2] >= OLDEST_GIT
        fact = f"git {'.'.join(map(str, git))}"
    except WorldFailed as missing:
        fine, fact = False, missing.message
    yield Finding(
        "git",
        "PASS" if fine else "FAIL",
        fact,
        "2.38 is the oldest",
        "" if fine else "install a newer git",
    )
    trouble = sandbox.probe(search_path())
    yield Finding(
        "sandbox",
        "WARN" if trouble else "PASS",
        trouble or "bubblewrap works",
        "checks run code that an AI wrote",
        "install the package bubblewrap" if trouble else "",
    )
    sound = sqlite3.sqlite_version_info >= _SOUND_SQLITE
    why = "older ones have a very rare fault in WAL mode" if not sound else "the ledger lives in it"
    yield Finding(
        "sqlite",
        "PASS" if sound else "WARN",
        f"SQLite {sqlite3.sqlite_version}",
        why,
        "" if sound else _NEWER_SQLITE,
    )


def _settings(session: Session, config: Config) -> Iterator[Finding]:
    path = find_config(session.config_path)
    if path is not None:
        private = path.stat().st_mode & 0o077 == 0
        yield Finding(
            "settings",
            "PASS" if private else "WARN",
            str(path),
            "others on this machine can read it" if not private else "readable by you alone",
            "" if private else f"chmod 600 {path}",
        )
    yield from _ledger(config)
    if not config.repository:
        yield Finding(
            "repositories", "FAIL", "none registered", "patches need somewhere to land", "gcr init"
        )
    for repository in config.repository:
        yield _repository(repository)
        yield from _checks(repository)
    yield from _processes(session, config)


def _ledger(config: Config) -> Iterator[Finding]:
    try:
        with closing(build_ledger(config)) as ledger:
            ledger.probe_write()
            broken = ledger.first_broken_link()
            someone = ledger.keys.any_live(ledger.clock())
            durable = ledger.settings()["synchronous"] == 2
    except (SQLAlchemyError, OSError) as trouble:
        yield Finding(
            "ledger",
            "FAIL",
            str(trouble).splitlines()[0],
            "a 202 means: on the disk",
            f"look at {config.state.dir}",
        )
        return
    why = "a 202 means: on the disk"
    advice = "" if durable else "update SQLite: it ignores synchronous=FULL"
    fact = f"{config.state.dir}, write tried and rolled back"
    yield Finding("ledger", "PASS" if durable else "FAIL", fact, why, advice)
    fact = (
        f"event {broken.seq} of {broken.patch_id} does not follow"
        if broken
        else "every event follows from the last"
    )
    advice = f"gcr show {broken.patch_id}, and restore the ledger from a backup" if broken else ""
    yield Finding(
        "history", "FAIL" if broken else "PASS", fact, "a changed record shows here", advice
    )
    fact = "at least one key is live" if someone else "no key is live"
    advice = "" if someone else "gcr key create NAME"
    yield Finding("keys", "PASS" if someone else "FAIL", fact, "nobody gets in without one", advice)


def _repository(repository: Repository) -> Finding:
    name, why = f"repository {repository.name}", "patches land here"
    try:
        tip = Git.at(repository.path, search_path()).tip(repository.branch)
    except WorldFailed as trouble:
        return Finding(name, "FAIL", trouble.message, why, trouble.next_step)
    return Finding(name, "PASS", f"{repository.path}, {repository.branch} at {tip[:12]}", why)


def _checks(repository: Repository) -> Iterator[Finding]:
    name = f"checks {repository.name}"
    if not repository.checks:
        why = "patches land unchecked"
        yield Finding(name, "WARN", "none configured", why, "add checks = [...] to runner.toml")
    for check in repository.checks:
        found = shutil.which(check.command[0], path=search_path()) or (
            check.command[0] if (repository.path / check.command[0]).exists() else None
        )
        fact = f"{check.name}: {found or check.command[0] + ' was not found'}"
        advice = (
            "" if found else f"install {check.command[0]}, or correct the command in runner.toml"
        )
        yield Finding(name, "PASS" if found else "FAIL", fact, "every patch must pass it", advice)
    if repository.sandbox == "required" and sandbox.probe(search_path()):
        advice = 'install bubblewrap, or set sandbox = "best"'
        yield Finding(
            name, "FAIL", "a sandbox is required and none works", "checks would not run", advice
        )


def _rehearsed(repository: Repository) -> Iterator[Finding]:
    name, why = f"checks {repository.name}", "what fails here is blamed on every patch"
    advice = "mend the branch, or the check in runner.toml"
    try:
        git = Git.at(repository.path, search_path())
        chosen = sandbox.choose_sandbox(
            repository.sandbox, search_path(), repository.sandbox_read_only
        )
        with tempfile.TemporaryDirectory(prefix="gcr-doctor-") as place:
            for result in rehearse(git, repository, chosen, Path(place) / "workspace"):
                fine = result.status == "passed"
                last = (
                    ""
                    if fine
                    else ": "
                    + (result.tail.strip().splitlines() or ["it printed nothing"])[-1][:200]
                )
                fact = (
                    f"{result.name} {result.status} on {repository.branch} in {result.seconds:.1f}"
                    f" s{last}"
                )
                yield Finding(name, "PASS" if fine else "FAIL", fact, why, "" if fine else advice)
    except WorldFailed as trouble:
        yield Finding(name, "FAIL", trouble.message, why, trouble.next_step)


def _processes(session: Session, config: Config) -> Iterator[Finding]:
    alive = lock_is_held(config.state.dir)
    fact = "a runner holds the state directory" if alive else "no runner is alive"
    yield Finding(
        "runner",
        "PASS" if alive else "WARN",
        fact,
        "patches wait without it",
        "" if alive else "gcr up",
    )
    try:
        body = anonymous(session, None).call("GET", "/health", seconds=3).body
        word = body.get("overall_status", "no health answer")
        fine = word == "healthy"
        fact = f"{config.server.url} says {word}"
        yield Finding(
            "gateway",
            "PASS" if fine else "WARN",
            fact,
            "the webhook is there",
            "" if fine else "gcr status",
        )
    except CommandFailed as nobody:
        try:
            refuse_taken_port(config.server.host, config.server.port)
            yield Finding("gateway", "WARN", nobody.message, "the webhook is not there", "gcr up")
        except PortTaken as taken:
            advice = "end that program, or set [server] port in runner.toml"
            yield Finding("gateway", "FAIL", str(taken), "the webhook is not there", advice)


def _lines(one: Finding) -> list[str]:
    lines = [
        f"{click.style(one.result, fg=_COLOURS[one.result])}  {one.id}: {one.fact} ({one.why})"
    ]
    return (
        [*lines, f"      next: {one.next_command}"]
        if one.next_command and one.result != "PASS"
        else lines
    )
