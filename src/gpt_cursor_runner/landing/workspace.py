"""Throw-away workspaces: the files of the sealed tree, without `.git`; removed
when the checks are over.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.objects import Objects
from gpt_cursor_runner.landing.tree_files import Owner, TreeFiles, give
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.system import processes

_GROUP_NAME = "process-group"
_REMOVE_SECONDS = 600.0
# psutil computes the start of a process from the time of the boot, which shifts
# when the clock is set.
_CLOCK_SLACK_SECONDS = 2.0


class Workspace:
    """A fresh directory for one run of commands; removed with all in it at the
    end.

    `tree` holds the files: a copy (`fill`), or an overlay over directories that
    stay as they are (`lay_over`), whose changes are in `upper`. `home` and `tmp`
    are for commands without a sandbox.
    """

    def __init__(self, directory: Path, owner: Owner | None = None) -> None:
        self.directory = directory
        self.tree = directory / "tree"
        self.upper = directory / "upper"
        self.work = directory / "work"
        self.home = directory / "home"
        self.tmp = directory / "tmp"
        self.lower: tuple[Path, ...] = ()
        self._owner = owner

    def __enter__(self) -> Self:
        remove(self.directory)
        self.directory.mkdir(parents=True, mode=0o700)
        for path in (self.tree, self.upper, self.work, self.home, self.tmp):
            path.mkdir(mode=0o700)
            give(self._owner, path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        remove(self.directory)

    def fill(self, git: Git, tree_oid: str, tick: Callable[[], None] = lambda: None) -> None:
        """Write the tree out and call `tick` for each directory."""
        with Objects(git) as objects:
            TreeFiles(objects, self._owner, tick).write(tree_oid, self.tree)

    def lay_over(self, lower: Sequence[Path]) -> None:
        """Show the contents of these directories, the first on top; they are
        only read.
        """
        self.lower = tuple(lower)

    def written(self, path: str) -> Path:
        """A path of the tree that a command has made."""
        if self.lower:
            return self.upper / path
        return self.tree / path

    def holds(self, path: str) -> bool:
        """Whether a path of the tree exists."""
        directories = (self.tree, self.upper, *self.lower)
        return any(os.path.lexists(directory / path) for directory in directories)

    def note_group(self, pid: int) -> None:
        """Record the process group that runs here, so that a later runner can
        end it if this one is killed.
        """
        with suppress(psutil.NoSuchProcess):
            started_at = psutil.Process(pid).create_time()
            (self.directory / _GROUP_NAME).write_text(f"{pid} {started_at}")


def sweep(workspaces: Path) -> list[str]:
    """End the processes and remove the workspaces that a killed runner left
    behind; return their names.
    """
    if not workspaces.is_dir():
        return []
    left_behind = sorted(workspaces.iterdir())
    for directory in left_behind:
        _end_group(directory / _GROUP_NAME)
        # A workspace that stays does not keep the runner from starting; the
        # patch that needs its name fails with the reason.
        with suppress(WorldFailed):
            remove(directory)
    return [directory.name for directory in left_behind]


def remove(directory: Path) -> None:
    """Remove a directory whatever checked code made of it; raise WorldFailed
    when a part of it stays.
    """
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
    with suppress(OSError, RecursionError):
        shutil.rmtree(directory)
    if directory.exists():
        # Directories without permissions, or nested deeper than a path or
        # Python's stack can hold. These two tools remove them.
        for tool in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            with suppress(processes.DeadlinePassed):
                processes.run(
                    [*tool, "--", str(directory)],
                    _REMOVE_SECONDS,
                    environment={"PATH": os.defpath},
                )
    if directory.exists():
        raise WorldFailed("workspace_stuck", f"{directory} cannot be removed", "Remove it by hand.")


def _end_group(note: Path) -> None:
    """Kill the process group that a workspace notes, unless its number belongs
    to another process by now.
    """
    try:
        number, noted_start = note.read_text().split()
        group = int(number)
        started_at = float(noted_start)
    except (OSError, ValueError):
        return
    if group > 1 and _is_ours(group, started_at, note.parent):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _is_ours(group: int, started_at: float, workspace: Path) -> bool:
    try:
        age_difference = psutil.Process(group).create_time() - started_at
    except psutil.NoSuchProcess:
        # The leader has ended. Its children keep the number of the group, and
        # are recognised by their working directory.
        return any(_works_in(process, group, workspace) for process in psutil.process_iter())
    return abs(age_difference) < _CLOCK_SLACK_SECONDS


def _works_in(process: psutil.Process, group: int, workspace: Path) -> bool:
    try:
        if os.getpgid(process.pid) != group:
            return False
        return Path(process.cwd()).is_relative_to(workspace.resolve())
    except (OSError, psutil.Error):
        return False
