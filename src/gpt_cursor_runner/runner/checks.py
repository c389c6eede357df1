"""Runs the owner's checks on a sealed tree, records each result, and decides
whose fault a failure is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.config import Check
from gpt_cursor_runner.landing.checking import CheckResult, run_check
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.sandbox import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.patch.events import Checked, EventPayload, NotChecked
from gpt_cursor_runner.patch.faults import Fault, PatchRefused, WorldFailed

_TAIL_LINES = 12
_TAIL_CHARS = 200


@dataclass(frozen=True)
class Checks:
    """The owner's checks and the means to run them. `tick` is called several
    times a second and raises when the attempt must stop.
    """

    checks: Sequence[Check]
    git: Git
    sandbox: Callable[[], Sandbox]
    evidence: Evidence
    workspace: Path
    record: Callable[[EventPayload], None]
    tick: Callable[[], None]

    def run(self, tree: str) -> list[CheckResult]:
        """Run every check on the tree, up to the first that does not pass.

        Raises PatchRefused when a check fails, WorldFailed when a program of
        this machine is missing.
        """
        if not self.checks:
            self.record(NotChecked(tree, "the owner configured no checks"))
            return []
        # The logs of an earlier round would pass for those of this one.
        self.evidence.forget_check_logs()
        sandbox = self.sandbox()
        results = []
        with Workspace(self.workspace) as workspace:
            workspace.fill(self.git, tree, self.tick)
            for number, check in enumerate(self.checks, start=1):
                log = self.evidence.check_log(number, check.name)
                result = run_check(check, workspace, sandbox, log, self.tick)
                self.record(Checked(tree, sandbox.why, **result.to_json()))
                # The first failure ends the run: the others cannot change the
                # outcome, and the sender waits.
                _require_passed(result)
                results.append(result)
        return results


def _require_passed(result: CheckResult) -> None:
    if result.status == "not_started" and not _is_in_tree(result.command[0]):
        raise _missing_program(result)
    if result.status != "passed":
        raise PatchRefused([_failed_check(result)], code="checks_failed")


def _is_in_tree(program: str) -> bool:
    """Whether the program is a file of the repository, which a patch can
    delete.
    """
    return "/" in program and not program.startswith("/")


def _missing_program(result: CheckResult) -> WorldFailed:
    reason = result.tail.strip()[-_TAIL_CHARS:]
    return WorldFailed(
        "check_not_started",
        f"the check '{result.name}' could not be started: {reason}",
        f"Install {result.command[0]}, or correct the check in runner.toml; then `gcr retry` the"
        " patch.",
    )


def _failed_check(result: CheckResult) -> Fault:
    match result.status:
        case "timed_out":
            failure = "ran out of time"
        case "not_started":
            failure = "could not be started"
        case _:
            failure = f"failed with exit code {result.exit_code}"
    return Fault(
        code=f"check_{result.status}",
        message=f"the check '{result.name}' {failure}",
        next_step="Read its output, correct the patch, and send it under a new id.",
        expected=tuple(result.tail.splitlines()[-_TAIL_LINES:]),
    )
