"""What a diff says of one file, before anybody asks which file of the
repository that is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal

from gpt_cursor_runner.formats.diff.binary import Part
from gpt_cursor_runner.formats.diff.names import DiffName
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine, Sign
from gpt_cursor_runner.formats.sections import TextFault

Said = Literal["create", "delete", "rename", "copy"]

NOBODY = DiffName(None)

_EMPTY_BLOBS = tuple(known(b"blob 0\0").hexdigest() for known in (hashlib.sha1, hashlib.sha256))
_BACK: dict[Said | None, Said | None] = {"create": "delete", "delete": "create"}
_OTHER_SIGN: dict[Sign, Sign] = {" ": " ", "-": "+", "+": "-"}


@dataclass
class FileDiff:
    """One file's part. Names carry their prefixes, except those of a rename or
    a copy.

    `header` are the names of the line `diff --git` with their prefixes;
    `letter` counts the mails that a text holds.
    """

    patch_line: int
    old: DiffName = NOBODY
    new: DiffName = NOBODY
    is_git: bool = False
    named: bool = True
    header: tuple[str, str] | None = None
    letter: int = 0
    said: Said | None = None
    old_mode: str | None = None
    new_mode: str | None = None
    similarity: str | None = None
    old_blob: str | None = None
    new_blob: str | None = None
    forward: Part | None = None
    backward: Part | None = None
    hunks: list[Hunk] = field(default_factory=list)
    faults: list[TextFault] = field(default_factory=list)

    @property
    def creates(self) -> bool:
        if self.said:
            return self.said == "create"
        dated_so = self.old.at_epoch and all(hunk.line_hint == 0 for hunk in self.hunks)
        return self.named and (self.old.text is None or dated_so)

    @property
    def deletes(self) -> bool:
        if self.said:
            return self.said == "delete"
        dated_so = self.new.at_epoch and all(hunk.new_line_hint == 0 for hunk in self.hunks)
        return self.named and (self.new.text is None or dated_so)

    @property
    def lacks_lines(self) -> bool:
        """Whether its headers speak of other contents, but neither hunk nor
        binary part brings them.
        """
        if self.hunks or self.forward:
            return False
        if self.said == "create":
            return not _is_empty(self.new_blob)
        if self.said == "delete":
            return not _is_empty(self.old_blob)
        changed = self.old_blob != self.new_blob or self.similarity not in (None, "100%")
        return changed or not (self.said or (self.old_mode and self.new_mode))


def reverse(file: FileDiff) -> FileDiff:
    """The diff that leads back."""
    backward = replace(
        file,
        old=file.new,
        new=file.old,
        header=file.header and (file.header[1], file.header[0]),
        said=_BACK.get(file.said, file.said),
        old_mode=file.new_mode,
        new_mode=file.old_mode,
        old_blob=file.new_blob,
        new_blob=file.old_blob,
        forward=file.backward,
        backward=file.forward,
        hunks=[_reverse_hunk(hunk) for hunk in file.hunks],
    )
    if file.said == "copy":
        step = "Leave the copy out of the diff, and send a delete change for the file that it made."
        backward.said, backward.old, backward.new, backward.hunks = None, file.new, file.new, []
        backward.faults = [
            *file.faults,
            TextFault("malformed", "a copy has no way back", step, file.patch_line),
        ]
    elif file.forward and not file.backward:
        step = "Send a diff made with `git diff -R --binary` instead of `reverse`."
        lacking = TextFault("binary", "the binary patch holds no way back", step, file.patch_line)
        backward.faults = [*file.faults, lacking]
    return backward


def _reverse_hunk(hunk: Hunk) -> Hunk:
    lines = tuple(
        HunkLine(_OTHER_SIGN[line.sign], line.data, line.patch_line) for line in hunk.lines
    )
    return replace(hunk, lines=lines, line_hint=hunk.new_line_hint, new_line_hint=hunk.line_hint)


def _is_empty(oid: str | None) -> bool:
    return oid is None or any(known.startswith(oid) for known in _EMPTY_BLOBS)
