"""The tracked files of a project, and what can be proposed for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self

from gpt_cursor_runner.config import Check, Setup
from gpt_cursor_runner.landing.git import Git

# Installing the dependencies of a large project over a slow network.
SETUP_SECONDS = 1800.0
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Project:
    """The paths of a tree, and the text of each; `read` returns an empty text
    for a path that is not in the tree.
    """

    paths: tuple[str, ...]
    read: Callable[[str], str]

    @classmethod
    def of_files(cls, files: Mapping[str, str]) -> Self:
        return cls(tuple(files), lambda path: files.get(path, ""))

    @classmethod
    def at(cls, git: Git, commit: str) -> Self:
        """The project in a commit. `read` raises GitFailed or WorldFailed when
        git fails.
        """
        listing = git.run("ls-tree", "-r", "-z", "--name-only", commit)
        paths = tuple(listing.decode(errors="surrogateescape").split("\0")[:-1])
        present = frozenset(paths)

        def read(path: str) -> str:
            if path not in present:
                return ""
            data = git.run("cat-file", "-p", f"{commit}:{path}")
            return data[:_MAX_BYTES].decode(errors="replace")

        return cls(paths, read)

    def has(self, path: str) -> bool:
        return path in self.paths

    def present(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Those of the paths that are in the tree, each once."""
        return tuple(path for path in dict.fromkeys(paths) if path in self.paths)

    def named(self, *patterns: str) -> list[str]:
        """The paths whose last part matches one of the patterns."""
        matching = []
        for path in self.paths:
            pure = PurePosixPath(path)
            if any(pure.match(pattern) for pattern in patterns):
                matching.append(path)
        return matching


@dataclass(frozen=True)
class Narrowed:
    """A check without the tests that fail on the branch as it is."""

    check: Check
    left_out: tuple[str, ...]


def _cannot_narrow(_check: Check, _output: str) -> Narrowed | None:
    return None


@dataclass(frozen=True)
class Proposal:
    """Setup commands and checks that may work together. `title` describes their
    difference from the other proposals. `shown` are more directories of the
    machine that the commands read. `narrow` returns a check without the
    tests that its output reports as failed, when they are few.
    """

    ecosystem: str
    title: str
    setup: tuple[Setup, ...]
    checks: tuple[Check, ...]
    shown: tuple[str, ...] = ()
    narrow: Callable[[Check, str], Narrowed | None] = _cannot_narrow
