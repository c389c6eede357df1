"""Throw-away workspaces: the sealed tree written out byte for byte, without
`.git`, gone when the checks are over.

The tree is written from the blobs themselves, not by git's checkout: filters,
line-end conversion and `export-ignore` would make it another tree than the one
that lands.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.objects import Objects, TreeEntry
from gpt_cursor_runner.patch.faults import WorldFailed

_GROUP_NAME = "process-group"
# When a process began is counted from the boot, and the time of the boot shifts
# as the clock is set.
_CLOCK_SLACK_SECONDS = 2.0


class Workspace:
    """A fresh directory with the tree in `tree`, an empty `home` and `tmp`;
    removed with all in it at the end.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tree = directory / "tree"
        self.home = directory / "home"
        self.tmp = directory / "tmp"

    def __enter__(self) -> Self:
        remove(self.directory)
        self.tree.mkdir(parents=True, mode=0o700)
        self.home.mkdir(mode=0o700)
        self.tmp.mkdir(mode=0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        remove(self.directory)

    def fill(self, git: Git, tree_oid: str, tick: Callable[[], None] = lambda: None) -> None:
        """Write the tree out, calling `tick` for each directory. Submodules
        become empty directories, as in a clone.
        """
        with Objects(git) as objects:
            _fill(objects, tree_oid, self.tree, tick)

    def note_group(self, pid: int) -> None:
        """Remember whose process group runs here, so that a later runner can
        end it if this one is killed.
        """
        with suppress(psutil.NoSuchProcess):
            (self.directory / _GROUP_NAME).write_text(f"{pid} {psutil.Process(pid).create_time()}")


def sweep(workspaces: Path) -> list[str]:
    """End what a killed runner left running, and remove what it left lying; the
    names of those workspaces.
    """
    left = sorted(workspaces.iterdir()) if workspaces.is_dir() else []
    for directory in left:
        _end_group(directory / _GROUP_NAME)
        with suppress(
            WorldFailed
        ):  # one that stays is no reason not to start; whoever needs its name will say so
            remove(directory)
    return [directory.name for directory in left]


def remove(directory: Path) -> None:
    """Remove a directory whatever checked code made of it; raise WorldFailed
    when something of it stays.
    """
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
    with suppress(OSError, RecursionError):
        shutil.rmtree(directory)
    if directory.exists():
        # Closed directories, or some nested deeper than a path or Python's
        # stack can name; these two know how.
        for tool in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run(
                [*tool, "--", str(directory)],
                env={"PATH": os.defpath},
                capture_output=True,
                check=False,
            )
    if directory.exists():
        raise WorldFailed("workspace_stuck", f"{directory} cannot be removed", "Remove it by hand.")


def _fill(objects: Objects, tree_oid: str, directory: Path, tick: Callable[[], None]) -> None:
    tick()
    for entry in objects.tree(tree_oid):
        if "/" in entry.name or entry.name in ("", ".", ".."):
            # git refuses to check such a tree out; a repository may hold one
            # all the same.
            reason = (
                f"the tree {tree_oid} holds the name {entry.name!r}, which would lead out of the"
                " workspace"
            )
            raise WorldFailed("tree_unsafe", reason, "Check the repository with `git fsck`.")
        target = directory / entry.name
        if entry.kind in ("directory", "submodule"):
            target.mkdir()
            if entry.kind == "directory":
                _fill(objects, entry.oid, target, tick)
        else:
            _write(objects, entry, target)


def _write(objects: Objects, entry: TreeEntry, target: Path) -> None:
    _, chunks = objects.open(entry.oid)
    if entry.kind == "symlink":
        target.symlink_to(os.fsdecode(b"".join(chunks)))
        return
    mode = 0o755 if entry.kind == "executable" else 0o644
    with os.fdopen(
        os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb"
    ) as file:
        file.writelines(chunks)


def _end_group(note: Path) -> None:
    """Kill the process group a workspace notes, unless its number has gone to
    somebody else since.
    """
    try:
        number, created_at = note.read_text().split()
        group, began = int(number), float(created_at)
    except (OSError, ValueError):
        return
    if group > 1 and _is_ours(group, began, note.parent):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _is_ours(group: int, began: float, workspace: Path) -> bool:
    try:
        return abs(psutil.Process(group).create_time() - began) < _CLOCK_SLACK_SECONDS
    except psutil.NoSuchProcess:
        # The leader has ended, and what it left may live on under its number:
        # known by where it works.
        return any(_works_in(process, group, workspace) for process in psutil.process_iter())


def _works_in(process: psutil.Process, group: int, workspace: Path) -> bool:
    try:
        return os.getpgid(process.pid) == group and Path(process.cwd()).is_relative_to(
            workspace.resolve()
        )
    except (OSError, psutil.Error):
        return False
