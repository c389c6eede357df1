"""Writes git trees as files, byte for byte.

The files come from the blobs themselves, not from git's checkout: filters,
line-end conversion and `export-ignore` would make them another tree than the
one that lands.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.landing.objects import Objects, TreeEntry
from gpt_cursor_runner.patch.faults import WorldFailed


@dataclass(frozen=True)
class Owner:
    """The user and group that files are given to. In place of an owner, None
    stands for the user of this process, who has them already.
    """

    uid: int
    gid: int


def give(owner: Owner | None, *paths: Path) -> None:
    if owner is None:
        return
    for path in paths:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def uid_of(owner: Owner | None) -> int:
    if owner is None:
        return os.geteuid()
    return owner.uid


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
        self._write_all(self._entries(tree_oid).values(), directory)

    def change(self, old_oid: str, new_oid: str, directory: Path) -> None:
        """Turn the files of one tree into those of another, which costs as much
        as the trees differ. Raises as `write` does.
        """
        self.tick()
        old, new = self._entries(old_oid), self._entries(new_oid)
        # Old entries go first: a file may take the place of a directory.
        for name, entry in old.items():
            if name not in new or new[name].kind != entry.kind:
                _remove(directory / name)
        added = []
        for name, entry in new.items():
            before = old.get(name)
            if before is None or before.kind != entry.kind:
                added.append(entry)
            elif before.oid != entry.oid:
                added += self._change_entry(before, entry, directory / name)
        self._write_all(added, directory)

    def _change_entry(self, before: TreeEntry, entry: TreeEntry, path: Path) -> list[TreeEntry]:
        """Change a directory in place; return a file, which is written anew."""
        if entry.kind == "directory":
            self.change(before.oid, entry.oid, path)
            return []
        if entry.kind == "submodule":
            return []
        _remove(path)
        return [entry]

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

    def _write_all(self, entries: Iterable[TreeEntry], directory: Path) -> None:
        blobs = []
        for entry in entries:
            if entry.kind not in ("directory", "submodule"):
                blobs.append(entry)
                continue
            target = directory / entry.name
            target.mkdir()
            if entry.kind == "directory":
                self.write(entry.oid, target)
            give(self.owner, target)
        contents = self.objects.open_each([entry.oid for entry in blobs])
        for entry, chunks in zip(blobs, contents, strict=True):
            target = directory / entry.name
            _write_blob(entry, chunks, target)
            give(self.owner, target)


def _write_blob(entry: TreeEntry, chunks: Iterator[bytes], target: Path) -> None:
    if entry.kind == "symlink":
        target.symlink_to(os.fsdecode(b"".join(chunks)))
        return
    mode = 0o644
    if entry.kind == "executable":
        mode = 0o755
    # O_EXCL: never through a link that is already there.
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.writelines(chunks)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _unsafe(message: str) -> WorldFailed:
    return WorldFailed("tree_unsafe", message, "Check the repository with `git fsck`.")
