"""What a textual patch says, file by file: every text format lowers to this
before anything looks for its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gpt_cursor_runner.formats.hunks import Hunk

Verb = Literal["change", "create", "delete", "move", "copy"]


@dataclass(frozen=True)
class TextFault:
    """Something in the text of a patch that cannot be read; `patch_line` counts
    from 1, `hunk` from 0.
    """

    code: str
    message: str
    next_step: str
    patch_line: int
    hunk: int | None = None


class Binary(Protocol):
    """New contents that are no lines of text."""

    def apply(self, before: bytes) -> bytes:
        """What `before` becomes; ValueError, with a sentence for the sender,
        when it was not made for `before`.
        """


@dataclass(frozen=True)
class Section:
    """One file's part. `path` and `target` are names in the repository, not
    parsed yet; they differ for a move or copy.

    A file to `create` has hunks that only insert. `old_blob` is git's name,
    maybe cut short, of the version it was made from. With `faults` the
    section is told to be unreadable, and its hunks are judged all the same.
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
    """What a text was read as. `faults` are those that belong to no file.

    Sections made `at_once`, as git reads those of one diff, move and copy files
    as these were before any of them.
    """

    sections: Sequence[Section]
    faults: Sequence[TextFault] = ()
    at_once: bool = False
