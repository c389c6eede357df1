"""Throw-away workspaces: the sealed tree written out byte for byte, without `.git`, gone when the checks are over.

The tree is written from the blobs themselves, not by git's checkout: filters, line-end conversion and `export-ignore`
would make it another tree than the one that lands.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.objects import Objects, TreeEntry

_GROUP_NAME = "process-group"


class Workspace:
    """A fresh directory with the tree in `tree` and an empty `home`; removed with everything in it at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tree = directory / "tree"
        self.home = directory / "home"

    def __enter__(self) -> Self:
        remove(self.directory)
        self.tree.mkdir(parents=True, mode=0o700)
        self.home.mkdir(mode=0o700)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        remove(self.directory)

    def fill(self, git: Git, tree_oid: str) -> None:
        """Write the tree out. Submodules become empty directories, as in a plain clone."""
        with Objects(git) as objects:
            self._fill(objects, tree_oid, self.tree)

    def note_group(self, pid: int) -> None:
        """Remember whose process group runs here, so that a later runner can end it if this one is killed."""
        with suppress(psutil.NoSuchProcess):
            (self.directory / _GROUP_NAME).write_text(f"{pid} {psutil.Process(pid).create_time()}")

    def _fill(self, objects: Objects, tree_oid: str, directory: Path) -> None:
        for entry in objects.tree(tree_oid):
            target = directory / entry.name
            if entry.kind in ("directory", "submodule"):
                target.mkdir()
                if entry.kind == "directory":
                    self._fill(objects, entry.oid, target)
            else:
                _write(objects, entry, target)


def sweep(workspaces: Path) -> list[str]:
    """End what a killed runner left running, and remove what it left lying; the names of those workspaces."""
    left = sorted(workspaces.iterdir()) if workspaces.is_dir() else []
    for directory in left:
        _end_group(directory / _GROUP_NAME)
        remove(directory)
    return [directory.name for directory in left]


def remove(directory: Path) -> None:
    """Remove a directory even where checked code took its own permissions away."""

    def open_up(function: object, path: str, error: object) -> None:
        parent = Path(path).parent
        for place in (parent, Path(path)):
            if place.is_dir() and not place.is_symlink():
                place.chmod(stat.S_IRWXU)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)

    if directory.exists():
        shutil.rmtree(directory, onerror=open_up)
        shutil.rmtree(directory, ignore_errors=True)


def _write(objects: Objects, entry: TreeEntry, target: Path) -> None:
    found = objects.header(entry.oid)
    if found is None:
        raise KeyError(entry.oid)
    chunks = objects.contents(found[2])
    if entry.kind == "symlink":
        target.symlink_to(os.fsdecode(b"".join(chunks)))
        return
    mode = 0o755 if entry.kind == "executable" else 0o644
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        file.writelines(chunks)


def _end_group(note: Path) -> None:
    try:
        pid, created_at = note.read_text().split()
        same = psutil.Process(int(pid)).create_time() == float(created_at)
    except (OSError, ValueError, psutil.NoSuchProcess):
        return
    if same:
        with suppress(ProcessLookupError):
            os.killpg(int(pid), signal.SIGKILL)
