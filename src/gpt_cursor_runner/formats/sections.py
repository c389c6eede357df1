"""The common result of every parser of text formats: one section for each file,
before any hunk is placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gpt_cursor_runner.formats.hunks import Hunk

Verb = Literal["change", "create", "delete", "move", "copy"]


@dataclass(frozen=True)
class TextFault:
    """A part of a patch's text that cannot be parsed. `patch_line` counts from
    1, `hunk` from 0.
    """

    code: str
    message: str
    next_step: str
    patch_line: int
    hunk: int | None = None


class Binary(Protocol):
    """New contents that are no lines of text."""

    def apply(self, before: bytes) -> bytes:
        """Return the new contents.

        Raises ValueError, with a message for the sender, when the patch was not
        made for `before`.
        """


@dataclass(frozen=True)
class Section:
    """The part of a patch that changes one file.

    `path` and `target` are names in the repository, not parsed yet; they differ
    only for a move or a copy. The hunks of a file to `create` only insert.
    `old_blob` is the git id, possibly abbreviated, of the version that the
    section was made from. A section with `faults` is refused; its hunks are
    placed nevertheless, so that their faults are reported too.
    """

    patch_line: int
    verb: Verb
    path: str
    target: str
    hunks: tuple[Hunk, ...] = ()
    mode: str | None = None
    binary: Binary | None = None
    old_blob: str | None = None
    faults: tuple[TextFault, ...] = ()


@dataclass(frozen=True)
class ParsedPatch:
    """The sections of a text. `faults` are those that belong to no section.

    With `at_once`, as in one git diff, moves and copies read their source files
    as they are before any section is applied.
    """

    sections: Sequence[Section]
    faults: Sequence[TextFault] = ()
    at_once: bool = False
