"""`gcr doctor`: checks every precondition and names the fact, its consequence
and the next command.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.cli.client import anonymous
from gpt_cursor_runner.cli.finding import Finding, Result
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.cli.rehearsing import rehearsal_findings
from gpt_cursor_runner.config import Config, Repository, find_config, search_path
from gpt_cursor_runner.engine.runner_lock import lock_is_held
from gpt_cursor_runner.gateway.serve import PortTaken, refuse_taken_port
from gpt_cursor_runner.landing.git import OLDEST_GIT, version
from gpt_cursor_runner.landing.readiness import Machine, obstacles
from gpt_cursor_runner.landing.sandbox.choosing import Proof, prove_sandbox
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.wiring.ledger import build_ledger

_COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}
# Before this release SQLite could, very rarely, lose a commit when two
# connections reset the WAL at the same instant (sqlite.org/wal.html).
_SOUND_SQLITE = (3, 51, 3)
_SYNCHRONOUS_FULL = 2


@command("doctor")
@click.option(
    "--checks", "run_checks", is_flag=True, help="Also run every check on its branch as it stands."
)
def doctor(session: Session, run_checks: bool) -> None:
    """Check every precondition of a landing."""
    findings = list(_machine())
    try:
        config = session.config()
    except CommandFailed as error:
        why = "nothing can start without them"
        findings.append(Finding("settings", "FAIL", error.message, why, "gcr init"))
    else:
        proof = _prove(config)
        machine = Machine(search_path(), config.state.dir, lambda: proof)
        findings += _installation(session, config, machine)
        findings.append(_sandbox(config, proof))
        if run_checks:
            for repository in config.repository:
                findings += rehearsal_findings(config, repository, proof)
    _print(session, findings)


def _print(session: Session, findings: list[Finding]) -> None:
    counts = Counter(finding.result for finding in findings)
    failed, warned = counts["FAIL"], counts["WARN"]
    lines = list(chain.from_iterable(map(_lines, findings)))
    lines.append(f"{len(findings)} checked, {failed} failed, {warned} with a warning")
    facts = {
        "findings": list(map(asdict, findings)),
        "failed": failed,
        "warned": warned,
    }
    session.print(facts, lines)
    if failed:
        raise SystemExit(int(Exit.FAILED))
    raise SystemExit(int(Exit.FINE))


def _lines(finding: Finding) -> Iterator[str]:
    result = click.style(finding.result, fg=_COLOURS[finding.result])
    yield f"{result}  {finding.id}: {finding.fact} ({finding.why})"
    if finding.next_command:
        yield f"      next: {finding.next_command}"


def _machine() -> Iterator[Finding]:
    # An older Python cannot import this module, so that this always passes.
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "PASS", f"Python {python}", "3.11 is the oldest supported")
    yield _git()
    yield _sqlite()


def _git() -> Finding:
    why = "2.38 is the oldest supported"
    try:
        found_version = version(search_path())
    except WorldFailed as error:
        return Finding("git", "FAIL", error.message, why, "install a newer git")
    fact = f"git {'.'.join(map(str, found_version))}"
    mend = "install a newer git" if found_version[:2] < OLDEST_GIT else ""
    return Finding.of("git", fact, why, mend)


def _sqlite() -> Finding:
    fact = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= _SOUND_SQLITE:
        return Finding("sqlite", "PASS", fact, "it stores the ledger")
    why = "older releases have a very rare fault in WAL mode"
    return Finding("sqlite", "WARN", fact, why, "use a Python with SQLite 3.51.3 or newer")


def _installation(session: Session, config: Config, machine: Machine) -> Iterator[Finding]:
    path = find_config(session.config_path)
    if path is not None:
        yield _settings_file(path)
    yield from _ledger(config)
    if not config.repository:
        why = "patches need a repository to land in"
        yield Finding("repositories", "FAIL", "none registered", why, "gcr init")
    for repository in config.repository:
        yield from _repository(repository, machine)
        yield from _checks(repository)
    yield _runner(config)
    yield _gateway(session, config)


def _settings_file(path: Path) -> Finding:
    is_private = path.stat().st_mode & 0o077 == 0
    if is_private:
        return Finding("settings", "PASS", str(path), "readable by you alone")
    why = "other users of this machine can read it"
    return Finding("settings", "WARN", str(path), why, f"chmod 600 {path}")


def _ledger(config: Config) -> Iterator[Finding]:
    try:
        with closing(build_ledger(config)) as ledger:
            ledger.probe_write()
            yield _durability(ledger, config)
            yield _event_chain(ledger)
            yield _keys(ledger)
    except (SQLAlchemyError, OSError) as error:
        fact = str(error).splitlines()[0]
        mend = f"look at {config.state.dir}"
        yield Finding("ledger", "FAIL", fact, "a 202 means that the patch is on the disk", mend)


def _durability(ledger: Ledger, config: Config) -> Finding:
    is_durable = ledger.settings()["synchronous"] == _SYNCHRONOUS_FULL
    fact = f"{config.state.dir}, a write was tried and rolled back"
    mend = "" if is_durable else "update SQLite: it ignores synchronous=FULL"
    return Finding.of("ledger", fact, "a 202 means that the patch is on the disk", mend)


def _event_chain(ledger: Ledger) -> Finding:
    why = "a changed record breaks the chain"
    broken = ledger.first_broken_link()
    if broken is None:
        return Finding("history", "PASS", "every event follows from the one before", why)
    fact = f"event {broken.seq} of {broken.patch_id} does not follow from the one before"
    mend = f"gcr show {broken.patch_id}, and restore the ledger from a backup"
    return Finding("history", "FAIL", fact, why, mend)


def _keys(ledger: Ledger) -> Finding:
    why = "every request needs a key"
    if ledger.keys.any_live(ledger.clock()):
        return Finding("keys", "PASS", "at least one key is live", why)
    return Finding("keys", "FAIL", "no key is live", why, "gcr key create NAME")


def _repository(repository: Repository, machine: Machine) -> Iterator[Finding]:
    name, why = f"repository {repository.name}", "its patches wait until this is mended"
    faults = obstacles(repository, machine)
    for fault in faults:
        yield Finding(name, "FAIL", fault.message, why, fault.next_step)
    if not faults:
        fact = f"{repository.path}, branch {repository.branch}"
        yield Finding(name, "PASS", fact, "patches land here")


def _prove(config: Config) -> Proof:
    try:
        config.state.trials_dir.mkdir(parents=True, exist_ok=True)
        return prove_sandbox(search_path(), config.sandbox, config.state.trials_dir)
    except OSError as error:
        return Proof("unknown", f"{config.state.dir}: {error.strerror}", "Correct state.dir.")


def _sandbox(config: Config, proof: Proof) -> Finding:
    why = "checks run code that an AI wrote"
    if proof.code == "works":
        fact = "a command in bubblewrap proved to be confined"
        if proof.sandbox is not None and proof.sandbox.cgroups.bounded:
            fact += f"; a cgroup bounds {' and '.join(proof.sandbox.cgroups.bounded)}"
        return Finding("sandbox", "PASS", fact, why)
    is_required = any(repository.sandbox == "required" for repository in config.repository)
    result: Result = "FAIL" if is_required else "WARN"
    return Finding("sandbox", result, proof.why, why, proof.next_step)


def _checks(repository: Repository) -> Iterator[Finding]:
    name = f"checks {repository.name}"
    if not repository.checks:
        why = "patches land unchecked"
        yield Finding(name, "WARN", "none configured", why, "add checks = [...] to runner.toml")


def _runner(config: Config) -> Finding:
    why = "patches wait without it"
    if lock_is_held(config.state.dir):
        return Finding("runner", "PASS", "a runner holds the state directory", why)
    return Finding("runner", "WARN", "no runner is alive", why, "gcr up")


def _gateway(session: Session, config: Config) -> Finding:
    try:
        body = anonymous(session, None).call("GET", "/health", seconds=3).body
    except CommandFailed as error:
        return _no_gateway(config, error)
    status = body.get("overall_status", "no health answer")
    fact, why = f"{config.server.url} is {status}", "it serves the webhook"
    mend = "" if status == "healthy" else "gcr status"
    return Finding.of("gateway", fact, why, mend, otherwise="WARN")


def _no_gateway(config: Config, error: CommandFailed) -> Finding:
    why = "the webhook is not served"
    try:
        refuse_taken_port(config.server.host, config.server.port)
    except PortTaken as taken:
        mend = "end that program, or set [server] port in runner.toml"
        return Finding("gateway", "FAIL", str(taken), why, mend)
    return Finding("gateway", "WARN", error.message, why, "gcr up")
