"""The text of a unified diff, plain or git's, becomes one FileDiff for each file in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gpt_cursor_runner.formats.diff.hunks import is_file_header, read_hunk
from gpt_cursor_runner.formats.diff.names import DiffName, read_git_names, read_name
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.sections import Problem
from gpt_cursor_runner.formats.text import split_lines

_NOBODY = DiffName(None)


@dataclass
class FileDiff:
    """What a diff says of one file. Names carry their prefixes, except those of a rename or a copy."""

    patch_line: int
    old: DiffName = _NOBODY
    new: DiffName = _NOBODY
    is_git: bool = False
    named: bool = True
    mode: str | None = None
    said: Literal["create", "delete", "rename", "copy"] | None = None
    binary: bool = False
    hunks: list[Hunk] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

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


def parse_diff(data: bytes) -> tuple[list[FileDiff], list[Problem]]:
    """Read every file of a diff, past any text around it. Problems that belong to no file come second."""
    reader = _Reader(split_lines(data))
    reader.read()
    return reader.files, reader.problems


class _Reader:
    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines
        self.at = 0
        self.files: list[FileDiff] = []
        self.problems: list[Problem] = []
        self.after_hunk = False
        self.trust_counts = True

    def read(self) -> None:
        while self.at < len(self.lines):
            self._step()
        for file in self.files:
            if not (file.hunks or file.problems or file.said or file.mode or file.binary):
                last = file is self.files[-1]
                file.problems.append(
                    Problem(
                        "truncated" if last else "malformed",
                        "the file header has no hunk after it",
                        "Send the hunks of this file, or leave its header out.",
                        file.patch_line,
                    )
                )
        if not self.files and not self.problems:
            self.problems.append(
                Problem(
                    "malformed",
                    "the text is no unified diff: it has neither a file header nor a hunk",
                    "Start each file with '--- a/path' and '+++ b/path', and each hunk with '@@ -line,count "
                    "+line,count @@'.",
                    1,
                )
            )

    def _step(self) -> None:
        line = self.lines[self.at]
        if line.startswith(b"diff --git "):
            self._open_git(line)
        elif is_file_header(self.lines, self.at):
            self._names()
        elif line.startswith(b"@@"):
            self._hunk()
        elif line.startswith((b"GIT binary patch", b"Binary files ")) and self.files:
            self.files[-1].binary = True
            self._pass()
        elif self.after_hunk and line.startswith((b"+", b"-")) and line.strip() != b"--":
            self._orphan()
        elif line.startswith((b"--", b"```", b"diff -", b"Index: ", b"From ")):
            self._pass()
        elif not self._extended(line):
            self.at += 1

    def _pass(self) -> None:
        """Skip a line after which text that is no diff may stand."""
        self.after_hunk = False
        self.at += 1

    def _open_git(self, line: bytes) -> None:
        file = FileDiff(self.at + 1, is_git=True)
        if names := read_git_names(line.removeprefix(b"diff --git ")):
            file.old, file.new = DiffName(names[0]), DiffName(names[1])
        self.files.append(file)
        self._pass()

    def _names(self) -> None:
        file = self.files[-1] if self.files else None
        if file is None or not file.is_git or file.hunks or file.problems:
            file = FileDiff(self.at + 1)
            self.files.append(file)
        old, new = read_name(self.lines[self.at][4:]), read_name(self.lines[self.at + 1][4:])
        if file.said not in ("rename", "copy"):
            file.old, file.new = old, new
        file.patch_line = self.at + 1
        self.after_hunk = False
        self.at += 2

    def _extended(self, line: bytes) -> bool:
        """Take one of git's extended header lines; False when it is none or no git header is open."""
        file = self.files[-1] if self.files else None
        if file is None or not file.is_git or file.hunks:
            return False
        for start, take in _EXTENDED.items():
            if line.startswith(start):
                take(file, line.removeprefix(start))
                self.at += 1
                return True
        return False

    def _hunk(self) -> None:
        if not self.files:
            self.files.append(FileDiff(self.at + 1, named=False))
        file = self.files[-1]
        number = len(file.hunks) + len(file.problems)
        reading = read_hunk(self.lines, self.at, number, trust_counts=self.trust_counts)
        if reading.hunk:
            file.hunks.append(reading.hunk)
        file.problems += reading.problems
        self.trust_counts = self.trust_counts and not reading.miscounted
        self.after_hunk, self.at = True, reading.end

    def _orphan(self) -> None:
        self.files[-1].problems.append(
            Problem(
                "malformed",
                f"line {self.at + 1} of the patch looks like part of a hunk but stands outside of any",
                "Every context line of a hunk starts with a space; mend the lines above this one.",
                self.at + 1,
            )
        )
        self._pass()


def _mode(file: FileDiff, rest: bytes) -> None:
    file.mode = rest.decode("ascii", "replace").strip()


def _create(file: FileDiff, rest: bytes) -> None:
    file.said, file.old = "create", _NOBODY
    _mode(file, rest)


def _delete(file: FileDiff, _rest: bytes) -> None:
    file.said, file.new = "delete", _NOBODY


def _source(said: Literal["rename", "copy"]) -> Callable[[FileDiff, bytes], None]:
    def take(file: FileDiff, rest: bytes) -> None:
        file.said, file.old = said, replace(read_name(rest), at_epoch=False)

    return take


def _target(file: FileDiff, rest: bytes) -> None:
    file.new = read_name(rest)


_EXTENDED: dict[bytes, Callable[[FileDiff, bytes], None]] = {
    b"new mode ": _mode,
    b"new file mode ": _create,
    b"deleted file mode ": _delete,
    b"rename from ": _source("rename"),
    b"rename to ": _target,
    b"copy from ": _source("copy"),
    b"copy to ": _target,
}
