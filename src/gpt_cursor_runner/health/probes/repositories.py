"""Checks that patches can land in the configured repositories: each exists, has
its branch, and holds no lock file of another program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import (
    SEVERITY,
    CheckStatus,
    Criticality,
    ProbeSpec,
    Reading,
)
from gpt_cursor_runner.health.probes.ages import UnchangedTimer
from gpt_cursor_runner.health.probes.disk_worker_client import DiskWorkerClient, DiskWorkerDied
from gpt_cursor_runner.landing.git import GitFailed, run_in
from gpt_cursor_runner.landing.readiness import GIT_SECONDS
from gpt_cursor_runner.patch.faults import Fault, WorldFailed
from gpt_cursor_runner.system.clock import boottime

# git holds these locks for as long as it writes one file; a minute later the
# program that made the lock is dead.
FOREIGN_LOCK_SECONDS = 60.0
_MAX_SHOWN = 50
_LOCKS = ("index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock")


@dataclass(frozen=True)
class _State:
    """The state of one repository; `directory` is its git directory."""

    code: str
    message: str = ""
    remedy: str = ""
    directory: str = ""


class RepositoriesProbe:
    """`obstacles` returns the reasons why no patch can land in a repository,
    `runner_works` whether the runner works on a patch, which makes
    locks of its own.

    The disk worker reads the paths and git is a process, so that a dead disk
    does not hold the gateway.
    """

    spec = ProbeSpec(
        "repositories",
        "repositories",
        Criticality.IMPAIRING,
        interval_seconds=30.0,
        deadline_seconds=10.0,
    )
    codes = CodeTable(
        ok=Code(CheckStatus.OK),
        # The remedies of these are those of the obstacles.
        missing=Code(CheckStatus.FAIL),
        not_a_repository=Code(CheckStatus.FAIL),
        no_branch=Code(CheckStatus.FAIL),
        blocked=Code(CheckStatus.FAIL),
        foreign_lock=Code(
            CheckStatus.WARN, "Check that no git process runs there; then remove the lock file."
        ),
        no_answer=Code(CheckStatus.UNKNOWN, "Check that the disk of the repository responds."),
        helper_died=Code(CheckStatus.UNKNOWN),
    )

    def __init__(
        self,
        repositories: Callable[[], Sequence[Repository]],
        obstacles: Callable[[Repository], list[Fault]],
        search_path: str,
        runner_works: Callable[[], bool],
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self._repositories = repositories
        self._obstacles = obstacles
        self._search_path = search_path
        self._runner_works = runner_works
        self._monotonic = monotonic
        self._worker = DiskWorkerClient()
        self._lock_timers: dict[str, UnchangedTimer] = {}

    def read(self) -> Reading:
        """Judge each repository; the worst of them gives the code."""
        repositories = self._repositories()
        states = {}
        try:
            for repository in repositories:
                states[repository.name] = self._inspect(repository)
            locks = self._old_locks(repositories, states)
        except DiskWorkerDied as error:
            return self.codes.reading("helper_died", str(error))
        for name, lock in locks.items():
            message = f"{lock} has existed for over a minute"
            states[name] = replace(states[name], code="foreign_lock", message=message)
        return self._worst(states)

    def close(self) -> None:
        self._worker.close()

    def _worst(self, states: Mapping[str, _State]) -> Reading:
        def severity(named: tuple[str, _State]) -> int:
            return SEVERITY[self.codes[named[1].code].status]

        worst_first = sorted(states.items(), key=severity, reverse=True)
        data = {}
        for name, state in worst_first[:_MAX_SHOWN]:
            data[name] = {
                "status": self.codes[state.code].status.value,
                "code": state.code,
            }
        messages = [f"{name}: {state.message}" for name, state in worst_first if state.message]
        worst = _State("ok")
        if worst_first:
            worst = worst_first[0][1]
        reading = self.codes.reading(worst.code, "; ".join(messages), data)
        if worst.remedy:
            return replace(reading, remedy=worst.remedy)
        return reading

    def _inspect(self, repository: Repository) -> _State:
        faults = self._obstacles(repository)
        if faults:
            fault = faults[0]
            code = fault.code
            if code not in self.codes:
                code = "blocked"
            return _State(code, fault.message, fault.next_step)
        try:
            directory = run_in(
                repository.path,
                self._search_path,
                "rev-parse",
                "--path-format=absolute",
                "--git-common-dir",
                deadline_seconds=GIT_SECONDS,
            )
        except (GitFailed, WorldFailed) as error:
            return _State("no_answer", str(error))
        return _State("ok", directory=directory)

    def _old_locks(
        self, repositories: Sequence[Repository], states: Mapping[str, _State]
    ) -> dict[str, str]:
        """The file name of an old lock by the name of its repository."""
        names = _names_by_lock(repositories, states)
        # The ages are updated also while the runner works: a lock that is older
        # than the patch is reported when the patch is done.
        ages = self._lock_ages(list(names))
        if self._runner_works():
            return {}
        return {
            names[path]: Path(path).name
            for path, seconds in ages.items()
            if seconds > FOREIGN_LOCK_SECONDS
        }

    def _lock_ages(self, paths: Sequence[str]) -> dict[str, float]:
        """Seconds since each existing file was first observed as it is."""
        existing = self._worker.request("stat_files", paths)
        now = self._monotonic()
        timers = {path: self._lock_timers.get(path, UnchangedTimer()) for path in existing}
        self._lock_timers = timers
        return {path: timer.update(existing[path], now) for path, timer in timers.items()}


def _names_by_lock(
    repositories: Sequence[Repository], states: Mapping[str, _State]
) -> dict[str, str]:
    names = {}
    for repository in repositories:
        directory = states[repository.name].directory
        if directory:
            for lock in (*_LOCKS, f"refs/heads/{repository.branch}.lock"):
                names[f"{directory}/{lock}"] = repository.name
    return names
