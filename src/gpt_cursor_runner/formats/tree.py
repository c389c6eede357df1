"""What the planner sees of a repository, and what it says should become of it.
Values only, no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from gpt_cursor_runner.patch.outcome import PlacedHunk

FileMode = Literal["100644", "100755"]
EntryKind = Literal["file", "executable", "symlink", "submodule", "directory"]


class Tree(Protocol):
    """One commit's tree, read on demand. Paths are the parsed ones of
    `patch/paths.py`.
    """

    def kind(self, path: str) -> EntryKind | None:
        """What stands at exactly this path; None when nothing does (also below
        a file or a link).
        """

    def read(self, path: str) -> bytes:
        """The bytes of a file or an executable; KeyError when `kind` is
        anything else.
        """

    def names(self, directory: str) -> Set[str]:
        """The names directly inside a directory ("" is the top); empty when it
        is none.
        """

    def blob(self, oid: str) -> bytes | None:
        """The bytes of the one blob whose id starts with `oid` (7 hex digits at
        least); None when there is none.

        None also for a blob that is larger than any file that is patched.
        """

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        """Git's own three-way merge of two texts that both came from `base`."""


@dataclass(frozen=True)
class Merged:
    """What a three-way merge made; with `conflicts` git's marks are in it,
    labelled `the branch` and `the patch`.
    """

    text: bytes
    conflicts: int


@dataclass(frozen=True)
class File:
    """A regular file: its bytes and its git mode."""

    data: bytes
    mode: FileMode = "100644"

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class FileAction:
    """What becomes of one path; `before` None creates it, `after` None deletes
    it.

    A move is two actions, one that deletes and one that creates; `moved_from`
    on the second ties them together.
    """

    path: str
    before: File | None
    after: File | None
    moved_from: str | None = None


@dataclass(frozen=True)
class Plan:
    """What the whole patch does: actions sorted by path, each path once, none
    of them without effect.
    """

    actions: tuple[FileAction, ...]
    hunks: tuple[PlacedHunk, ...] = ()

    def digest(self) -> str:
        """SHA-256 over every path with its bytes and mode before and after;
        equal plans have equal digests.
        """
        state = hashlib.sha256()
        for action in self.actions:
            for file in (action.before, action.after):
                part = f"{file.mode} {file.sha256}" if file else "absent"
                state.update(f"{action.path}\0{part}\0".encode())
        return state.hexdigest()
