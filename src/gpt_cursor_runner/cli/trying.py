"""Tries setup commands and checks on a branch, for `gcr init`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from gpt_cursor_runner.cli.ecosystems.project import Proposal
from gpt_cursor_runner.cli.output import plain
from gpt_cursor_runner.cli.rehearsing import (
    Rehearsal,
    keep_setup_log,
    last_lines,
    run_rehearsal,
)
from gpt_cursor_runner.config import Check, Config, Repository, Setup
from gpt_cursor_runner.landing.checking import CheckResult, readable_tail
from gpt_cursor_runner.landing.preparing import PreparedLayer, SetupFailed
from gpt_cursor_runner.landing.sandbox.choosing import Proof
from gpt_cursor_runner.patch.faults import WorldFailed


@dataclass(frozen=True)
class Failure:
    """Why a proposal does not work: a sentence, the end of the output, and the
    file with all of it.
    """

    reason: str
    tail: str = ""
    log: Path | None = None

    def to_json(self) -> dict[str, Any]:
        log = None
        if self.log is not None:
            log = str(self.log)
        return {"reason": self.reason, "tail": last_lines(self.tail), "log": log}


@dataclass(frozen=True)
class Attempt:
    """One try of a proposal. `left_out` are tests that fail on the branch as it
    is, which its check does not run; `generated` are sources that setup made and
    did not keep.
    """

    proposal: Proposal
    seconds: float
    failure: Failure | None = None
    left_out: tuple[str, ...] = ()
    failed_in_setup: bool = False
    generated: tuple[str, ...] = ()

    @property
    def worked(self) -> bool:
        return self.failure is None

    def to_json(self) -> dict[str, Any]:
        failure = None
        if self.failure is not None:
            failure = self.failure.to_json()
        return {
            "ecosystem": self.proposal.ecosystem,
            "title": self.proposal.title,
            "setup": [list(setup.command) for setup in self.proposal.setup],
            "checks": [list(check.command) for check in self.proposal.checks],
            "worked": self.worked,
            "seconds": self.seconds,
            "failure": failure,
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True)
class Trial:
    """The means to try proposals for a repository, which has no setup commands
    and checks yet. The progress goes to standard error.
    """

    config: Config
    repository: Repository
    proof: Proof

    def first_that_works(self, proposals: Sequence[Proposal]) -> list[Attempt]:
        """The attempts, of which the last worked, or none did."""
        attempts = []
        failed_setups = []
        for number, proposal in enumerate(proposals, 1):
            if proposal.setup in failed_setups:
                continue
            name = f"{proposal.ecosystem} {proposal.title}".strip()
            _show(f"trying    {name} ({number} of {len(proposals)} at most)")
            attempt = self._attempt(proposal, self._logs(number))
            attempts.append(attempt)
            _show_end(attempt)
            if attempt.worked:
                break
            if attempt.failed_in_setup:
                failed_setups.append(proposal.setup)
        return attempts

    def _logs(self, number: int) -> Path:
        return self.config.state.logs_dir / "init" / self.repository.name / str(number)

    def _attempt(self, proposal: Proposal, logs: Path) -> Attempt:
        began = time.monotonic()
        attempt = self._rehearse(proposal, logs)
        if attempt.failure is not None and attempt.generated:
            _show(f"          setup generates {', '.join(attempt.generated)}; trying with them")
            attempt = self._rehearse(_providing(proposal, attempt.generated), logs / "generated")
        narrowed = self._narrow(attempt, logs)
        if narrowed is not None:
            left_out = narrowed.left_out
            _show(f"          {len(left_out)} tests fail on the branch; trying without them")
            second = self._rehearse(narrowed.proposal, logs / "narrowed")
            attempt = replace(second, left_out=left_out)
        return replace(attempt, seconds=round(time.monotonic() - began, 1))

    def _narrow(self, attempt: Attempt, logs: Path) -> Attempt | None:
        """The attempt to make without the tests that failed in this one."""
        if attempt.failure is None:
            return None
        checks: list[Check] = []
        left_out: list[str] = []
        for check in attempt.proposal.checks:
            narrowed = None
            log = logs / f"{check.name}.log"
            if log == attempt.failure.log:
                narrowed = attempt.proposal.narrow(check, log.read_text(errors="replace"))
            if narrowed is not None:
                left_out += narrowed.left_out
                check = narrowed.check  # noqa: PLW2901  the check in its place
            checks.append(check)
        if not left_out:
            return None
        proposal = replace(attempt.proposal, checks=tuple(checks))
        return Attempt(proposal, 0.0, left_out=tuple(left_out))

    def _rehearse(self, proposal: Proposal, logs: Path) -> Attempt:
        members = {
            "setup": proposal.setup,
            "checks": proposal.checks,
            "sandbox_read_only": tuple(map(Path, proposal.shown)),
        }
        repository = self.repository.model_copy(update=members)
        progress = _Progress(repository)
        try:
            rehearsal = run_rehearsal(self.config, repository, self.proof, logs, progress)
        except SetupFailed as failed:
            tail = readable_tail(failed.ended.output)
            reason = f"the setup command {failed.ended.status}"
            failure = Failure(reason, tail, keep_setup_log(logs, failed))
            _show(f"  setup   {failed.ended.status}, {_timed(failed.setup, failed.ended.seconds)}")
            return Attempt(proposal, 0.0, failure, failed_in_setup=True)
        except WorldFailed as error:
            return Attempt(proposal, 0.0, Failure(error.message))
        problem = _failure(rehearsal, repository, logs)
        return Attempt(proposal, 0.0, problem, generated=tuple(progress.generated))


def _providing(proposal: Proposal, generated: Sequence[str]) -> Proposal:
    """The proposal with generated sources among what its setup provides."""
    setups = []
    for setup in proposal.setup:
        setups.append(setup.model_copy(update={"provides": (*setup.provides, *generated)}))
        # One command makes each of them.
        generated = ()
    return replace(proposal, setup=tuple(setups))


def _failure(rehearsal: Rehearsal, repository: Repository, logs: Path) -> Failure | None:
    for result in rehearsal.on_branch:
        if result.status != "passed":
            reason = f"{result.name} {result.status} on {repository.branch}"
            return Failure(reason, result.tail, logs / f"{result.name}.log")
    if rehearsal.notices_hollow:
        return None
    last = rehearsal.on_hollow[-1]
    reason = "the checks pass also when every source file is empty, so they test nothing"
    return Failure(reason, last.tail, logs / "hollow" / f"{last.name}.log")


@dataclass(frozen=True)
class _Progress:
    """Shows each step of a rehearsal when it has ended."""

    repository: Repository
    generated: list[str] = field(default_factory=list)

    def setup_ended(self, layer: PreparedLayer) -> None:
        self.generated.extend(layer.generated)
        if layer.ended is not None:
            _show(f"  setup   {layer.ended.status}, {_timed(layer.setup, layer.ended.seconds)}")

    def check_ended(self, result: CheckResult, is_hollow: bool) -> None:
        place = f"on {self.repository.branch}"
        if is_hollow:
            place = "without the sources"
        command = command_line(result.command)
        _show(f"  {result.name:7} {result.status} {place}, {result.seconds:.1f} s: {command}")


def _timed(setup: Setup, seconds: float) -> str:
    return f"{seconds:.1f} s: {command_line(setup.command)}"


def command_line(command: Sequence[str]) -> str:
    """A command as a line of shell."""
    if tuple(command[:2]) == ("sh", "-c") and len(command) == 3:
        return command[2]
    return shlex.join(command)


def _show_end(attempt: Attempt) -> None:
    failure = attempt.failure
    if failure is None:
        _show("works     it passes on the branch, and fails without the sources")
        return
    _show(f"no        {failure.reason}")
    if failure.tail:
        for line in last_lines(failure.tail):
            _show(f"          {line}")
    if failure.log is not None:
        _show(f"          all of it: {failure.log}")


def _show(line: str) -> None:
    click.echo(plain(line), err=True)
