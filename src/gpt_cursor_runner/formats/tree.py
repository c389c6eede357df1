"""The planner's input and output: a read-only tree of a repository, and the plan
of what becomes of each file. Values only, no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from gpt_cursor_runner.patch.faults import PlacedHunk

FileMode = Literal["100644", "100755"]
EntryKind = Literal["file", "executable", "symlink", "submodule", "directory"]


class Tree(Protocol):
    """One commit's tree, read on demand. Paths are parsed by `patch/paths.py`."""

    def kind(self, path: str) -> EntryKind | None:
        """Return the kind of entry at exactly this path; None when there is
        none, also below a file or a link.
        """

    def read(self, path: str) -> bytes:
        """Return the bytes of a file or an executable; KeyError for any other
        path.
        """

    def names(self, directory: str) -> Set[str]:
        """Return the names directly inside a directory ("" is the top); empty
        for any other path.
        """

    def blob(self, oid: str) -> bytes | None:
        """Return the only blob whose id starts with `oid` (at least 7 hex
        digits); None when there is none or several.

        None also for a blob that is larger than any file that can be patched.
        """

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        """Run git's own three-way merge of two texts that come from `base`."""


@dataclass(frozen=True)
class Merged:
    """The result of a three-way merge. With `conflicts`, the text has git's
    conflict markers, labelled `the branch` and `the patch`.
    """

    text: bytes
    conflicts: int


@dataclass(frozen=True)
class File:
    """A regular file: its bytes and its git mode."""

    data: bytes
    mode: FileMode = "100644"

    @property
    def kind(self) -> EntryKind:
        if self.mode == "100755":
            return "executable"
        return "file"

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class FileAction:
    """The change of one path: without `before` it is created, without `after`
    deleted.

    A move is two actions, one that deletes and one that creates; `moved_from`
    of the second is the path of the first.
    """

    path: str
    before: File | None
    after: File | None
    moved_from: str | None = None


@dataclass(frozen=True)
class Plan:
    """The effect of a patch: actions sorted by path, each path once, none
    without effect.
    """

    actions: tuple[FileAction, ...]
    hunks: tuple[PlacedHunk, ...] = ()

    def digest(self) -> str:
        """SHA-256 over every path with its bytes and mode before and after;
        equal plans have equal digests.
        """
        # No path has a NUL byte, so different plans are different texts.
        state = hashlib.sha256()
        for action in self.actions:
            for file in (action.before, action.after):
                part = f"{file.mode} {file.sha256}" if file else "absent"
                state.update(f"{action.path}\0{part}\0".encode())
        return state.hexdigest()
