"""Writes git trees as files, byte for byte.

The files come from the blobs themselves, not from git's checkout: filters,
line-end conversion and `export-ignore` would make them another tree than the
one that lands.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.landing.objects import Objects, TreeEntry
from gpt_cursor_runner.patch.faults import WorldFailed


@dataclass(frozen=True)
class Owner:
    """The user and group that files are given to."""

    uid: int
    gid: int

    def take(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True)
class TreeFiles:
    """The files of trees. `owner` is None for the user of this process. `tick`
    is called for each directory.
    """

    objects: Objects
    owner: Owner | None = None
    tick: Callable[[], None] = lambda: None

    def write(self, tree_oid: str, directory: Path) -> None:
        """Write the tree into an empty directory. Submodules become empty
        directories, as in a clone.

        Raises WorldFailed for a tree whose names lead out of the directory.
        """
        self.tick()
        for entry in self._entries(tree_oid).values():
            self._write(entry, directory / entry.name)

    def change(self, old_oid: str, new_oid: str, directory: Path) -> None:
        """Turn the files of one tree into those of another, which costs as much
        as the trees differ. Raises as `write` does.
        """
        self.tick()
        # Old entries go first: a file may take the place of a directory.
        old, new = self._entries(old_oid), self._entries(new_oid)
        for name, entry in old.items():
            if name not in new or new[name].kind != entry.kind:
                _remove(directory / name)
        for name, entry in new.items():
            before = old.get(name)
            if before == entry:
                continue
            if before is None or before.kind != entry.kind:
                self._write(entry, directory / name)
            elif entry.kind == "directory":
                self.change(before.oid, entry.oid, directory / name)
            elif entry.kind != "submodule":
                _remove(directory / name)
                self._write(entry, directory / name)

    def _entries(self, tree_oid: str) -> dict[str, TreeEntry]:
        entries: dict[str, TreeEntry] = {}
        for entry in self.objects.tree(tree_oid):
            # git refuses to check such a tree out, yet a repository can hold it.
            if "/" in entry.name or entry.name in ("", ".", ".."):
                raise _unsafe(
                    f"the tree {tree_oid} holds the name {entry.name!r}, which would lead out of"
                    " the workspace"
                )
            if entry.name in entries:
                raise _unsafe(f"the tree {tree_oid} holds the name {entry.name!r} twice")
            entries[entry.name] = entry
        return entries

    def _write(self, entry: TreeEntry, target: Path) -> None:
        if entry.kind == "directory":
            target.mkdir()
            self.write(entry.oid, target)
        elif entry.kind == "submodule":
            target.mkdir()
        else:
            self._write_blob(entry, target)
        if self.owner is not None:
            self.owner.take(target)

    def _write_blob(self, entry: TreeEntry, target: Path) -> None:
        _, chunks = self.objects.open(entry.oid)
        if entry.kind == "symlink":
            target.symlink_to(os.fsdecode(b"".join(chunks)))
            return
        mode = 0o644
        if entry.kind == "executable":
            mode = 0o755
        # O_EXCL: never through a link that is already there.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(chunks)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _unsafe(message: str) -> WorldFailed:
    return WorldFailed("tree_unsafe", message, "Check the repository with `git fsck`.")
