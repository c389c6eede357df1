"""Can patches land in the configured repositories: are they there, with their
branches, and free of strange locks?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.health.monitor.model import SEVERITY, Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.arrivals import Since
from gpt_cursor_runner.health.probes.disk_worker_client import FilesystemProcess, ProcessDied
from gpt_cursor_runner.landing.git import Git, GitFailed, run_in
from gpt_cursor_runner.patch.outcome import WorldFailed
from gpt_cursor_runner.system.clock import boottime

FOREIGN_LOCK_SECONDS = 60.0
_MOST_SHOWN = 50
_GIT_SECONDS = 5.0
_LOCKS = ("index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock")
_REMEDIES = {
    "missing": "Bring the repository back, or correct its path in runner.toml.",
    "not_a_repository": "Correct the path in runner.toml, or run `git init` there.",
    "no_branch": "Name an existing branch in runner.toml, or make a first commit on it.",
    "foreign_lock": "See whether a git still runs there; if none does, remove the lock file.",
    "no_answer": "See whether its disk answers.",
}


@dataclass(frozen=True)
class WatchedRepository:
    """One of the configured repositories."""

    name: str
    path: Path
    branch: str


@dataclass(frozen=True)
class _Look:
    status: Status
    code: str
    message: str = ""
    directory: str = ""


class RepositoriesProbe:
    """`at_work` says whether a runner works now: then locks are its own, or
    those of the git it waits for.

    Paths are looked at by another process, and git is one: a dead disk holds
    neither the gateway nor its port.
    """

    spec = ProbeSpec(
        "repositories",
        "repositories",
        Criticality.IMPAIRING,
        interval_seconds=30.0,
        deadline_seconds=10.0,
    )

    def __init__(
        self,
        repositories: Sequence[WatchedRepository],
        search_path: str,
        at_work: Callable[[], bool],
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self._repositories = repositories
        self._search_path = search_path
        self._at_work = at_work
        self._monotonic = monotonic
        self._process = FilesystemProcess()
        self._locks: dict[str, Since] = {}

    def read(self) -> Reading:
        """Each repository in turn; the worst of them is the code."""
        try:
            found = {one.name: self._look(one) for one in self._repositories}
            locked = self._long_locked(found)
        except ProcessDied as died:
            return Reading(Status.UNKNOWN, "helper_died", str(died))
        looks = {name: _with_lock(look, locked.get(name)) for name, look in found.items()}
        worst_first = sorted(looks.items(), key=lambda named: -SEVERITY[named[1].status])
        data = {
            name: {"status": look.status.value, "code": look.code}
            for name, look in worst_first[:_MOST_SHOWN]
        }
        worst = worst_first[0][1] if worst_first else _Look(Status.OK, "ok")
        said = [f"{name}: {look.message}" for name, look in worst_first if look.message]
        return Reading(
            worst.status, worst.code, "; ".join(said), data, _REMEDIES.get(worst.code, "")
        )

    def close(self) -> None:
        """End the process; a `read` under way sees it die."""
        self._process.close()

    def _look(self, one: WatchedRepository) -> _Look:
        path = str(one.path)
        if path not in self._process.ask("find", [path]):
            return _Look(Status.FAIL, "missing", f"{path} is not there")
        ref = f"refs/heads/{one.branch}"
        try:
            directory = run_in(
                one.path,
                self._search_path,
                "rev-parse",
                "--path-format=absolute",
                "--git-common-dir",
                deadline_seconds=_GIT_SECONDS,
            )
            git = Git(Path(directory), self._search_path, deadline_seconds=_GIT_SECONDS)
            if git.resolve(ref) is None:
                return _Look(
                    Status.FAIL, "no_branch", f"it has no branch {one.branch} with a commit on it"
                )
        except GitFailed:
            return _Look(Status.FAIL, "not_a_repository", f"{path} is not a git repository")
        except WorldFailed as trouble:
            return _Look(Status.UNKNOWN, "no_answer", trouble.message)
        return _Look(Status.OK, "ok", directory=directory)

    def _long_locked(self, looks: dict[str, _Look]) -> dict[str, str]:
        """By repository: the file name of a lock that nobody of ours holds, and
        that stays.
        """
        branches = {one.name: one.branch for one in self._repositories}
        paths = {
            f"{look.directory}/{lock}": name
            for name, look in looks.items()
            if look.directory
            for lock in (*_LOCKS, f"refs/heads/{branches[name]}.lock")
        }
        there, now = self._process.ask("find", list(paths)), self._monotonic()
        self._locks = {path: self._locks.get(path, Since()) for path in there}
        held = {path: since.seconds(there[path], now) for path, since in self._locks.items()}
        if self._at_work():
            return {}
        return {
            paths[path]: Path(path).name
            for path, seconds in held.items()
            if seconds > FOREIGN_LOCK_SECONDS
        }


def _with_lock(look: _Look, lock: str | None) -> _Look:
    if lock is None:
        return look
    return _Look(
        Status.WARN, "foreign_lock", f"{lock} has been there for over a minute", look.directory
    )
