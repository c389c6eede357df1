"""Runs the owner's checks on a sealed tree, records each result, and decides
whose fault a failure is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gpt_cursor_runner.config import Check, Repository
from gpt_cursor_runner.landing.checking import CheckResult, readable_tail
from gpt_cursor_runner.landing.counting import KnownCounts
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.preparing import Preparation, PreparedLayer, SetupFailed, Stores
from gpt_cursor_runner.landing.sandbox.model import Sandbox
from gpt_cursor_runner.landing.sealing import Sealed
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.patch.events import (
    Checked,
    Compared,
    EventPayload,
    NotChecked,
    Prepared,
)
from gpt_cursor_runner.patch.faults import (
    ApprovalRule,
    Fault,
    HumanNeeded,
    PatchRefused,
    WorldFailed,
)

_TAIL_LINES = 12
_TAIL_CHARS = 200


@dataclass(frozen=True)
class Checks:
    """The owner's checks and the means to run them. `tick` is called several
    times a second and raises when the attempt must stop.
    """

    repository: Repository
    git: Git
    sandbox: Callable[[], Sandbox]
    stores: Stores
    evidence: Evidence
    workspace: Path
    record: Callable[[EventPayload], None]
    tick: Callable[[], None]
    is_approved: bool = False

    def run(self, sealed: Sealed) -> list[CheckResult]:
        """Run every check on the sealed tree, up to the first required one that
        does not pass.

        Raises PatchRefused when it passes without the patch; WorldFailed when
        it fails without it as well, or a program of this machine is missing;
        HumanNeeded when fewer tests ran than without the patch.
        """
        if not self.repository.checks:
            self.record(NotChecked(sealed.tree, "the owner configured no checks"))
            return []
        # The logs of an earlier round would pass for those of this one.
        self.evidence.forget_check_logs()
        sandbox = self.sandbox()
        results = []
        try:
            for result in self._results(sealed, sandbox):
                self.record(Checked(sealed.tree, sandbox.why, **result.to_json()))
                results.append(result)
        except SetupFailed as failed:
            self._refuse_setup(failed, sealed, sandbox)
        for check, result in zip(self.repository.checks, results, strict=False):
            if check.required and result.status != "passed":
                self._refuse(check, result, sealed, sandbox)
            self._require_as_many_tests(check, result, sealed, sandbox)
        return results

    def _results(self, sealed: Sealed, sandbox: Sandbox) -> Iterator[CheckResult]:
        preparation = self._preparation(sealed.tree, sandbox)
        with preparation.open(sealed.tree, sealed.commit) as ready:
            for number, check in enumerate(self.repository.checks, start=1):
                result = ready.run(check, self.evidence.check_log(number, check.name))
                yield result
                # The first failure ends the run: the others cannot change the
                # outcome, and the sender waits.
                if check.required and result.status != "passed":
                    return

    def _refuse(
        self, check: Check, result: CheckResult, sealed: Sealed, sandbox: Sandbox
    ) -> NoReturn:
        """Raise whose fault it is: a check that does not pass without the patch
        either is the owner's to mend.
        """
        if result.status == "not_started" and not _is_in_tree(check.command[0]):
            raise _missing_program(result)
        compared = self._compare(check, sealed.base, sandbox)
        if compared.status != "passed":
            raise _fails_without_patch(compared, self.repository)
        raise PatchRefused([_failed_check(result)], code="checks_failed")

    def _require_as_many_tests(
        self, check: Check, result: CheckResult, sealed: Sealed, sandbox: Sandbox
    ) -> None:
        """Raise HumanNeeded when the patch makes a check run fewer tests, which
        would let it pass for less.
        """
        if result.tests is None:
            return
        counts = KnownCounts(self.stores.counts)
        fewer = result.tests < counts.get(check.name, 0)
        if fewer and check.required and not self.is_approved:
            # The owner may have removed tests since; the branch itself decides.
            compared = self._compare(check, sealed.base, sandbox)
            if result.tests < (compared.tests or 0):
                raise _fewer_tests(result, compared, self.repository)
        counts.put(check.name, result.tests)

    def _compare(self, check: Check, base: str, sandbox: Sandbox) -> CheckResult:
        tree = self.git.line("rev-parse", f"{base}^{{tree}}")
        preparation = self._preparation(tree, sandbox)
        try:
            with preparation.open(tree, base) as ready:
                result = ready.run(check, self.evidence.compared_log(check.name))
        except SetupFailed as failed:
            raise _setup_fails_without_patch(failed, self.repository) from failed
        self.record(
            Compared(
                tree,
                check.name,
                result.status,
                result.exit_code,
                result.seconds,
                result.tail,
                result.tests,
            )
        )
        return result

    def _refuse_setup(self, failed: SetupFailed, sealed: Sealed, sandbox: Sandbox) -> NoReturn:
        """Raise whose fault it is: a patch that leaves the files of a setup
        command as they were has not caused its failure.
        """
        log = self.evidence.check_log(0, "setup")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(failed.ended.output)
        base = self.git.line("rev-parse", f"{sealed.base}^{{tree}}")
        preparation = self._preparation(sealed.tree, sandbox)
        if preparation.layer_keys(base) == preparation.layer_keys(sealed.tree):
            raise _setup_fails_without_patch(failed, self.repository) from failed
        raise PatchRefused([_failed_setup(failed)], code="checks_failed") from failed

    def _preparation(self, tree: str, sandbox: Sandbox) -> Preparation:
        def report(layer: PreparedLayer) -> None:
            seconds = None
            if layer.ended is not None:
                seconds = layer.ended.seconds
            self.record(Prepared(tree, layer.setup.command, layer.key, seconds))

        return Preparation(
            self.repository, self.git, sandbox, self.stores, self.workspace, self.tick, report
        )


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


def _fails_without_patch(compared: CheckResult, repository: Repository) -> WorldFailed:
    return WorldFailed(
        "check_fails_on_branch",
        f"the check '{compared.name}' {_failure(compared)} on {repository.branch} without the patch"
        " as well, so it says nothing about the patch",
        f"Mend {repository.branch} or the check (`gcr doctor --checks`), then `gcr retry` the"
        " patch.",
        retry=False,
    )


def _fewer_tests(
    result: CheckResult, compared: CheckResult, repository: Repository
) -> HumanNeeded | PatchRefused:
    message = (
        f"the check '{result.name}' ran {result.tests} tests, and {compared.tests} without the"
        " patch"
    )
    if repository.approval == "never":
        next_step = "Keep the tests, and send the patch under a new id."
        return PatchRefused([Fault("check_fewer_tests", message, next_step)], code="checks_failed")
    next_step = "Look at the diff, then approve or reject."
    return HumanNeeded("needs_approval", message, next_step, ApprovalRule(()))


def _setup_fails_without_patch(failed: SetupFailed, repository: Repository) -> WorldFailed:
    return WorldFailed(
        "setup_failed",
        f"{failed}; the patch changes none of the files it depends on",
        f"Mend the setup of {repository.name} (`gcr doctor --checks`), then `gcr retry` the patch.",
    )


def _failed_setup(failed: SetupFailed) -> Fault:
    return Fault(
        code="setup_failed",
        message=f"{failed}, with the files that the patch changes",
        next_step="Read its output, correct the patch, and send it under a new id.",
        expected=_last_lines(readable_tail(failed.ended.output)),
    )


def _failed_check(result: CheckResult) -> Fault:
    return Fault(
        code=f"check_{result.status}",
        message=f"the check '{result.name}' {_failure(result)}",
        next_step="Read its output, correct the patch, and send it under a new id.",
        expected=_last_lines(result.tail),
    )


def _failure(result: CheckResult) -> str:
    if result.status == "over_limit":
        return f"went over its limit of {_LIMIT_NAMES[result.limit or 'memory']}"
    failed = f"failed with exit code {result.exit_code}"
    return _FAILURES.get(result.status, failed)


_FAILURES = {
    "timed_out": "ran out of time",
    "not_started": "could not be started",
    "no_tests": "ran no test",
}
_LIMIT_NAMES = {
    "memory": "memory (sandbox.memory_mb)",
    "processes": "processes (sandbox.processes)",
    "workspace": "disk space in the workspace (sandbox.workspace_mb)",
    "tmp": "temporary space (sandbox.tmp_mb)",
    "file": "file size (sandbox.file_mb)",
}


def _last_lines(tail: str) -> tuple[str, ...]:
    return tuple(tail.splitlines()[-_TAIL_LINES:])
