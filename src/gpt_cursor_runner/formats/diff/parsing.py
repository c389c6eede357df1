"""The text of a unified diff, plain or git's, becomes one FileDiff for each
file in it.
"""

from __future__ import annotations

import re

from gpt_cursor_runner.formats.diff.binary import parse_binary
from gpt_cursor_runner.formats.diff.files import FileDiff
from gpt_cursor_runner.formats.diff.headers import disagreement, take_header
from gpt_cursor_runner.formats.diff.hunks import parse_hunk, starts_without_header
from gpt_cursor_runner.formats.diff.lines import DiffLines
from gpt_cursor_runner.formats.diff.names import DiffName, parse_git_names, parse_name
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_LETTER = re.compile(rb"From [0-9a-f]{40,64} ")
_BINARY_FILES = re.compile(rb"(?:Binary files|Files) .{1,5000} and .{1,5000} differ\s*$")
_ENCODED = re.compile(rb"Content-Transfer-Encoding: *(quoted-printable|base64)", re.IGNORECASE)
_OTHER_DIFF = re.compile(
    rb"\*{15}\s*$|\d+(?:,\d+)?[acd](?:\d+(?:,\d+)?)?\s*$"
)  # contexts, normal, ed script
_CUT = re.compile(
    rb"@|--|d|di|dif|diff|diff -{1,2}|diff --gi?t?"
)  # what is left of a line that begins a part

_AS_DIFF = "Send a unified diff, as `git diff` or `diff -u` makes it."


def parse_diff(data: bytes) -> tuple[list[FileDiff], list[TextFault]]:
    """Read every file of a diff, past any text around it. Problems that belong
    to no file come second.
    """
    reader = _Reader(DiffLines(data))
    reader.read()
    return reader.files, reader.faults


class _Reader:
    def __init__(self, lines: DiffLines) -> None:
        self.lines = lines
        self.at = 0
        self.files: list[FileDiff] = []
        self.faults: list[TextFault] = []
        self.letter = 0
        self.in_header = False  # of git: between `diff --git` and what ends it
        self.after_names = False
        self.after_hunk = False
        self.trust_counts = True

    def read(self) -> None:
        while self.at < len(self.lines):
            start = self.at
            try:
                self._step()
            except ValueError as unreadable:
                step = "Send the header lines as the tool wrote them."
                self.faults.append(TextFault("malformed", str(unreadable), step, start + 1))
                self.at = start + 1
        for file in self.files:
            self._complete(file)
        if not self.files and not self.faults:
            step = (
                "Start each file with '--- a/path' and '+++ b/path', each hunk with '@@ -line,count"
                " +line,count @@'."
            )
            message = "the text is no unified diff: it has neither a file header nor a hunk"
            self.faults.append(TextFault("malformed", message, step, 1))

    def _step(self) -> None:
        line = self.lines[self.at]
        if line.startswith(b"diff --git "):
            self._open_git(line)
        elif self.lines.is_file_header(self.at):
            self._names()
        elif line.startswith(b"@@") or (self.after_names and starts_without_header(line)):
            self._hunk()
        elif line.startswith(b"GIT binary patch") and self.files:
            self._binary()
        elif self.after_hunk and self._is_orphan(line):
            self._orphan()
        elif self.in_header and take_header(self.files[-1], line, self.at):
            self.at += 1
        else:
            self._prose(line)

    def _prose(self, line: bytes) -> None:
        """Pass over a line that is no part of a diff, unless what follows it
        could not be read for what it is.
        """
        if line.startswith((b"--", b"```", b"diff -", b"Index: ", b"From ")):
            self.after_hunk = False  # text that is no diff may stand after these
        if _LETTER.match(line):
            self.letter += 1
        if line.strip() and not line.startswith(b"\\"):
            self._refuse_what_is_no_unified_diff(line)
            self.in_header = False
        self.after_names = False
        self.at += 1

    def _refuse_what_is_no_unified_diff(self, line: bytes) -> None:
        code, message, step = "malformed", "", _AS_DIFF
        if line.startswith((b"diff --cc ", b"diff --combined ")):
            message = "a combined diff compares a merge with several parents at once"
            step = "Send the diff against one parent, as `git diff HEAD^1` makes it."
        elif _BINARY_FILES.match(line):
            code, message = "binary", f"'{show(line)}': the diff does not hold what changed in it"
            step = (
                "Send a diff made with `git diff --binary`, or the file as an upsert with"
                " contents_b64."
            )
        elif found := _ENCODED.match(line):
            message = f"the diff is in a mail encoded as {found[1].decode()}"
            step = "Decode the mail, or send the diff itself."
        elif _OTHER_DIFF.match(line) and self._is_other_diff():
            message = "this is a context diff, a normal diff or an ed script, and not a unified one"
        elif self.lines.is_half_a_header(self.at) and self.lines.starts(self.at + 1, b"@@"):
            message, step = (
                "a line '---' stands without its line '+++'",
                "Write both lines, one after the other.",
            )
        elif self.lines.is_half_a_header(self.at) or (
            self.at + 1 == len(self.lines) and _CUT.fullmatch(line)
        ):
            code, message, step = (
                "truncated",
                f"the text ends after '{show(line)}'",
                "Send the whole patch.",
            )
        if message:
            fault = TextFault(code, message, step, self.at + 1)
            (self.files[-1].faults if self.in_header else self.faults).append(fault)

    def _is_other_diff(self) -> bool:
        if self.lines.starts(self.at, b"*"):
            return self.lines.starts(self.at + 1, b"*** ")
        return self.lines.starts(self.at + 1, b"< ", b"> ") or not self.files

    def _open_git(self, line: bytes) -> None:
        file = FileDiff(self.at + 1, is_git=True, letter=self.letter)
        self.files.append(file)
        self.in_header, self.after_names, self.after_hunk = True, False, False
        if names := parse_git_names(line.removeprefix(b"diff --git ")):
            file.header = names
            file.old, file.new = DiffName(names[0]), DiffName(names[1])
        self.at += 1

    def _names(self) -> None:
        old, new = parse_name(self.lines[self.at][4:]), parse_name(self.lines[self.at + 1][4:])
        if not self.in_header:
            self.files.append(FileDiff(self.at + 1, letter=self.letter))
        file = self.files[-1]
        if file.said not in ("rename", "copy"):
            file.old, file.new = old, new
        self.in_header, self.after_names, self.after_hunk = False, True, False
        self.at += 2

    def _hunk(self) -> None:
        if not self.files:
            self.files.append(FileDiff(self.at + 1, named=False))
        file = self.files[-1]
        number = len(file.hunks) + len(file.faults)
        reading = parse_hunk(self.lines, self.at, number, trust_counts=self.trust_counts)
        if reading.hunk:
            file.hunks.append(reading.hunk)
        file.faults += reading.faults
        self.trust_counts = self.trust_counts and not reading.miscounted
        self.in_header, self.after_names, self.after_hunk = False, False, True
        self.at = reading.end

    def _binary(self) -> None:
        reading = parse_binary(self.lines.all, self.at)
        file = self.files[-1]
        file.forward, file.backward = reading.forward, reading.backward
        file.faults += reading.faults
        self.in_header = False
        self.at = reading.end

    def _is_orphan(self, line: bytes) -> bool:
        return (
            line.startswith((b"+", b"-"))
            and line.strip() != b"--"
            and not self.lines.is_half_a_header(self.at)
        )

    def _orphan(self) -> None:
        message = (
            f"line {self.at + 1} of the patch looks like part of a hunk but stands outside of any"
        )
        step = "Every context line of a hunk starts with a space; mend the lines above this one."
        self.files[-1].faults.append(TextFault("malformed", message, step, self.at + 1))
        self.after_hunk = False
        self.at += 1

    def _complete(self, file: FileDiff) -> None:
        """Refuse what lacks the lines that its headers announce: a text is
        often cut there.
        """
        if file.faults:
            return
        last = file is self.files[-1]
        message = None
        if file.lacks_lines:
            message = "the file header has no hunk after it"
        elif file.is_git:
            message = disagreement(file, self.lines[file.patch_line - 1])
        if (
            message is None
            and last
            and file.said == "create"
            and not (file.hunks or file.forward or file.new_blob)
        ):
            # Anything after it would show that the text goes on; of an empty
            # file git writes the index line as well.
            message = (
                "the text ends before the lines of the new file"
                if self.in_header or self.after_names
                else None
            )
        if message:
            code = "truncated" if last and not file.hunks else "malformed"
            step = "Send the hunks of this file and all its header lines, or leave the file out."
            file.faults.append(TextFault(code, message, step, file.patch_line))
