"""The part of a diff about one file, before its names are matched with files of
the repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import Literal

from gpt_cursor_runner.formats.diff.binary import BinaryPart
from gpt_cursor_runner.formats.diff.names import DiffName
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine, Sign
from gpt_cursor_runner.formats.sections import TextFault

Operation = Literal["create", "delete", "rename", "copy"]

NO_FILE = DiffName(None)

# An index line may name the empty file by an abbreviated id.
_EMPTY_BLOBS = tuple(
    algorithm(b"blob 0\0").hexdigest() for algorithm in (hashlib.sha1, hashlib.sha256)
)
_REVERSE_OPERATIONS: dict[Operation | None, Operation | None] = {
    "create": "delete",
    "delete": "create",
}
_REVERSE_SIGNS: dict[Sign, Sign] = {" ": " ", "-": "+", "+": "-"}


@dataclass
class FileDiff:
    """One file's part. Names have their prefixes, except those of a rename or a
    copy.

    `git_names` are the two names of the line `diff --git`, with prefixes.
    `mail` counts the mails before this file in a series made by `git
    format-patch`. `operation` is None when git's headers declare none.
    """

    patch_line: int
    old: DiffName = NO_FILE
    new: DiffName = NO_FILE
    is_git: bool = False
    named: bool = True
    git_names: tuple[str, str] | None = None
    mail: int = 0
    operation: Operation | None = None
    old_mode: str | None = None
    new_mode: str | None = None
    similarity: str | None = None
    old_blob: str | None = None
    new_blob: str | None = None
    forward: BinaryPart | None = None
    backward: BinaryPart | None = None
    hunks: list[Hunk] = field(default_factory=list)
    faults: list[TextFault] = field(default_factory=list)

    @property
    def creates(self) -> bool:
        if self.operation:
            return self.operation == "create"
        return self.named and _is_missing(self.old, {hunk.line_hint for hunk in self.hunks})

    @property
    def deletes(self) -> bool:
        if self.operation:
            return self.operation == "delete"
        return self.named and _is_missing(self.new, {hunk.new_line_hint for hunk in self.hunks})

    @property
    def has_two_paths(self) -> bool:
        return self.operation in ("rename", "copy")

    @property
    def two_names(self) -> tuple[str, str]:
        """The names of a rename or a copy; one that is missing is empty."""
        return self.old.text or "", self.new.text or ""

    @property
    def lacks_name(self) -> bool:
        """Whether the headers of a rename or a copy name one file only."""
        return self.has_two_paths and None in (self.old.text, self.new.text)

    @property
    def has_contents(self) -> bool:
        return bool(self.hunks) or self.forward is not None

    @property
    def is_bare_new_file(self) -> bool:
        """Whether it creates a file with neither contents nor an index line,
        which git writes for an empty file too.
        """
        return self.operation == "create" and not self.has_contents and not self.new_blob

    @property
    def lacks_lines(self) -> bool:
        """Whether the headers announce other contents, without a hunk or a
        binary part that has them.
        """
        if self.has_contents:
            return False
        blobs = {"create": self.new_blob, "delete": self.old_blob}
        if self.operation in blobs:
            return not _is_empty(blobs[self.operation])
        return self._announces_change or not self._is_complete_without_lines

    @property
    def _announces_change(self) -> bool:
        return self.old_blob != self.new_blob or self.similarity not in (None, "100%")

    @property
    def _is_complete_without_lines(self) -> bool:
        changes_mode = None not in (self.old_mode, self.new_mode)
        return self.operation is not None or changes_mode


def reverse(file: FileDiff) -> FileDiff:
    """Return the diff that undoes this one."""
    backward = replace(
        file,
        old=file.new,
        new=file.old,
        git_names=_swapped(file.git_names),
        operation=_REVERSE_OPERATIONS.get(file.operation, file.operation),
        old_mode=file.new_mode,
        new_mode=file.old_mode,
        old_blob=file.new_blob,
        new_blob=file.old_blob,
        forward=file.backward,
        backward=file.forward,
        hunks=list(map(_reverse_hunk, file.hunks)),
    )
    if file.operation == "copy":
        backward.operation, backward.hunks = None, []
        backward.old = backward.new = file.new
    backward.faults = file.faults + _reversal_faults(file)
    return backward


def _swapped(names: tuple[str, str] | None) -> tuple[str, str] | None:
    if names is None:
        return None
    old, new = names
    return new, old


def _reversal_faults(file: FileDiff) -> list[TextFault]:
    if file.operation == "copy":
        message = "a copy cannot be reversed"
        step = "Leave the copy out of the diff, and send a delete change for the file that it made."
        return [TextFault("malformed", message, step, file.patch_line)]
    if file.forward and not file.backward:
        message = "the binary patch cannot be reversed: it has no reverse part"
        step = "Send a diff made with `git diff -R --binary` instead of `reverse`."
        return [TextFault("binary", message, step, file.patch_line)]
    return []


def _reverse_hunk(hunk: Hunk) -> Hunk:
    lines = tuple(
        HunkLine(_REVERSE_SIGNS[line.sign], line.data, line.patch_line) for line in hunk.lines
    )
    return replace(hunk, lines=lines, line_hint=hunk.new_line_hint, new_line_hint=hunk.line_hint)


def _is_empty(blob: str | None) -> bool:
    return blob is None or any(empty.startswith(blob) for empty in _EMPTY_BLOBS)


def _is_missing(name: DiffName, line_hints: Set[int | None]) -> bool:
    """Whether a diff is made from, or results in, no file of this name."""
    if name.text is None:
        return True
    # GNU diff -N names a missing file, dates it 1970 and counts no lines in it.
    return name.at_epoch and line_hints <= {0}
